// SPDX-License-Identifier: BSD-3-Clause
#include "telemetry/histogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

namespace dinomo::telemetry {
namespace {

uint64_t exact_percentile(const std::vector<uint64_t>& sorted, double percent) {
  const auto rank =
      static_cast<size_t>(std::ceil(percent / 100.0 * static_cast<double>(sorted.size())));
  return sorted[std::max<size_t>(rank, 1) - 1];
}

TEST(LatencyHistogram, AnEmptyOneIsAllZeros) {
  const LatencyHistogram h;
  EXPECT_EQ(h.count(), 0u);
  EXPECT_EQ(h.min_ns(), 0u);
  EXPECT_EQ(h.max_ns(), 0u);
  EXPECT_EQ(h.mean_ns(), 0.0);
  EXPECT_EQ(h.percentile_ns(99), 0u);
}

TEST(LatencyHistogram, SmallValuesAreExact) {
  LatencyHistogram h;
  for (uint64_t v = 1; v <= 100; ++v) h.record(v);
  EXPECT_EQ(h.min_ns(), 1u);
  EXPECT_EQ(h.max_ns(), 100u);
  EXPECT_DOUBLE_EQ(h.mean_ns(), 50.5);
  for (const double p : {1.0, 37.0, 50.0, 99.0, 100.0}) {
    EXPECT_EQ(h.percentile_ns(p), static_cast<uint64_t>(p)) << p;
  }
  EXPECT_EQ(h.percentile_ns(0), 1u);
}

TEST(LatencyHistogram, EveryValueFallsIntoItsBucketWithinOneSixtyFourth) {
  std::mt19937_64 random(1);
  for (int round = 0; round < 20'000; ++round) {
    const uint64_t v = random() >> (24 + random() % 40);
    LatencyHistogram h;
    h.record(v);
    h.for_each_bucket([&](uint64_t first, uint64_t last, uint64_t count) {
      EXPECT_EQ(count, 1u);
      EXPECT_LE(first, v);
      EXPECT_GE(last, v);
      EXPECT_LE((last - first) * 64, first) << v;
    });
  }
}

TEST(LatencyHistogram, PercentilesAreNeverBelowTheTruthAndAtMost1In64Above) {
  std::mt19937_64 random(2);
  std::lognormal_distribution<double> latency(10.0, 2.0);
  LatencyHistogram h;
  std::vector<uint64_t> values;
  for (int i = 0; i < 100'000; ++i) {
    values.push_back(static_cast<uint64_t>(latency(random)) + 1);
    h.record(values.back());
  }
  std::ranges::sort(values);
  for (const double p : {0.1, 10.0, 50.0, 90.0, 99.0, 99.9, 99.99, 100.0}) {
    const uint64_t exact = exact_percentile(values, p);
    EXPECT_GE(h.percentile_ns(p), exact) << p;
    EXPECT_LE(static_cast<double>(h.percentile_ns(p)), static_cast<double>(exact) * (1 + 1.0 / 64))
        << p;
  }
  EXPECT_EQ(h.max_ns(), values.back());
  EXPECT_EQ(h.min_ns(), values.front());
}

TEST(LatencyHistogram, MergingEqualsRecordingTogether) {
  std::mt19937_64 random(3);
  LatencyHistogram one;
  LatencyHistogram two;
  LatencyHistogram together;
  for (int i = 0; i < 10'000; ++i) {
    const uint64_t v = random() >> (30 + random() % 30);
    (i % 3 == 0 ? one : two).record(v);
    together.record(v);
  }
  one.merge(two);
  EXPECT_EQ(one.count(), together.count());
  EXPECT_EQ(one.sum_ns(), together.sum_ns());
  EXPECT_EQ(one.min_ns(), together.min_ns());
  EXPECT_EQ(one.max_ns(), together.max_ns());
  for (double p = 0; p <= 100; p += 0.5) EXPECT_EQ(one.percentile_ns(p), together.percentile_ns(p));
}

TEST(LatencyHistogram, MergingAnEmptyOneChangesNothing) {
  LatencyHistogram h;
  h.record(5000);
  h.merge(LatencyHistogram{});
  EXPECT_EQ(h.min_ns(), 5000u);
  EXPECT_EQ(h.count(), 1u);
}

TEST(LatencyHistogram, ValuesPastTheEndAreKeptByTheMaximum) {
  LatencyHistogram h;
  h.record(10);
  h.record(uint64_t{1} << 50);
  EXPECT_EQ(h.max_ns(), uint64_t{1} << 50);
  EXPECT_EQ(h.percentile_ns(50), 10u);
  EXPECT_EQ(h.percentile_ns(99), uint64_t{1} << 50);
}

TEST(LatencyHistogram, ClearForgets) {
  LatencyHistogram h;
  h.record_many(100, 7);
  EXPECT_EQ(h.count(), 7u);
  EXPECT_EQ(h.sum_ns(), 700u);
  h.clear();
  EXPECT_EQ(h.count(), 0u);
  EXPECT_EQ(h.min_ns(), 0u);
}

}  // namespace
}  // namespace dinomo::telemetry
