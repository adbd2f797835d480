// SPDX-License-Identifier: BSD-3-Clause
// Which local memory the device may touch, and by which key. Grows only; a few regions as a rule.
//
// Threads: add() from one at a time (the Fabric locks); find() from any lcore, without a lock.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>

#include "common/bytes.h"

namespace dinomo::fabric::rdma {

class LocalKeys {
 public:
  static constexpr uint32_t kRegionsMax = 1024;

  bool full() const noexcept { return count_.load(std::memory_order_relaxed) == kRegionsMax; }

  void add(MutableBytes memory, uint32_t lkey) noexcept {
    const uint32_t at = count_.load(std::memory_order_relaxed);
    const auto begin = reinterpret_cast<uintptr_t>(memory.data());
    regions_[at] = {begin, begin + memory.size(), lkey};
    count_.store(at + 1, std::memory_order_release);
  }

  std::optional<uint32_t> find(Bytes memory) const noexcept {
    const auto begin = reinterpret_cast<uintptr_t>(memory.data());
    const uintptr_t end = begin + memory.size();
    const uint32_t count = count_.load(std::memory_order_acquire);
    for (uint32_t i = 0; i < count; ++i) {
      const Region& r = regions_[i];
      if (begin >= r.begin && end <= r.end) return r.lkey;
    }
    return std::nullopt;
  }

 private:
  struct Region {
    uintptr_t begin;
    uintptr_t end;
    uint32_t lkey;
  };
  std::array<Region, kRegionsMax> regions_;
  std::atomic<uint32_t> count_{0};
};

}  // namespace dinomo::fabric::rdma
