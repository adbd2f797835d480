// SPDX-License-Identifier: BSD-3-Clause
#include "cluster/members.h"

#include <gtest/gtest.h>

#include <vector>

namespace dinomo::cluster {
namespace {

constexpr uint64_t kMs = 1'000'000;
constexpr uint32_t kLeaseUs = 100'000;
constexpr uint16_t kOwn = 0;
constexpr uint16_t kOther = 1;

struct World {
  World() : directory(2), members(kOwn) {
    for (pool::KnSlot& slot : directory) {
      slot.state = static_cast<uint32_t>(pool::KnState::kActive);
      slot.incarnation = slot.heartbeat_incarnation = 3;
      slot.heartbeat = 1;
      slot.lease_us = kLeaseUs;
      slot.weight = 1;
    }
    ring.version = 1;
    ring.owner.fill(kOther);
    ring.incarnation[kOther] = 3;
    look();
  }
  void look() {
    ++directory[kOwn].heartbeat;
    members.look(directory, ring, now_ns);
  }
  /// Looks every 10 ms for so long, without a beat of the other.
  const KnView& silence(uint64_t ms) {
    for (uint64_t t = 0; t < ms; t += 10) {
      now_ns += 10 * kMs;
      look();
    }
    return other();
  }
  const KnView& other() const { return members.views()[kOther]; }
  void set_state(pool::KnState state) { directory[kOther].state = static_cast<uint32_t>(state); }

  uint64_t now_ns = 1'000'000 * kMs;
  std::vector<pool::KnSlot> directory;
  ring::Ring ring;
  Members members;
};

TEST(Members, WhoBeatsIsAMember) {
  World w;
  EXPECT_TRUE(w.other().member);
  EXPECT_FALSE(w.other().gone);
  for (int i = 0; i < 100; ++i) {
    ++w.directory[kOther].heartbeat;
    w.silence(50);
  }
  EXPECT_TRUE(w.other().member);
  EXPECT_FALSE(w.other().must_fence);
}

TEST(Members, WhoIsSilentForLongerThanItsLeaseIsFencedFirst) {
  World w;
  EXPECT_FALSE(w.silence(100).must_fence);
  const KnView& v = w.silence(20);
  EXPECT_TRUE(v.must_fence);
  EXPECT_FALSE(v.member);
  EXPECT_FALSE(v.gone) << "it is not sealed";
  w.members.sealed(kOther, 3);
  w.look();
  EXPECT_TRUE(w.other().gone);
  EXPECT_FALSE(w.other().must_fence);
}

TEST(Members, ABeatBeforeTheSealHasToRunOut) {
  World w;
  w.silence(120);
  ++w.directory[kOther].heartbeat;  // landed before the DPM took the access away
  w.members.sealed(kOther, 3);
  w.look();
  EXPECT_FALSE(w.other().gone);
  EXPECT_FALSE(w.silence(90).gone);
  EXPECT_TRUE(w.silence(30).gone);
}

TEST(Members, WhoLeftInOrderIsGoneAtOnce) {
  World w;
  w.set_state(pool::KnState::kFree);
  w.look();
  EXPECT_TRUE(w.other().gone);
  EXPECT_FALSE(w.other().member);
}

TEST(Members, AnotherProcessAtTheSlotWaitsTheLeaseOfTheFirst) {
  World w;
  w.directory[kOther].incarnation = w.directory[kOther].heartbeat_incarnation = 4;
  w.look();
  EXPECT_FALSE(w.other().gone);
  for (int i = 0; i < 9; ++i) {  // the new one beats
    ++w.directory[kOther].heartbeat;
    EXPECT_FALSE(w.silence(10).gone);
  }
  ++w.directory[kOther].heartbeat;
  EXPECT_TRUE(w.silence(20).gone);
  EXPECT_TRUE(w.other().member);
}

TEST(Members, TheSameProcessAgainNeedNotWait) {
  World w;
  w.directory[kOther].incarnation = w.directory[kOther].heartbeat_incarnation = 4;
  w.directory[kOther].ended_incarnation = 3;
  w.look();
  EXPECT_TRUE(w.other().gone);
}

TEST(Members, AnEndIsOnlyThatOfTheIncarnationThatTheRingNames) {
  World w;
  w.directory[kOther].incarnation = w.directory[kOther].heartbeat_incarnation = 5;
  w.directory[kOther].ended_incarnation = 4;
  w.look();
  EXPECT_FALSE(w.other().gone);
}

TEST(Members, WhoNeverBeatWhileWatchedIsNoMember) {
  World w;
  w.ring.owner.fill(kOwn);  // the other owns nothing, and is there from before
  Members fresh(kOwn);
  fresh.look(w.directory, w.ring, w.now_ns);
  EXPECT_FALSE(fresh.views()[kOther].member);
  EXPECT_FALSE(fresh.views()[kOther].must_fence);
  ++w.directory[kOther].heartbeat;
  fresh.look(w.directory, w.ring, w.now_ns + 10 * kMs);
  EXPECT_TRUE(fresh.views()[kOther].member);
}

TEST(Members, StandbysAndThoseThatHaveNotBeatenAreNoMembers) {
  World w;
  w.set_state(pool::KnState::kStandby);
  w.look();
  EXPECT_FALSE(w.other().member);
  w.set_state(pool::KnState::kActive);
  w.directory[kOther].heartbeat_incarnation = 2;
  w.look();
  EXPECT_FALSE(w.other().member);
  EXPECT_EQ(w.other().acknowledged, 0u);
}

}  // namespace
}  // namespace dinomo::cluster
