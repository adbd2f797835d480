// SPDX-License-Identifier: BSD-3-Clause
// The machine's clocks behind the Clock seam, for the programs of the client side.
#pragma once

#include <ctime>

#include "common/clock.h"

namespace dinomo::app {

class MachineClock final : public Clock {
 public:
  uint64_t now_ns() noexcept override { return read(CLOCK_MONOTONIC); }
  uint64_t unix_ms() noexcept override { return read(CLOCK_REALTIME) / 1'000'000; }

 private:
  static uint64_t read(clockid_t id) noexcept {
    timespec t{};
    clock_gettime(id, &t);
    return static_cast<uint64_t>(t.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(t.tv_nsec);
  }
};

}  // namespace dinomo::app
