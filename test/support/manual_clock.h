// SPDX-License-Identifier: BSD-3-Clause
// A clock that a test moves by hand.
#pragma once

#include "common/clock.h"

namespace dinomo::test {

class ManualClock final : public Clock {
 public:
  uint64_t now_ns() noexcept override {
    return (now += step) + (running_ns != nullptr ? running_ns() : 0);
  }
  uint64_t unix_ms() noexcept override { return 1'700'000'000'000 + now / 1'000'000; }

  uint64_t now = 1'000'000'000;
  uint64_t step = 0;  // added at every reading
  // While set: what has passed since the hand was moved last.
  uint64_t (*running_ns)() noexcept = nullptr;
};

}  // namespace dinomo::test
