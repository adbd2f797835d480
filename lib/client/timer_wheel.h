// SPDX-License-Identifier: BSD-3-Clause
// Timers of a client: a wheel of 4096 slots of 131 us (0.54 s a turn). Arming and cancelling are
// O(1), as nearly all timers are cancelled by a reply. A timer never fires early; it fires up to
// one slot late, and one that lies more than a turn ahead is looked at once per turn.
#pragma once

#include <array>
#include <cstdint>

#include "client/intrusive_list.h"

namespace dinomo::client {

struct Timer {
  ListNode node;
  uint64_t due_ns = 0;
};

class TimerWheel {
 public:
  void arm(Timer* timer, uint64_t due_ns) noexcept {
    timer->node.unlink();
    timer->due_ns = due_ns;
    // The slot after the due time, so that when it is reached the timer is due; a due time in the
    // past goes to the next slot to be looked at.
    uint64_t tick = (due_ns >> kTickBits) + 1;
    if (tick < next_tick_) tick = next_tick_;
    if (tick - next_tick_ >= kSlots) tick = next_tick_ + kSlots - 1;
    slots_[tick % kSlots].push_back(&timer->node);
  }

  static void cancel(Timer* timer) noexcept { timer->node.unlink(); }

  /// Calls expired(Timer*) for each timer that is due; it may arm and cancel any timer.
  template <class F>
  void advance(uint64_t now_ns, F&& expired) {
    const uint64_t now_tick = now_ns >> kTickBits;
    // After a long sleep (or at the first call) one turn visits every slot.
    if (now_tick >= next_tick_ + kSlots) next_tick_ = now_tick - kSlots + 1;
    while (next_tick_ <= now_tick) {
      List due;
      due.splice_back(&slots_[next_tick_ % kSlots]);
      ++next_tick_;
      while (!due.empty()) {
        Timer* const timer = timer_of(due.pop_front());
        if (timer->due_ns <= now_ns) {
          expired(timer);
        } else {
          arm(timer, timer->due_ns);
        }
      }
    }
  }

  /// How long nothing will fire, at most `limit_ns`: how long a caller may sleep.
  uint64_t idle_ns(uint64_t now_ns, uint64_t limit_ns) const noexcept {
    const uint64_t ticks = limit_ns >> kTickBits;
    for (uint64_t i = 0; i <= ticks && i < kSlots; ++i) {
      if (slots_[(next_tick_ + i) % kSlots].empty()) continue;
      const uint64_t at_ns = (next_tick_ + i) << kTickBits;
      if (at_ns <= now_ns) return 0;
      return at_ns - now_ns < limit_ns ? at_ns - now_ns : limit_ns;
    }
    return limit_ns;
  }

 private:
  static constexpr uint32_t kTickBits = 17;
  static constexpr uint64_t kSlots = 4096;

  static Timer* timer_of(ListNode* node) noexcept { return reinterpret_cast<Timer*>(node); }

  std::array<List, kSlots> slots_;
  uint64_t next_tick_ = 0;  // the first slot not looked at yet
};

}  // namespace dinomo::client
