// SPDX-License-Identifier: BSD-3-Clause
// How much may wait for a worker, and when whoever is refused may come back.
//
// A worker that is offered more than it can serve has a queue that only grows: everything in it is
// answered late, then clients repeat what they gave up on, and the worker serves that too. So the
// queue is kept as short as the time allowed for it, and the rest is refused while that is cheap.
//
//   lag       time until a datagram that is queued now would be served: what a datagram takes,
//             averaged over turns that found no end of them, times those that wait
//   limit()   datagrams whose lag is within `queue_wait_us`; what comes beyond it is refused
//   refuse()  gives the refused one an appointment behind all that wait and all that were refused
//             before it: so the queue goes on at the clients, who come back spread over time
//             instead of all at once
//
//   budget    refusing costs time as well, over a kernel's port a good part of what serving costs.
//             It gets a sixteenth of the worker's time, so that what is served never falls below
//             15/16 of the most; when it is used up, the rest stays in the port, which drops what
//             it has no place for at no cost to the worker
//
// Belongs to one worker; reads no clock. A few nanoseconds a turn, none a request that is served.
#pragma once

#include <algorithm>
#include <cstdint>

namespace dinomo::kn {

class Admission {
 public:
  static constexpr uint32_t kQueuedMax = 512;  // datagrams; each holds a packet buffer
  static constexpr uint32_t kQueuedMin = 32;   // a burst always may
  static constexpr uint32_t kRetryUsMin = 200;
  static constexpr uint32_t kRetryUsMax = 100'000;

  explicit Admission(uint32_t queue_wait_us) noexcept
      : queue_wait_ns_(uint64_t{queue_wait_us} * 1000) {}

  /// A turn begins. The last one is counted if it was full(): then nothing but work lay between.
  void begin_turn(uint64_t now_ns) noexcept {
    if (full_ != 0) learn((now_ns - turn_ns_) / full_);
    full_ = 0;
    budget_ns_ =
        std::min(budget_ns_ + static_cast<int64_t>((now_ns - turn_ns_) / kShedShare), kBudgetNsMax);
    turn_ns_ = now_ns;
  }
  /// This turn serves so many datagrams, and left others waiting.
  void full(uint32_t datagrams) noexcept { full_ = datagrams; }

  uint32_t limit() const noexcept {
    return static_cast<uint32_t>(
        std::clamp<uint64_t>(queue_wait_ns_ / cost_ns_, kQueuedMin, kQueuedMax));
  }

  /// A datagram is refused while `queued` wait. Returns after how long it may come back, in us.
  uint32_t refuse(uint32_t queued) noexcept {
    const uint64_t latest_ns = turn_ns_ + uint64_t{kRetryUsMax} * 1000;
    free_ns_ = std::min(std::max(free_ns_, turn_ns_ + queued * cost_ns_) + cost_ns_, latest_ns);
    return std::max(static_cast<uint32_t>((free_ns_ - turn_ns_) / 1000), kRetryUsMin);
  }

  /// Whether there is time to refuse any more, and how much it took.
  bool may_refuse() const noexcept { return budget_ns_ > 0; }
  void refusing_took(uint64_t ns) noexcept { budget_ns_ -= static_cast<int64_t>(ns); }

  uint64_t cost_ns() const noexcept { return cost_ns_; }

 private:
  static constexpr uint64_t kShedShare = 16;
  static constexpr int64_t kBudgetNsMax = 1'000'000;
  static constexpr uint64_t kCostNsMin = 50;
  static constexpr uint64_t kCostNsMax = 1'000'000;

  /// Moving average. A lcore that did not run for a while is no reason to refuse anybody.
  void learn(uint64_t sample_ns) noexcept {
    sample_ns = std::clamp(std::min(sample_ns, 4 * cost_ns_), kCostNsMin, kCostNsMax);
    cost_ns_ = std::max((cost_ns_ * 15 + sample_ns) / 16, kCostNsMin);
  }

  const uint64_t queue_wait_ns_;
  uint64_t cost_ns_ = 4000;  // of a datagram
  uint64_t turn_ns_ = 0;     // this turn's beginning
  uint64_t free_ns_ = 0;     // when all that have an appointment would have been served
  int64_t budget_ns_ = kBudgetNsMax;
  uint32_t full_ = 0;
};

}  // namespace dinomo::kn
