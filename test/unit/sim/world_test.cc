// SPDX-License-Identifier: BSD-3-Clause
// The whole cluster in virtual time.
#include "world/run.h"

#include <gtest/gtest.h>

#include "common/hash.h"
#include "world/audit.h"
#include "world/cluster.h"

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

/// A cluster whose load is over, and what one GET of every key answered.
struct Rested {
  Rested() {
    EXPECT_TRUE(cluster.run_until([this] { return cluster.clients_finished(); }, kLimitNs));
    cluster.heal();
    ClientNode& reader = *cluster.clients().front();
    const size_t before = reader.history().size();
    reader.read_all();
    EXPECT_TRUE(cluster.run_until([&] { return reader.finished(); }, kLimitNs));
    read.assign(reader.history().begin() + static_cast<std::ptrdiff_t>(before),
                reader.history().end());
    there = std::ranges::find(read, wire::Status::kOk, &sim::Operation::status);
    EXPECT_NE(there, read.end());
  }
  std::string audit() { return audit_image(&node(), read, {}); }
  DpmNode& node() { return *cluster.dpms().front(); }
  bool says(const std::string& what) { return audit().find(what) != std::string::npos; }

  static constexpr uint64_t kLimitNs = 30'000'000'000;
  Environment environment{1};
  Cluster cluster{Scenario{}, 1, &environment};
  sim::History read;
  sim::History::iterator there;
};

TEST(World, TheIndexHoldsWhatWasRead) {
  Rested r;
  EXPECT_EQ(r.audit(), "");
  const sim::Operation get = *r.there;
  ++r.there->version;
  EXPECT_TRUE(r.says("the index has version")) << r.audit();
  *r.there = get;
  r.there->result += "x";
  EXPECT_TRUE(r.says("the index has c")) << r.audit();
  *r.there = get;
  r.there->key = "another";
  EXPECT_TRUE(r.says("the index has no such key")) << r.audit();
  *r.there = get;
  r.there->status = wire::Status::kNotFound;
  EXPECT_TRUE(r.says("the index has the key")) << r.audit();
  // A mutation that nobody answered may have come since.
  sim::Operation late = get;
  late.opcode = wire::Opcode::kPut;
  late.return_ns = sim::kNever;
  EXPECT_EQ(audit_image(&r.node(), r.read, {late}), "");
  r.read.erase(r.there);
  EXPECT_TRUE(r.says("keys are in the index")) << r.audit();
}

TEST(World, TheWalkOfThePoolSeesDamage) {
  Rested r;
  sim::PoolMemory& memory = r.node().memory();
  const Bytes key = as_bytes(r.there->key);
  const auto settled = [&] { return r.node().service().stats().lag_entries == 0; };
  ASSERT_TRUE(r.cluster.run_until(settled, Rested::kLimitNs));
  const auto entry =
      r.node().service().index().find(key_hash(key, memory.superblock().hash_seed), key);
  ASSERT_TRUE(entry);
  std::byte* byte = memory.at(entry->offset_bytes() + sizeof(log::EntryHeader) + key.size());
  *byte ^= std::byte{1};
  EXPECT_TRUE(r.says("slot_invalid")) << r.audit();
  *byte ^= std::byte{1};
  EXPECT_EQ(r.audit(), "");
  // The pool of the run is not touched by looking at its image.
  EXPECT_TRUE(r.node().running());
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
