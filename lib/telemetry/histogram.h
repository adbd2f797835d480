// SPDX-License-Identifier: BSD-3-Clause
// Latency histogram: log-linear, mergeable, of fixed size.
//
// Values are nanoseconds from 0 to 2^40 - 1 (18 minutes); larger ones are counted in the last
// bucket, and max() still tells their true size. Up to 127 every value has its own bucket; above,
// each power of two is cut into 64 buckets, so a percentile is at most 1/64 (1.6 %) above the
// truth, and never below it. Count, sum, minimum and maximum are exact.
//
// Percentiles of several threads or hosts come from merge(): merged percentiles are those of all
// values together, which an average of percentiles is not.
//
// Thread rule: one writer; a reader needs the writer's cooperation (copy or hand over).
// Cost: record() is a bit scan and five memory operations, no branch that depends on the size, no
// allocation ever. 18 KiB.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace dinomo::telemetry {

class LatencyHistogram {
 public:
  static constexpr uint32_t kValueBits = 40;
  static constexpr uint64_t kValueMax = (uint64_t{1} << kValueBits) - 1;

  void record(uint64_t ns) noexcept { record_many(ns, 1); }

  void record_many(uint64_t ns, uint64_t times) noexcept {
    if (times == 0) return;
    counts_[bucket_of(std::min(ns, kValueMax))] += times;
    count_ += times;
    sum_ns_ += ns * times;
    min_ns_ = std::min(min_ns_, ns);
    max_ns_ = std::max(max_ns_, ns);
  }

  void merge(const LatencyHistogram& other) noexcept;
  void clear() noexcept { *this = LatencyHistogram{}; }

  uint64_t count() const noexcept { return count_; }
  uint64_t sum_ns() const noexcept { return sum_ns_; }
  /// 0 when empty, as are mean_ns() and percentile_ns().
  uint64_t min_ns() const noexcept { return count_ == 0 ? 0 : min_ns_; }
  uint64_t max_ns() const noexcept { return max_ns_; }
  double mean_ns() const noexcept {
    return count_ == 0 ? 0.0 : static_cast<double>(sum_ns_) / static_cast<double>(count_);
  }

  /// The smallest bucket end at or below which `percent` (0..100) of the values lie, at most max().
  uint64_t percentile_ns(double percent) const noexcept;

  /// Calls f(first_ns, last_ns, count) for every bucket that holds something, in rising order.
  template <class F>
  void for_each_bucket(F&& f) const {
    for (uint32_t i = 0; i < kBuckets; ++i) {
      if (counts_[i] != 0) f(bucket_first(i), bucket_last(i), counts_[i]);
    }
  }

 private:
  static constexpr uint32_t kSubBits = 6;
  static constexpr uint64_t kExactBelow = uint64_t{1} << (kSubBits + 1);
  static constexpr uint32_t kBuckets = ((kValueBits - kSubBits) << kSubBits) + (1u << kSubBits);

  static constexpr uint32_t bucket_of(uint64_t ns) noexcept {
    const uint32_t shift =
        static_cast<uint32_t>(std::bit_width(ns | kExactBelow / 2)) - 1 - kSubBits;
    return static_cast<uint32_t>((uint64_t{shift} << kSubBits) + (ns >> shift));
  }
  static constexpr uint64_t bucket_first(uint32_t bucket) noexcept {
    if (bucket < kExactBelow) return bucket;
    const uint32_t shift = (bucket >> kSubBits) - 1;
    return uint64_t{bucket - (shift << kSubBits)} << shift;
  }
  static constexpr uint64_t bucket_last(uint32_t bucket) noexcept {
    if (bucket < kExactBelow) return bucket;
    return bucket_first(bucket) + (uint64_t{1} << ((bucket >> kSubBits) - 1)) - 1;
  }

  std::array<uint64_t, kBuckets> counts_{};
  uint64_t count_ = 0;
  uint64_t sum_ns_ = 0;
  uint64_t min_ns_ = UINT64_MAX;
  uint64_t max_ns_ = 0;
};

}  // namespace dinomo::telemetry
