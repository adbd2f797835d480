// SPDX-License-Identifier: BSD-3-Clause
#include "app/dinomo-eval/point.h"

#include <gtest/gtest.h>

#include "small.h"

namespace dinomo::eval {
namespace {

nlohmann::ordered_json run(const Calibration& c, const Point& point) {
  nlohmann::ordered_json result;
  std::string why;
  EXPECT_EQ(run_point(c, point, &result, &why), Status::kOk) << point.engine << ": " << why;
  return result;
}

TEST(Point, EveryEngineAnswersAllAndTheSameEachTime) {
  for (const char* engine : engine_names()) {
    const Point point{.engine = engine, .kns = 2, .read_percent = 60};
    const auto result = run(small_calibration(), point);
    ASSERT_TRUE(result.contains("operations")) << engine;
    EXPECT_EQ(result["operations"], 4000) << engine;
    EXPECT_GT(result["mops_per_s"], 0.1) << engine;
    double shares = 0;
    for (const auto& [name, share] : result["gets"].items()) shares += share.get<double>();
    EXPECT_NEAR(shares, 1, 0.02) << engine << ' ' << result["gets"];
    EXPECT_EQ(result, run(small_calibration(), point)) << engine;
  }
}

TEST(Point, ReadsThatTheCacheHoldsCostDinomoNothingAndCloverOneRoundTrip) {
  Calibration c = small_calibration();
  c.cache_mib = 16;  // more than all data
  c.warm_per_key = 60;
  const auto ours = run(c, {.engine = "dinomo", .kns = 1, .read_percent = 100});
  EXPECT_LT(ours["rts_per_op"], 0.01);
  const auto shortcuts = run(c, {.engine = "dinomo-s", .kns = 1, .read_percent = 100});
  EXPECT_EQ(shortcuts["gets"]["value"], 0);
  // What joined a look-up that was under way has cost none of its own.
  const double joined = shortcuts["gets"]["joined"];
  EXPECT_NEAR(shortcuts["rts_per_op"].get<double>() + joined, 1, 0.02);
  const auto theirs = run(c, {.engine = "clover", .kns = 1, .read_percent = 100});
  EXPECT_EQ(theirs["rts_per_op"], 1);
}

/// What one owner has to answer alone, all KNs answer then, each GET in two round trips.
TEST(Point, GetsOfAReplicatedKeySpreadOverTheKns) {
  Calibration c = small_calibration();
  c.zipf_percent = 200;  // six of ten operations are for one key
  c.depth = 256;
  c.warm_per_key = 10;
  const Point point{.engine = "dinomo", .kns = 8, .read_percent = 100};
  const auto alone = run(c, point);
  EXPECT_EQ(alone["gets"]["shared"], 0);
  c.replicated = 1;
  const auto spread = run(c, point);
  EXPECT_GT(spread["gets"]["shared"].get<double>() + spread["gets"]["joined"].get<double>(), 0.4);
  EXPECT_EQ(spread["gets"]["elsewhere"], 0);
  EXPECT_GT(spread["rts_per_op"], alone["rts_per_op"]);
  EXPECT_GT(spread["mops_per_s"], 1.3 * alone["mops_per_s"].get<double>());
}

TEST(Point, APutOfAReplicatedKeyWritesItsCellToo) {
  Calibration c = small_calibration();
  c.depth = 1;  // of each client one operation at a time
  const Point point{.engine = "dinomo", .kns = 2, .read_percent = 0};
  const double alone = run(c, point)["rts_per_put"];
  c.replicated = 256;
  const double replicated = run(c, point)["rts_per_put"];
  EXPECT_GT(replicated, alone * 1.2);
  EXPECT_LE(replicated, 2);
}

TEST(Point, APutCostsDinomoAtMostOneRoundTripAndCloverTwo) {
  const auto ours = run(small_calibration(), {.engine = "dinomo", .kns = 1, .read_percent = 0});
  EXPECT_LE(ours["rts_per_put"], 1);
  EXPECT_GT(ours["entries_per_commit"], 1);
  Calibration c = small_calibration();
  c.zipf_percent = 0;  // one KN, hardly two writers of a key at once
  const auto theirs = run(c, {.engine = "clover", .kns = 1, .read_percent = 0});
  EXPECT_NEAR(theirs["rts_per_put"], 2, 0.01);
}

/// A card that does one atomic in so long bounds PUTs that need one each.
TEST(Point, AtomicsBoundClover) {
  Calibration c = small_calibration();
  c.zipf_percent = 0;
  c.kn_threads = 8;
  c.atomic_ns = 4000;
  const auto bound = run(c, {.engine = "clover", .kns = 2, .read_percent = 0});
  EXPECT_LT(bound["mops_per_s"], 0.25);
  EXPECT_GT(bound["mops_per_s"], 0.15);  // some swaps are in vain
  const auto ours = run(c, {.engine = "dinomo", .kns = 2, .read_percent = 0});
  EXPECT_GT(ours["mops_per_s"], 1);
}

TEST(Point, WhatDoesNotFitIsRefusedWithASentence) {
  nlohmann::ordered_json result;
  std::string why;
  EXPECT_EQ(run_point(small_calibration(), {.engine = "memcached"}, &result, &why),
            Status::kInvalid);
  EXPECT_NE(why.find("there is no engine 'memcached'"), std::string::npos) << why;
  Calibration c = small_calibration();
  c.clover_pool_mib = 1;
  EXPECT_EQ(run_point(c, {.engine = "clover"}, &result, &why), Status::kInvalid);
  EXPECT_NE(why.find("clover_pool_mib"), std::string::npos) << why;
  c = small_calibration();
  c.scale = 64;
  c.keys = 64 * 2000;
  EXPECT_EQ(run_point(c, {.engine = "dinomo"}, &result, &why), Status::kInvalid);
  EXPECT_NE(why.find("cache_mib"), std::string::npos) << why;
  c = small_calibration();
  c.depth = 500;
  EXPECT_EQ(run_point(c, {.engine = "dinomo"}, &result, &why), Status::kInvalid);
  EXPECT_NE(why.find("warm_per_key"), std::string::npos) << why;
}

}  // namespace
}  // namespace dinomo::eval
