// SPDX-License-Identifier: BSD-3-Clause
// The whole cluster in virtual time.
#include "world/run.h"

#include <gtest/gtest.h>

namespace dinomo::world {

namespace {

TEST(World, TheSameSeedIsTheSameRun) {
  const Scenario s = swarm({}, 5);
  const RunReport a = run_scenario(s, 5);
  const RunReport b = run_scenario(s, 5);
  EXPECT_EQ(a.trace_hash, b.trace_hash);
  EXPECT_EQ(a.events, b.events);
  EXPECT_EQ(a.history.size(), b.history.size());
  EXPECT_NE(run_scenario(s, 6).trace_hash, a.trace_hash);
}

TEST(World, ACalmClusterPassesEveryChecker) {
  const RunReport r = run_scenario({}, 1);
  EXPECT_TRUE(r.passed) << r.failure;
  EXPECT_EQ(r.given_up, 0u);
  EXPECT_GT(r.operations, 1000u);
}

TEST(World, AKnThatLosesItsLogServesAgain) {
  // Was: the control lcore took the last attachment's trouble for the new one's, and never served.
  Scenario s;
  s.workers = 3;
  s.think_us = 4000;
  s.power_failures = 2;
  s.straggler_ppm = 50'000;
  s.read_percent = 20;
  uint64_t failures = 0;
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    RunReport r = run_scenario(s, seed);
    EXPECT_TRUE(r.passed) << seed << ": " << r.failure;
    failures += r.coverage["power failure"];
  }
  EXPECT_GE(failures, 5u);
}

TEST(World, KnobsHaveRangesAndNames) {
  Scenario s;
  std::string why;
  EXPECT_EQ(set_knob(&s, "workers", 9, &why), Status::kInvalid);
  EXPECT_EQ(why, "workers = 9 is out of range; give 1 to 8");
  EXPECT_EQ(set_knob(&s, "wrokers", 1, &why), Status::kInvalid);
  EXPECT_EQ(set_knob(&s, "index_buckets", 3000, &why), Status::kInvalid);
  EXPECT_EQ(set_knob(&s, "loss_ppm", 7, &why), Status::kOk);
  EXPECT_EQ(difference(s), "loss_ppm=7");
}

TEST(World, ASwarmSeedChoosesAlike) {
  EXPECT_EQ(difference(swarm({}, 9)), difference(swarm({}, 9)));
  EXPECT_NE(difference(swarm({}, 9)), difference(swarm({}, 10)));
}

}  // namespace

}  // namespace dinomo::world
