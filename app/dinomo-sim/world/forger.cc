// SPDX-License-Identifier: BSD-3-Clause
#include "world/forger.h"

#include "ingress/ingress.h"
#include "wire/codec.h"

namespace dinomo::world {

namespace {

constexpr uint16_t kPort = 41'000;
constexpr size_t kRequestBytesMax = 512;
constexpr uint64_t kFarAhead = 1'000'000;  // of the sequences of the session's owner

}  // namespace

Forger::Forger(Environment* environment, const Options& options)
    : environment_(environment),
      options_(options),
      id_(environment->loop.add(this)),
      random_(options.seed),
      own_{ingress::parse_address("10.0.3.66")->address, kPort} {
  if (options.count == 0) return;
  environment->network.attach(own_, this);
  environment->network.set_tap(
      [this](const auto& from, const auto& to, Bytes payload) { on_request(from, to, payload); });
  for (uint64_t i = 0; i < options.count; ++i) {
    environment->loop.at(random_.below(options.window_ns), id_, i);
  }
}

Forger::~Forger() {
  environment_->loop.remove(id_);
  if (options_.count == 0) return;
  environment_->network.set_tap(nullptr);
  environment_->network.detach(own_, this);
}

void Forger::deliver(const sim::NetworkAddress&, const sim::NetworkAddress&, Bytes payload, bool) {
  received_bytes_ += payload.size();
}

void Forger::on_request(const sim::NetworkAddress& from, const sim::NetworkAddress& to,
                        Bytes payload) {
  const wire::Reader reader(payload, wire::Kind::kRequest);
  const wire::DatagramHeader& h = reader.header();
  if (sending_ || h.kind != static_cast<uint8_t>(wire::Kind::kRequest) || h.session == 0) {
    return;
  }
  client_ = from;
  kn_ = to;
  session_ = h.session;
  cookie_ = h.cookie;
}

void Forger::on_event(uint64_t) {
  if (session_ == 0) return;  // nobody has spoken yet
  wire::DatagramHeader h{};
  h.magic = wire::kMagic;
  h.version = wire::kVersion;
  h.kind = static_cast<uint8_t>(wire::Kind::kRequest);
  sim::NetworkAddress from = own_;
  switch (random_.below(4)) {
    case 0:  // a session of its own making
      h.session = 1 + random_.next();
      h.cookie = random_.next();
      break;
    case 1:  // a client's, from that client's address, without its cookie
      h.session = session_;
      h.cookie = random_.next();
      from = client_;
      break;
    case 2:  // as that client, with another session and its cookie
      h.session = session_ ^ 1;
      h.cookie = cookie_;
      from = client_;
      break;
    default:  // a client's session and cookie, from elsewhere
      h.session = session_;
      h.cookie = cookie_;
      break;
  }
  std::array<std::byte, kRequestBytesMax> buffer;
  wire::Writer writer(buffer, h);
  wire::MessageHeader m{};
  m.opcode =
      static_cast<uint8_t>(random_.below(4) == 0 ? wire::Opcode::kDelete : wire::Opcode::kPut);
  m.sequence = kFarAhead + ++sequence_;
  const std::string key = "key" + std::to_string(random_.below(options_.keys));
  const bool put = m.opcode == static_cast<uint8_t>(wire::Opcode::kPut);
  const wire::PutExtras extras{};
  (void)writer.append(m, put ? object_bytes(extras) : Bytes(), as_bytes(key),
                      put ? as_bytes("forged") : Bytes());
  const Bytes datagram = writer.finish();
  ++sent_;
  if (from == own_) sent_bytes_ += datagram.size();
  environment_->say("forger", "a request with a false session to " + key);
  sending_ = true;
  environment_->network.send(from, kn_, datagram);
  sending_ = false;
}

}  // namespace dinomo::world
