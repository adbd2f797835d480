// SPDX-License-Identifier: BSD-3-Clause
// The fabric of a simulation: links between KNs and memory nodes, and what is under way on them.
//
// Operations are taken by the KN's network card when they are posted, one after another (verb_ns,
// bandwidth), land at the memory node after a delay of their own (and after those that its card is
// busy with), and complete after another one.
// Writes that are not chained overtake each other; what is larger than tear_bytes may land in two
// parts. What a KN had posted when it was killed lands or not, by a draw, until access is revoked.
//
// One network a thread: the driver's connect and listen find it through use().
// Thread rule: the event loop's.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "client/random.h"
#include "fabric/driver.h"
#include "sim/event_loop.h"
#include "sim/waker.h"

namespace dinomo::fabric::sim {

struct FabricFaults {
  uint64_t delay_ns = 1'000;       // one way
  uint64_t jitter_ns = 300;        // at most, one way
  uint64_t verb_ns = 50;           // a card takes one operation in so long
  uint64_t bytes_per_us = 12'500;  // 100 Gb/s
  bool full_duplex = false;        // reads and what is written do not share the bandwidth
  uint64_t atomic_ns = 0;  // a node's card does one atomic at a time; 0: atomics are as any verb
  uint32_t reads_in_flight_max = 16;  // of a queue, atomics included; more wait
  uint32_t straggler_ppm = 0;         // operations that take straggler_ns longer
  uint64_t straggler_ns = 50'000;
  uint32_t late_ppm = 0;  // operations that are sent again and again, and arrive late_ns later
  uint64_t late_ns = 0;
  uint32_t tear_ppm = 0;             // writes that land in two parts
  uint64_t lost_after_ns = 100'000;  // a card gives up on an unreachable node

  /// How long a card is taken by one operation of so many bytes.
  uint64_t card_ns(uint64_t bytes) const noexcept {
    const uint64_t bytes_ns = bytes * 1000 / bytes_per_us;
    return full_duplex ? std::max(verb_ns, bytes_ns) : verb_ns + bytes_ns;
  }
};

struct FabricCounters {
  uint64_t landed = 0;
  uint64_t torn = 0;
  uint64_t stragglers = 0;
  uint64_t late = 0;
  uint64_t orphans_landed = 0;  // of killed KNs
  uint64_t orphans_dropped = 0;
  uint64_t fenced = 0;
  uint64_t unreachable = 0;
};

class SimTarget;
class SimQueue;

/// A KN's registration at one memory node.
struct Connection {
  SimTarget* target = nullptr;  // null: the node is gone
  uint16_t kn_slot = 0;
  bool open = true;            // the KN holds it
  bool revoked = false;        // nothing lands any more
  bool cut = false;            // the link is down
  uint64_t card_free_ns = 0;   // the KN's card takes one operation after another
  uint64_t reads_free_ns = 0;  // likewise reads, of a card that is full duplex
};

struct SimOperation {
  enum class Kind : uint8_t { kRead, kWrite, kCompareSwap, kFetchAdd };
  Kind kind = Kind::kRead;
  WriteOptions options;
  Status status = Status::kOk;
  bool done = false;
  bool arrived = false;  // at the node's card
  bool landed = false;
  bool torn = false;
  uint64_t offset = 0;
  uint64_t operand[2] = {0, 0};
  std::byte* to = nullptr;  // reads
  uint64_t* old = nullptr;
  std::vector<std::byte> bytes;  // on the wire
  Completion* completion = nullptr;
  SimQueue* queue = nullptr;  // null: its KN is gone
  std::shared_ptr<Connection> connection;
  SimOperation* chained = nullptr;  // lands with this one, after it
};

class SimNetwork final : public dinomo::sim::Handler {
 public:
  SimNetwork(dinomo::sim::EventLoop* loop, uint64_t seed);
  ~SimNetwork() override;
  SimNetwork(const SimNetwork&) = delete;
  SimNetwork& operator=(const SimNetwork&) = delete;

  /// The network of this thread; nullptr for none.
  static void use(SimNetwork* network) noexcept;
  static SimNetwork* current() noexcept;

  void set_faults(const FabricFaults& faults) noexcept { faults_ = faults; }
  const FabricFaults& faults() const noexcept { return faults_; }
  const FabricCounters& counters() const noexcept { return counters_; }
  dinomo::sim::EventLoop& loop() noexcept { return *loop_; }

  /// Whom queues that are opened from now on wake when a completion is ready.
  void set_actor(dinomo::sim::Waker* actor) noexcept { actor_ = actor; }
  dinomo::sim::Waker* actor() const noexcept { return actor_; }

  /// Called for every operation that is launched, nullptr: nobody. May plan events, nothing else.
  void set_observer(std::function<void(uint16_t kn_slot)> observer) {
    observer_ = std::move(observer);
  }

  /// Cuts or mends the link of a KN slot to every node.
  void cut(uint16_t kn_slot, bool down) noexcept;

  // For the driver
  // ---------------------------------------------------------------------------------
  SimTarget* find(const std::string& address) noexcept;
  Status add(const std::string& address, SimTarget* target);
  void remove(SimTarget* target) noexcept;
  void add(const std::shared_ptr<Connection>& connection) { connections_.push_back(connection); }
  bool connected(const SimTarget* target, uint16_t kn_slot) const noexcept;
  /// Of those that left; `present`: of the one that is connected, too.
  void revoke(const SimTarget* target, uint16_t kn_slot, bool present) noexcept;

  SimOperation* take() noexcept;
  void give_back(SimOperation* operation) noexcept;
  /// `operation` begins at `start_ns`; it and what is chained to it land together.
  void launch(SimOperation* operation, uint64_t start_ns) noexcept;
  void orphan(SimOperation* operation) noexcept;

  void on_event(uint64_t argument) override;

 private:
  bool waits_for_card(SimOperation* operation) noexcept;
  void land(SimOperation* operation) noexcept;
  void take_effect(SimOperation* operation) noexcept;
  void landed(SimOperation* operation) noexcept;
  void persist(SimOperation* operation) noexcept;
  Status reach(const SimOperation& operation) const noexcept;
  void finish(SimOperation* operation) noexcept;
  bool chance(uint32_t ppm) noexcept { return ppm != 0 && random_.below(1'000'000) < ppm; }
  uint64_t one_way_ns() noexcept { return faults_.delay_ns + random_.below(faults_.jitter_ns + 1); }

  dinomo::sim::EventLoop* loop_;
  dinomo::sim::EventLoop::HandlerId id_;
  client::Random random_;
  FabricFaults faults_;
  FabricCounters counters_;
  dinomo::sim::Waker* actor_ = nullptr;
  std::function<void(uint16_t)> observer_;
  std::map<std::string, SimTarget*> targets_;
  std::vector<std::weak_ptr<Connection>> connections_;
  std::vector<std::unique_ptr<SimOperation>> operations_;
  std::vector<SimOperation*> free_;
};

}  // namespace dinomo::fabric::sim
