// SPDX-License-Identifier: BSD-3-Clause
// A counter with one writer and any readers: relaxed, so it costs its writer a plain add.
#pragma once

#include <atomic>
#include <cstdint>

namespace dinomo::telemetry {

class Counter {
 public:
  void add(uint64_t n = 1) noexcept {
    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  void set(uint64_t n) noexcept { value_.store(n, std::memory_order_relaxed); }
  uint64_t get() const noexcept { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

}  // namespace dinomo::telemetry
