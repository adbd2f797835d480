// SPDX-License-Identifier: BSD-3-Clause
// The clients' network: datagrams between addresses, with everything that a network does to them.
// Faults are per million datagrams. What corruption changed is delivered with a mark: a receiver
// with checksums drops it, as UDP does. Two machines may have one address, as after a fail-over
// that not every switch has heard of: each datagram then goes to either.
// Thread rule: the event loop's.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "client/random.h"
#include "common/bytes.h"
#include "sim/event_loop.h"

namespace dinomo::sim {

struct NetworkFaults {
  uint64_t delay_ns = 5'000;
  uint64_t jitter_ns = 2'000;
  uint32_t loss_ppm = 0;
  uint32_t duplicate_ppm = 0;
  uint64_t duplicate_late_ns = 0;  // the second copy of a datagram, at most
  uint32_t reorder_ppm = 0;        // held back for reorder_ns
  uint64_t reorder_ns = 200'000;
  uint32_t corrupt_ppm = 0;
  uint32_t misroute_ppm = 0;  // to a neighbouring port of the same machine
};

using Ip = std::array<uint8_t, 16>;

struct NetworkAddress {
  Ip ip{};
  uint16_t port = 0;
  auto operator<=>(const NetworkAddress&) const = default;
};

struct NetworkCounters {
  uint64_t sent = 0;
  uint64_t delivered = 0;
  uint64_t lost = 0;
  uint64_t duplicated = 0;
  uint64_t reordered = 0;
  uint64_t corrupted = 0;
  uint64_t misrouted = 0;
  uint64_t partitioned = 0;
  uint64_t two_receivers = 0;  // more than one machine had the address
  uint64_t nobody = 0;         // nobody was attached there when it arrived
};

class Network final : public Handler {
 public:
  class Port {
   public:
    virtual ~Port() = default;
    virtual void deliver(const NetworkAddress& from, const NetworkAddress& to, Bytes payload,
                         bool corrupted) = 0;
  };

  Network(EventLoop* loop, uint64_t seed);
  ~Network() override;
  Network(const Network&) = delete;
  Network& operator=(const Network&) = delete;

  void attach(const NetworkAddress& address, Port* port) { ports_[address].push_back(port); }
  void detach(const NetworkAddress& address, Port* port);
  void send(const NetworkAddress& from, const NetworkAddress& to, Bytes payload);

  void set_faults(const NetworkFaults& faults) noexcept { faults_ = faults; }
  const NetworkFaults& faults() const noexcept { return faults_; }
  /// Nothing gets from one machine to the other; an address of zeros stands for all.
  void block(const Ip& from, const Ip& to) { blocked_.emplace(from, to); }
  void unblock(const Ip& from, const Ip& to) { blocked_.erase({from, to}); }
  void unblock_all() { blocked_.clear(); }
  /// Sees every datagram that is sent; nullptr: nobody does.
  using Tap =
      std::function<void(const NetworkAddress& from, const NetworkAddress& to, Bytes payload)>;
  void set_tap(Tap tap) { tap_ = std::move(tap); }
  const NetworkCounters& counters() const noexcept { return counters_; }
  EventLoop& loop() noexcept { return *loop_; }

  void on_event(uint64_t argument) override;

 private:
  struct Packet {
    NetworkAddress from;
    NetworkAddress to;
    bool corrupted = false;
    std::vector<std::byte> payload;
  };
  void schedule(const NetworkAddress& from, const NetworkAddress& to, Bytes payload,
                uint64_t later_ns);
  bool blocked(const Ip& from, const Ip& to) const;
  bool chance(uint32_t ppm) noexcept { return ppm != 0 && random_.below(1'000'000) < ppm; }

  EventLoop* loop_;
  EventLoop::HandlerId id_;
  client::Random random_;
  NetworkFaults faults_;
  NetworkCounters counters_;
  std::map<NetworkAddress, std::vector<Port*>> ports_;
  std::set<std::pair<Ip, Ip>> blocked_;
  Tap tap_;
  std::vector<Packet> packets_;
  std::vector<uint32_t> free_;
};

}  // namespace dinomo::sim
