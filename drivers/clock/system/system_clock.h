// SPDX-License-Identifier: BSD-3-Clause
// The machine's clocks. now_ns() reads the time stamp counter where it is invariant (10 ns a call),
// else CLOCK_MONOTONIC (25 ns); unix_ms() is CLOCK_REALTIME_COARSE (a tick of 1-4 ms).
#pragma once

#include "common/clock.h"

namespace dinomo {

class SystemClock final : public Clock {
 public:
  /// Takes 10 ms to measure the time stamp counter; with `measure` false it takes no time, and
  /// now_ns() is CLOCK_MONOTONIC (for programs that live for a few milliseconds).
  explicit SystemClock(bool measure = true);

  uint64_t now_ns() noexcept override;
  uint64_t unix_ms() noexcept override;

  bool uses_tsc() const noexcept { return ns_per_tick_q32_ != 0; }

 private:
  uint64_t origin_ticks_ = 0;
  uint64_t origin_ns_ = 0;
  uint64_t ns_per_tick_q32_ = 0;  // 32.32 fixed point; 0: no usable counter
};

}  // namespace dinomo
