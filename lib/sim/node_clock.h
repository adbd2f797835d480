// SPDX-License-Identifier: BSD-3-Clause
// The clock of one simulated machine: it starts anywhere, runs a little fast or slow, and its idea
// of the date is off.
#pragma once

#include "common/clock.h"
#include "sim/event_loop.h"

namespace dinomo::sim {

struct ClockFaults {
  uint64_t origin_ns = 1'000'000'000;
  int64_t drift_ppm = 0;     // gained per million of true time
  int64_t unix_skew_ms = 0;  // of the date
};

class NodeClock final : public Clock {
 public:
  static constexpr uint64_t kUnixMs = 1'800'000'000'000;  // when the simulation begins

  NodeClock(const EventLoop* loop, const ClockFaults& faults) : loop_(loop), faults_(faults) {}

  uint64_t now_ns() noexcept override { return faults_.origin_ns + elapsed_ns(); }
  uint64_t unix_ms() noexcept override {
    return kUnixMs + static_cast<uint64_t>(faults_.unix_skew_ms) + elapsed_ns() / 1'000'000;
  }

 private:
  uint64_t elapsed_ns() const noexcept {
    const auto now = static_cast<int64_t>(loop_->now_ns());
    return static_cast<uint64_t>(now + now / 1'000'000 * faults_.drift_ppm);
  }

  const EventLoop* loop_;
  const ClockFaults faults_;
};

}  // namespace dinomo::sim
