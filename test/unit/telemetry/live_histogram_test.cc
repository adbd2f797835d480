// SPDX-License-Identifier: BSD-3-Clause
#include "telemetry/live_histogram.h"

#include <gtest/gtest.h>

#include <random>

namespace dinomo::telemetry {
namespace {

LatencyHistogram copy_of(const LiveHistogram& live) {
  LatencyHistogram h;
  live.add_to(&h);
  return h;
}

TEST(LiveHistogram, AnEmptyOneAddsNothing) {
  const LiveHistogram live;
  EXPECT_EQ(copy_of(live).count(), 0u);
  EXPECT_EQ(live.sum_ns(), 0u);
}

TEST(LiveHistogram, CountSumAndMaximumAreExact) {
  LiveHistogram live;
  live.record_many(1000, 3);
  live.record_many(7, 2);
  live.record_many(LiveHistogram::kValueMax + 5, 1);
  EXPECT_EQ(copy_of(live).count(), 6u);
  EXPECT_EQ(live.sum_ns(), 3014u + LiveHistogram::kValueMax + 5);
  EXPECT_EQ(live.max_ns(), LiveHistogram::kValueMax + 5);
}

TEST(LiveHistogram, PercentilesAreAtMostAnEighthAboveTheTruth) {
  std::mt19937_64 random(7);
  for (int round = 0; round < 200; ++round) {
    const uint64_t ns = random() >> (24 + random() % 40);
    LiveHistogram live;
    live.record_many(ns, 10);
    live.record_many(ns * 4 + 100, 1);  // so that the maximum is another one
    const uint64_t said = copy_of(live).percentile_ns(50);
    EXPECT_GE(said, ns);
    EXPECT_LE(said, ns + ns / 8 + 1) << ns;
  }
}

TEST(LiveHistogram, SeveralAddUp) {
  LiveHistogram a;
  LiveHistogram b;
  a.record_many(100, 5);
  b.record_many(100, 7);
  LatencyHistogram both;
  a.add_to(&both);
  b.add_to(&both);
  EXPECT_EQ(both.count(), 12u);
}

}  // namespace
}  // namespace dinomo::telemetry
