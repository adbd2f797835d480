// SPDX-License-Identifier: BSD-3-Clause
// DAC tuner: divides a KN's cache memory between its workers by marginal benefit. Every period it
// moves one step of memory from the cache that loses least by it to the one that gains most, both
// estimated from the caches' ghost lists (half and twice the memory).
//
// Reads no clock and draws no random numbers: the same observations give the same division.
//
// Thread rule: the control lcore.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "common/status.h"

namespace dinomo::cache {

struct TunerConfig {
  bool on = true;
  uint32_t period_ms = 1000;
  uint32_t share_min_percent = 25;  // of an equal share: what no cache falls below
};

/// What one cache did since the last period.
struct TunerView {
  uint64_t gets = 0;
  // Round trips of a read, in thousandths, with half, the same and twice the memory. All 0: not
  // known yet.
  uint32_t half_millirt = 0, same_millirt = 0, twice_millirt = 0;
};

class Tuner {
 public:
  /// `share_bytes`: what each of `shares` caches begins with. Allocates.
  Tuner(const TunerConfig& config, uint64_t share_bytes, uint32_t shares);

  /// One period. True if the division changed: by one step, from one cache to another.
  bool decide(std::span<const TunerView> views) noexcept;

  /// The budget each cache is to have; they always add up to shares * share_bytes.
  uint64_t budget_bytes(uint32_t share) const noexcept { return caches_[share].budget_bytes; }

 private:
  struct Cache {
    uint64_t budget_bytes = 0;
    double gets = 0;  // a period, moving average
    TunerView view;
  };

  double gain(const Cache& c) const noexcept;
  double loss(const Cache& c) const noexcept;

  TunerConfig config_;
  uint64_t step_bytes_;
  uint64_t least_bytes_;
  uint64_t most_bytes_;
  std::vector<Cache> caches_;
};

}  // namespace dinomo::cache
