// SPDX-License-Identifier: BSD-3-Clause
#include "session.h"

#include <fmt/format.h>

#include <iostream>

#include "text.h"

namespace dinomo::cli {

using client::Reply;

namespace {

const char* advice(wire::Status s) {
  switch (s) {
    case wire::Status::kNoSpace: return " (the pool is full: delete something or enlarge it)";
    case wire::Status::kTooLarge: return " (key or value would be larger than the server allows)";
    case wire::Status::kBadVersion:
    case wire::Status::kUnsupported: return " (client and server are of different releases)";
    default: return "";
  }
}

}  // namespace

int Session::open() {
  const auto seeds = client::parse_addresses(settings_.server, wire::kDefaultPort);
  if (!seeds) {
    const bool unknown = seeds.error() == Status::kNotFound;
    return complain(unknown ? kUnreachable : kUsage,
                    unknown
                        ? fmt::format("--server {}: unknown host", settings_.server)
                        : fmt::format("--server {}: expected host[:port][,...]", settings_.server));
  }
  auto transport = client::UdpTransport::create({});
  if (!transport) return complain(kUnreachable, "cannot open a UDP socket");
  transport_ = std::move(*transport);
  client::Options options;
  options.deadline_ms = settings_.timeout_ms;
  options.in_flight_max = 256;
  options.seed = clock_.now_ns();
  auto client = client::Client::create(transport_.get(), &clock_, options, *seeds);
  if (!client) return complain(kUnreachable, fmt::format("no route to {}", settings_.server));
  client_ = std::move(*client);
  blocking_ = std::make_unique<client::Blocking>(client_.get());
  return kOk;
}

int Session::judge(const Reply& reply) const {
  if (reply.status == Status::kOk) return kOk;
  if (!reply.answered) return no_answer(reply);
  const bool quiet = settings_.json_output;  // the object says it
  switch (reply.wire_status) {
    case wire::Status::kNotFound:
    case wire::Status::kNotStored: return quiet ? kNotFound : complain(kNotFound, "no such key");
    case wire::Status::kExists:
      return quiet ? kCondition : complain(kCondition, "the key exists, or has another version");
    case wire::Status::kNotNumber:
      return quiet ? kCondition : complain(kCondition, "the value is not a decimal number");
    default: break;
  }
  return complain(kRefused,
                  fmt::format("the server refused: {}{}", wire::status_name(reply.wire_status),
                              advice(reply.wire_status)));
}

void Session::remark(const Reply& reply) const {
  if (!settings_.verbose) return;
  std::cerr << fmt::format("{} in {}, {} transmission{}", wire::status_name(reply.wire_status),
                           human_ns(reply.latency_ns), reply.transmissions,
                           reply.transmissions == 1 ? "" : "s");
  if (reply.version != 0) std::cerr << ", version " << reply.version;
  std::cerr << '\n';
}

int Session::no_answer(const Reply& reply) const {
  if (reply.status == Status::kStale) {
    return complain(kUnreachable,
                    "the server lost this session while the request was out: it may or may not "
                    "have taken effect");
  }
  if (reply.status == Status::kOutOfRange || reply.status == Status::kInvalid) {
    return complain(kUsage, "key or value too long");
  }
  const bool refused = reply.status == Status::kUnreachable;
  const bool heard = client_->heard();
  if (heard && client_->counters().busy != 0) {
    return complain(kUnreachable,
                    fmt::format("{} is up but answered BUSY for {} ms: it is not connected to its "
                                "memory node (see its log; is dinomo-dpm running?), or has more "
                                "load than it takes",
                                settings_.server, settings_.timeout_ms));
  }
  return complain(kUnreachable,
                  fmt::format("{} {} within {} ms{}", settings_.server,
                              refused && !heard ? "is not listening: no answer"
                              : heard           ? "answered, but did not finish the request"
                                                : "did not answer",
                              settings_.timeout_ms,
                              heard ? "; it may be overloaded or reconfiguring (see --timeout-ms)"
                                    : "; is dinomo-kn running there? (see --server)"));
}

}  // namespace dinomo::cli
