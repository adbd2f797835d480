// SPDX-License-Identifier: BSD-3-Clause
#include "policy/heat.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <random>
#include <vector>

#include "common/bytes.h"
#include "common/hash.h"

namespace dinomo::policy {
namespace {

using telemetry::HeatReport;
using telemetry::HeavyHitters;

uint64_t routing_of(uint64_t key) { return checksum64(object_bytes(key)); }

/// Ends the period and gives its report.
HeatReport end_period(HeavyHitters* hitters) {
  hitters->ask();
  EXPECT_FALSE(hitters->ready());
  hitters->follow();
  EXPECT_TRUE(hitters->ready());
  return hitters->report();
}

/// Keys 0.. by Zipf's law; returns how often each came.
std::vector<uint64_t> zipf(HeavyHitters* hitters, double theta, size_t keys, size_t operations) {
  std::vector<double> weights;
  for (size_t k = 0; k < keys; ++k) {
    weights.push_back(1 / std::pow(static_cast<double>(k + 1), theta));
  }
  std::discrete_distribution<uint64_t> draw(weights.begin(), weights.end());
  std::mt19937_64 random(7);
  std::vector<uint64_t> times(keys);
  for (size_t i = 0; i < operations; ++i) {
    const uint64_t key = draw(random);
    ++times[key];
    hitters->note(routing_of(key), key);
  }
  return times;
}

TEST(HeavyHitters, FindsTheHottestOfManyKeys) {
  const auto hitters = std::make_unique<HeavyHitters>(1);
  const std::vector<uint64_t> times = zipf(hitters.get(), 1.2, 20'000, 400'000);
  const HeatReport report = end_period(hitters.get());
  EXPECT_NEAR(static_cast<double>(report.sampled), 400'000.0 / HeavyHitters::kOneIn, 1000);
  ASSERT_EQ(report.size, HeatReport::kKeys);
  for (uint64_t key = 0; key < 5; ++key) {
    const auto* const found = std::find_if(report.keys.begin(), report.keys.end(),
                                           [&](const auto& k) { return k.key_hash == key; });
    ASSERT_NE(found, report.keys.end()) << key;
    const double expected = static_cast<double>(times[key]) / HeavyHitters::kOneIn;
    EXPECT_GE(static_cast<double>(found->count), expected * 0.8) << key;
    EXPECT_LE(static_cast<double>(found->count - found->over), expected * 1.2) << key;
  }
}

TEST(HeavyHitters, EstimatesHowManyKeysThereWere) {
  const auto hitters = std::make_unique<HeavyHitters>(1);
  for (uint64_t key = 0; key < 10'000 * HeavyHitters::kOneIn; ++key) {
    hitters->note(routing_of(key), key);  // each once, so the sample has as many as operations
  }
  const HeatReport report = end_period(hitters.get());
  EXPECT_NEAR(static_cast<double>(report.distinct), static_cast<double>(report.sampled),
              0.03 * static_cast<double>(report.sampled));
}

TEST(HeavyHitters, APeriodBeginsWithNothing) {
  const auto hitters = std::make_unique<HeavyHitters>(1);
  zipf(hitters.get(), 1.0, 100, 10'000);
  EXPECT_NE(end_period(hitters.get()).sampled, 0u);
  const HeatReport empty = end_period(hitters.get());
  EXPECT_EQ(empty.sampled, 0u);
  EXPECT_EQ(empty.distinct, 0u);
  EXPECT_EQ(empty.size, 0u);
}

HeatReport report_of(std::vector<HeatReport::Key> keys, uint64_t sampled, uint64_t distinct) {
  HeatReport r;
  std::copy(keys.begin(), keys.end(), r.keys.begin());
  r.size = keys.size();
  r.sampled = sampled;
  r.distinct = distinct;
  return r;
}

TEST(Heat, AddsUpAKeyThatSeveralKnsServe) {
  const std::vector<WorkerHeat> workers{
      {.kn_slot = 0, .report = report_of({{11, 1, 30, 0}, {12, 2, 10, 0}}, 50, 12)},
      {.kn_slot = 1, .report = report_of({{11, 1, 60, 10}}, 100, 41)}};
  const Heat heat = add_up(workers);
  ASSERT_EQ(heat.hottest.size(), 2u);
  EXPECT_EQ(heat.hottest[0].routing_hash, 11u);
  EXPECT_EQ(heat.hottest[0].accesses, 80.0);  // 10 of them may be another key's
  EXPECT_EQ(heat.hottest[0].busiest, 1);
  EXPECT_EQ(heat.sampled, 150.0);
  EXPECT_EQ(heat.keys, 52.0);  // 53, one of them twice
  EXPECT_NEAR(heat.mean, 150.0 / 52, 1e-9);
}

TEST(Heat, DeviationIsThePopulations) {
  // Ten keys, all of them known: 91, and nine times 1.
  std::vector<HeatReport::Key> keys{{1, 1, 91, 0}};
  for (uint64_t k = 2; k <= 10; ++k) keys.push_back({k, k, 1, 0});
  const std::vector<WorkerHeat> workers{{.kn_slot = 0, .report = report_of(keys, 100, 10)}};
  const Heat heat = add_up(workers);
  EXPECT_NEAR(heat.mean, 10, 1e-9);
  EXPECT_NEAR(heat.deviation, 27, 1e-9);
}

TEST(Heat, OfNothingIsNothing) {
  const Heat heat = add_up({});
  EXPECT_EQ(heat.mean, 0.0);
  EXPECT_TRUE(heat.hottest.empty());
}

}  // namespace
}  // namespace dinomo::policy
