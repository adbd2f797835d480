// SPDX-License-Identifier: BSD-3-Clause
#include "cluster/plan.h"

#include <gtest/gtest.h>

#include <vector>

namespace dinomo::cluster {
namespace {

constexpr uint32_t kIncarnation = 5;

/// `count` KNs that serve under kIncarnation and have acknowledged the ring's version.
struct World {
  explicit World(uint16_t count) {
    ring.version = 10;
    views.resize(count);
    for (uint16_t s = 0; s < count; ++s) {
      views[s].member = true;
      views[s].gone = false;
      views[s].incarnation = kIncarnation;
      views[s].acknowledged = 10;
      ring.incarnation[s] = kIncarnation;
    }
    targets.fill(0);
    ring.owner.fill(0);
  }
  std::optional<ring::Ring> next(Handing handing = Handing::kOn) const {
    return plan(ring, views, targets, handing);
  }
  /// Takes the next ring over, as acknowledged by everybody.
  void step() {
    const auto n = next();
    ASSERT_TRUE(n.has_value());
    ring = *n;
    for (KnView& v : views) v.acknowledged = ring.version;
  }
  ring::Ring ring;
  std::vector<KnView> views;
  ring::Owners targets;
};

TEST(Plan, NothingToDoIsNoNewRing) { EXPECT_FALSE(World(2).next().has_value()); }

TEST(Plan, AHandOverTakesTwoVersions) {
  World w(2);
  w.targets[7] = 1;
  w.step();
  EXPECT_EQ(w.ring.version, 11u);
  EXPECT_EQ(w.ring.owner[7], 0);
  EXPECT_TRUE(w.ring.moving[7]);
  EXPECT_EQ(w.ring.moving.count(), 1u) << "nothing else pauses";
  w.step();
  EXPECT_EQ(w.ring.version, 12u);
  EXPECT_EQ(w.ring.owner[7], 1);
  EXPECT_TRUE(w.ring.moving.none());
  EXPECT_FALSE(w.next().has_value());
}

TEST(Plan, WaitsForEveryAcknowledgement) {
  World w(3);
  w.ring.owner[8] = 2;
  w.targets[7] = w.targets[8] = 1;
  w.step();
  w.views[2].acknowledged = w.ring.version - 1;
  EXPECT_FALSE(w.next().has_value());
  w.views[2].acknowledged = w.ring.version;
  EXPECT_EQ(w.next()->owner[8], 1);
}

TEST(Plan, AnotherIncarnationsAcknowledgementDoesNotCount) {
  World w(2);
  w.targets[7] = 1;
  w.step();
  w.views[0].incarnation = kIncarnation + 1;
  EXPECT_FALSE(w.next().has_value());
}

TEST(Plan, NobodyWaitsForWhoIsGone) {
  World w(3);
  w.ring.owner[8] = 2;
  w.targets[7] = w.targets[8] = 1;
  w.step();
  w.views[2].member = false;
  w.views[2].gone = true;
  w.views[2].acknowledged = 0;
  const auto n = w.next();
  ASSERT_TRUE(n.has_value());
  EXPECT_EQ(n->owner[8], 1);
  EXPECT_EQ(n->owner[7], 1);
}

TEST(Plan, WhatADeadKnOwnedIsGivenAtOnce) {
  World w(3);
  w.ring.owner.fill(2);
  w.views[2].member = false;
  w.targets.fill(1);
  EXPECT_FALSE(w.next().has_value()) << "it is not known to be gone, and answers nobody";
  w.views[2].gone = true;
  const auto n = w.next();
  EXPECT_TRUE(n->moving.none());
  for (const uint16_t owner : n->owner) ASSERT_EQ(owner, 1);
}

TEST(Plan, ARestartedKnGetsWhatItHadUnderItsNewIncarnation) {
  World w(2);
  w.views[0].gone = true;
  w.views[0].incarnation = kIncarnation + 1;
  const auto n = w.next();
  ASSERT_TRUE(n.has_value());
  EXPECT_EQ(n->incarnation[0], kIncarnation + 1);
  EXPECT_EQ(n->owner, w.ring.owner);
}

/// Its earlier incarnation may serve for a while: named again, both would.
TEST(Plan, NothingIsGivenToAKnWhoseEarlierIncarnationMayServe) {
  World w(2);
  w.ring.owner[3] = 1;
  w.views[1].incarnation = kIncarnation + 1;
  w.targets[3] = w.targets[4] = 1;
  EXPECT_FALSE(w.next().has_value());
}

TEST(Plan, TurnsBackWhenMembersChange) {
  World w(2);
  w.targets[7] = 1;
  w.step();
  w.targets[7] = 0;
  const auto n = w.next();
  ASSERT_TRUE(n.has_value());
  EXPECT_EQ(n->owner[7], 0);
  EXPECT_TRUE(n->moving.none());
}

TEST(Plan, TurnsBackWhenItIsToldTo) {
  World w(2);
  w.targets[7] = 1;
  w.step();
  EXPECT_TRUE(w.next(Handing::kOff)->moving.none());
  w.ring.moving.reset();
  EXPECT_FALSE(w.next(Handing::kOff).has_value());
}

TEST(Plan, OneHandOverAtATime) {
  World w(2);
  w.targets[7] = 1;
  w.step();
  w.views[0].acknowledged = 0;
  w.targets[8] = 1;
  EXPECT_FALSE(w.next().has_value());
}

TEST(Members, WhoLeavesGetsNothingUnlessAllLeave) {
  World w(3);
  w.views[1].leaving = true;
  w.views[2].member = false;
  EXPECT_EQ(members_of(w.views), (std::vector<ring::Member>{{0, 1}}));
  w.views[0].leaving = true;
  EXPECT_EQ(members_of(w.views), (std::vector<ring::Member>{{0, 1}, {1, 1}}));
}

}  // namespace
}  // namespace dinomo::cluster
