// SPDX-License-Identifier: BSD-3-Clause
#include "app/dinomo-eval/timeline.h"

#include <gtest/gtest.h>

#include "sim/checker.h"
#include "small.h"

namespace dinomo::eval {
namespace {

Calibration small_timeline() {
  Calibration c = small_calibration();
  c.keys = 500;
  c.zipf_percent = 50;
  c.depth = 8;
  // Slow, so that virtual seconds are not many operations.
  c.get_value_ns = c.get_shortcut_ns = c.get_miss_ns = c.put_ns = 30'000;
  return c;
}

nlohmann::ordered_json run(const Timeline& timeline) {
  nlohmann::ordered_json result;
  std::string why;
  const Calibration c = small_timeline();
  EXPECT_EQ(run_timeline(c, timeline, &result, &why), Status::kOk) << why;
  return result;
}

/// The event of that name; null if there is none.
nlohmann::ordered_json event(const nlohmann::ordered_json& timeline, const std::string& what) {
  for (const auto& e : timeline["events"]) {
    if (e["what"] == what) return e;
  }
  return nullptr;
}

TEST(Timeline, HistoriesAreLinearizableWhoeverOwnsTheKeys) {
  for (const char* script : script_names()) {
    for (const bool moves_data : {false, true}) {
      sim::History history;
      const auto t =
          run({.script = script, .moves_data = moves_data, .second_us = 100, .history = &history});
      ASSERT_GT(history.size(), 1000u) << script;
      const sim::CheckReport report = sim::check_linearizable(history);
      EXPECT_EQ(report.verdict, sim::Verdict::kLinearizable)
          << script << ' ' << moves_data << ": " << report.explanation;
    }
  }
}

TEST(Timeline, OnlyDinomoNMovesData) {
  const auto ours = event(run({.script = "elasticity"}), "add KN");
  const auto theirs = event(run({.script = "elasticity", .moves_data = true}), "add KN");
  ASSERT_TRUE(ours.is_object() && theirs.is_object());
  EXPECT_EQ(ours["bytes_moved"], 0);
  EXPECT_EQ(ours["blocked_us"], 0);
  // A fifth of the keys goes to the fifth KN, and no other changes hands.
  EXPECT_GT(theirs["keys_moved"], 500 / 5 / 2);
  EXPECT_LT(theirs["keys_moved"], 500 / 5 * 2);
  EXPECT_EQ(theirs["keys_moved"], ours["keys_changing"]);
  EXPECT_EQ(theirs["bytes_moved"], theirs["keys_moved"].get<uint64_t>() * 1000);
  // Nobody is served for as long as data is moved.
  EXPECT_GE(theirs["silence_us"], theirs["moving_us"]);
  EXPECT_GT(theirs["silence_us"], ours["silence_us"]);
}

TEST(Timeline, LoadFollowsTheClientsAndAFailureIsSurvived) {
  const auto t = run({.script = "elasticity", .second_us = 2000});
  const auto& mops = t["mops_per_s"];
  ASSERT_EQ(mops.size(), 300u);
  EXPECT_GT(mops[30].get<double>(), 2 * mops[10].get<double>());
  EXPECT_LT(mops[240].get<double>(), mops[225].get<double>() / 2);
  const auto failed = run({.script = "failure", .second_us = 80'000});
  const auto kill = event(failed, "kill KN");
  ASSERT_TRUE(kill.is_object());
  // No sooner than the lease is over is anybody else its owner.
  EXPECT_GT(kill["took_us"], 900'000);
  EXPECT_LT(kill["took_us"], 2'500'000);
  // Clients ask again a second later at most.
  const auto& after = failed["mops_per_s"];
  EXPECT_GT(after[after.size() - 2].get<double>(), after[15].get<double>() / 2);
}

TEST(Timeline, IsTheSameEachTime) {
  const Timeline timeline{.script = "elasticity", .moves_data = true, .second_us = 100, .seed = 7};
  EXPECT_EQ(run(timeline), run(timeline));
}

TEST(Timeline, WhatDoesNotFitIsRefusedWithASentence) {
  nlohmann::ordered_json result;
  std::string why;
  EXPECT_EQ(run_timeline(small_timeline(), {.script = "flood"}, &result, &why), Status::kInvalid);
  EXPECT_NE(why.find("there is no script 'flood'"), std::string::npos) << why;
  Calibration c = small_timeline();
  c.scale = 64;
  c.keys = 64 * 2000;
  EXPECT_EQ(run_timeline(c, {.script = "failure"}, &result, &why), Status::kInvalid);
  EXPECT_NE(why.find("cache_mib"), std::string::npos) << why;
}

}  // namespace
}  // namespace dinomo::eval
