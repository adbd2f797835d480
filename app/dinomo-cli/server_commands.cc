// SPDX-License-Identifier: BSD-3-Clause
#include <fmt/format.h>

#include <iostream>
#include <map>

#include "commands.h"
#include "text.h"

namespace dinomo::cli {

using client::Reply;

void print_json(const Reply& reply, std::string_view key, const json& extra) {
  json out;
  out["status"] = reply.answered ? wire::status_name(reply.wire_status) : status_name(reply.status);
  if (!key.empty()) add_bytes(&out, "key", key);
  for (const auto& [name, value] : extra.items()) out[name] = value;
  out["latency_us"] = static_cast<double>(reply.latency_ns) / 1e3;
  out["transmissions"] = reply.transmissions;
  std::cout << out.dump() << '\n';
}

int run_ping(Session& session, const Settings& s) {
  for (uint32_t i = 0; i < s.count; ++i) {
    const Reply reply = session.call().ping();
    const int status = session.judge(reply);
    if (s.json_output) print_json(reply, s.key, {{"server", s.server}});
    if (status != kOk) return status;
    if (!s.json_output) {
      std::cout << fmt::format("{} answered in {}\n", s.server, human_ns(reply.latency_ns));
    }
  }
  return kOk;
}

int run_ring(Session& session, const Settings& s) {
  if (session.call().connect() != Status::kOk) {
    Reply reply;
    reply.status = Status::kTimeout;
    return session.judge(reply);
  }
  const auto& ring = session.client().ring();
  std::map<uint16_t, uint32_t> owned;
  for (const uint16_t owner : ring.owner) ++owned[owner];
  json list = json::array();
  for (const wire::KnRecord& kn : ring.kns) {
    const client::Address base{kn.address, kn.udp_port_base};
    list.push_back({{"kn_slot", kn.kn_slot},
                    {"address", base.text()},
                    {"workers", kn.workers},
                    {"state", kn.state},
                    {"partitions", owned[kn.kn_slot]}});
  }
  const uint32_t orphans = owned.contains(0xffff) ? owned[0xffff] : 0;
  if (s.json_output) {
    std::cout << json{{"status", "ok"},
                      {"ring_version", ring.version},
                      {"partitions", ring.owner.size()},
                      {"partitions_without_owner", orphans},
                      {"kns", list}}
                     .dump()
              << '\n';
    return kOk;
  }
  std::cout << fmt::format("ring version {}: {} partitions, {} KN{}\n\n", ring.version,
                           ring.owner.size(), ring.kns.size(), ring.kns.size() == 1 ? "" : "s");
  std::cout << fmt::format("  {:>4}  {:<28} {:>7}  {:>10}  {:>6}\n", "KN", "address (worker 0)",
                           "workers", "partitions", "share");
  for (const json& kn : list) {
    const auto share = kn["partitions"].get<uint32_t>();
    std::cout << fmt::format("  {:>4}  {:<28} {:>7}  {:>10}  {:>5.1f}%\n", kn["kn_slot"].get<int>(),
                             kn["address"].get<std::string>(), kn["workers"].get<int>(), share,
                             share * 100.0 / 4096);
  }
  if (orphans != 0) std::cout << fmt::format("\n  {} partitions have no owner now\n", orphans);
  return kOk;
}

int run_stats(Session& session, const Settings& s) {
  const Reply reply = session.call().stats();
  session.remark(reply);
  if (const int status = session.judge(reply); status != kOk) return status;
  const json stats = json::parse(reply.text(), nullptr, false);
  if (stats.is_discarded()) return complain(kRefused, "the server's counters are not JSON");
  std::cout << (s.json_output ? stats.dump() : stats.dump(2)) << '\n';
  return kOk;
}

}  // namespace dinomo::cli
