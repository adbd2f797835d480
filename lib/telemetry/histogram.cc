// SPDX-License-Identifier: BSD-3-Clause
#include "telemetry/histogram.h"

#include <cmath>

namespace dinomo::telemetry {

void LatencyHistogram::merge(const LatencyHistogram& other) noexcept {
  static_assert(bucket_of(0) == 0 && bucket_of(127) == 127 && bucket_of(128) == 128);
  static_assert(bucket_of(kValueMax) == kBuckets - 1);
  static_assert(bucket_last(kBuckets - 1) == kValueMax);
  for (uint32_t i = 0; i < kBuckets; ++i) counts_[i] += other.counts_[i];
  count_ += other.count_;
  sum_ns_ += other.sum_ns_;
  min_ns_ = std::min(min_ns_, other.min_ns_);
  max_ns_ = std::max(max_ns_, other.max_ns_);
}

uint64_t LatencyHistogram::percentile_ns(double percent) const noexcept {
  if (count_ == 0) return 0;
  const double share = std::clamp(percent, 0.0, 100.0) / 100.0;
  // Rank of the value asked for, from 1; the small term undoes 0.999 * 1000 == 999.0000000001.
  const double exact = share * static_cast<double>(count_);
  const uint64_t rank =
      std::clamp<uint64_t>(static_cast<uint64_t>(std::ceil(exact - 1e-9 * exact)), 1, count_);
  uint64_t seen = 0;
  for (uint32_t i = 0; i < kBuckets; ++i) {
    seen += counts_[i];
    if (seen >= rank) {
      // Values past the last bucket are known only by their maximum.
      return i == kBuckets - 1 ? max_ns_ : std::clamp(bucket_last(i), min_ns_, max_ns_);
    }
  }
  return max_ns_;
}

}  // namespace dinomo::telemetry
