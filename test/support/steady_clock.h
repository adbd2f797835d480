// SPDX-License-Identifier: BSD-3-Clause
// Clocks for tests: the machine's, and one that is moved by hand.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

#include "common/clock.h"

namespace dinomo::test {

class SteadyClock final : public Clock {
 public:
  uint64_t now_ns() noexcept override {
    return static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
  }
  uint64_t unix_ms() noexcept override {
    return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(
                                     std::chrono::system_clock::now().time_since_epoch())
                                     .count());
  }
};

/// The test moves it, workers read it.
class HandClock final : public Clock {
 public:
  uint64_t now_ns() noexcept override { return now; }
  uint64_t unix_ms() noexcept override { return unix_now_ms(); }
  uint64_t unix_now_ms() const noexcept { return 1'700'000'000'000 + now / 1'000'000; }
  void advance_ms(uint64_t ms) noexcept { now += ms * 1'000'000; }

  std::atomic<uint64_t> now = 1'000'000'000;
};

}  // namespace dinomo::test
