// SPDX-License-Identifier: BSD-3-Clause
// A few KNs for tests of where a client sends: a transport that answers at once.
#pragma once

#include <array>
#include <deque>
#include <map>
#include <set>
#include <string_view>
#include <vector>

#include "client/client.h"
#include "common/hash.h"
#include "ring/ring.h"

namespace dinomo::client::fake {

inline constexpr std::string_view kKey = "hot";
inline constexpr uint16_t kOwner = 0;

/// Three KNs, KN n at port 1 + n; they answer HELLO and RING, and what the test has them say to
/// operations.
class Kns final : public Transport {
 public:
  Kns() {
    ring.version = 3;
    ring.owner.fill(kOwner);
    const Address at = *parse_address("127.0.0.1:1", 1);
    for (uint16_t n = 0; n < 3; ++n) {
      ring.kns.push_back({at.ip, n, static_cast<uint16_t>(1 + n), 1, 0});
    }
  }
  void replicate(std::span<const uint16_t> kns) {
    ring.replicated = {ring::make_replicated(routing_hash(as_bytes(kKey)), 64, kns)};
  }

  Result<LinkId> open(const Address& address) override { return address.port; }
  void close(LinkId) noexcept override {}
  MutableBytes allocate(LinkId link, size_t bytes) noexcept override {
    link_ = link;
    buffer_.assign(bytes, std::byte{0});
    return buffer_;
  }
  void send(size_t bytes) noexcept override {
    wire::Reader reader(Bytes(buffer_).first(bytes), wire::Kind::kRequest);
    wire::Message m;
    while (reader.next(&m)) answer(reader.header(), m, static_cast<uint16_t>(link_ - 1));
  }
  void flush() noexcept override {}
  uint32_t receive(std::span<Bytes> out) noexcept override {
    given_ = std::move(replies_);
    replies_.clear();
    uint32_t n = 0;
    for (const auto& reply : given_) out[n++] = reply;
    return n;
  }
  void wait(uint64_t) noexcept override {}
  size_t datagram_bytes_max() const noexcept override { return 1472; }
  bool refused(LinkId) const noexcept override { return false; }

  ring::Ring ring;
  std::map<uint16_t, int> asked;          // operations, by KN
  std::map<uint16_t, uint16_t> sends_to;  // KNs that do not serve the key, and whom they name
  std::set<uint16_t> silent;              // KNs that answer nothing
  std::set<uint16_t> moves;               // KNs that answer MOVING, for as long as they may
  int rings = 0;

 private:
  void answer(const wire::DatagramHeader& request, const wire::Message& m, uint16_t kn) {
    if (silent.contains(kn)) {
      asked[kn] += m.opcode() != wire::Opcode::kHello && m.opcode() != wire::Opcode::kRing;
      return;
    }
    wire::DatagramHeader h = request;
    h.ring_version = ring.version;
    h.kind = static_cast<uint8_t>(wire::Kind::kReply);
    h.session = 77;
    wire::MessageHeader reply = m.header;
    reply.flags = 0;
    std::vector<std::byte> bytes(1472);
    wire::Writer writer(bytes, h);
    if (m.opcode() == wire::Opcode::kHello) {
      wire::HelloReply hello{};
      hello.session = 77;
      hello.window = 16;
      hello.key_bytes_max = 250;
      hello.value_bytes_max = 61'440;
      hello.datagram_bytes_max = 1472;
      hello.kn_slot = kn;
      writer.append(reply, {}, {}, object_bytes(hello));
    } else if (m.opcode() == wire::Opcode::kRing) {
      ++rings;
      std::array<std::byte, 1300> page;
      const auto wanted = m.extras_as<wire::RingExtras>().value_or(wire::RingExtras{});
      const size_t size = ring::encode_page(ring, wanted, page.data(), page.size());
      writer.append(reply, {}, {}, Bytes(page).first(size));
    } else {
      ++asked[kn];
      const auto other = sends_to.find(kn);
      const bool serves = other == sends_to.end();
      reply.status =
          static_cast<uint8_t>(serves ? wire::Status::kNotFound : wire::Status::kWrongOwner);
      wire::HintExtras hint{0, serves ? kn : other->second, 0};
      const bool put_off = moves.contains(kn);
      if (put_off) {
        reply.status = static_cast<uint8_t>(wire::Status::kMoving);
        hint.retry_us = 100'000;
      }
      writer.append(reply, serves && !put_off ? Bytes() : object_bytes(hint), {}, {});
    }
    bytes.resize(writer.finish().size());
    replies_.push_back(std::move(bytes));
  }

  LinkId link_ = 0;
  std::vector<std::byte> buffer_;
  std::deque<std::vector<std::byte>> replies_;
  std::deque<std::vector<std::byte>> given_;
};

}  // namespace dinomo::client::fake
