// SPDX-License-Identifier: BSD-3-Clause
// Latency histogram that others may read while it is written: for what a worker shows of itself.
//
// As LatencyHistogram, but coarser, so that a few of them stay in a cache: up to 15 ns every value
// has its own bucket, above each power of two is cut into 8, so a percentile is at most 12.5 %
// above the truth. 2.4 KiB. A reader that comes while the writer records sees the one or the other
// of a record's three numbers: count() is that of the buckets.
//
// Thread rule: one writer, any readers. Cost: record_many() is a bit scan and three plain adds.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>

#include "telemetry/counter.h"
#include "telemetry/histogram.h"

namespace dinomo::telemetry {

class LiveHistogram {
 public:
  static constexpr uint32_t kValueBits = 40;
  static constexpr uint64_t kValueMax = (uint64_t{1} << kValueBits) - 1;

  void record_many(uint64_t ns, uint64_t times) noexcept {
    counts_[bucket_of(std::min(ns, kValueMax))].add(times);
    sum_ns_.add(ns * times);
    if (ns > max_ns_.get()) max_ns_.set(ns);
  }

  uint64_t sum_ns() const noexcept { return sum_ns_.get(); }
  uint64_t max_ns() const noexcept { return max_ns_.get(); }

  /// Adds what is here, each value as the last one of its bucket; sum_ns() tells the exact sum.
  void add_to(LatencyHistogram* to) const noexcept {
    for (uint32_t i = 0; i < kBuckets; ++i) {
      to->record_many(std::min(bucket_last(i), std::max(max_ns(), bucket_first(i))),
                      counts_[i].get());
    }
  }

 private:
  static constexpr uint32_t kSubBits = 3;
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

  std::array<Counter, kBuckets> counts_;
  Counter sum_ns_, max_ns_;
};

}  // namespace dinomo::telemetry
