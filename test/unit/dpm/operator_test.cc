// SPDX-License-Identifier: BSD-3-Clause
#include "dpm/operator.h"

#include <gtest/gtest.h>

#include "pool/superblock.h"
#include "test/support/memory_space.h"

namespace dinomo::dpm {
namespace {

using pool::KnState;
using pool::KnWanted;

constexpr uint16_t kSlots = 4;

struct World {
  World() : space(uint64_t{1} << 20) {
    auto& s = *space.record<pool::Superblock>(space.superblock_offset());
    s.kn_slots = kSlots;
    s.leader_offset = 8192;
    s.directory_offset = 16384;
    s.ring_offset = 65536;
  }
  pool::KnSlot& line(uint32_t slot) {
    return *space.record<pool::KnSlot>(pool::kn_slot_offset(space.superblock(), slot));
  }
  void start(uint32_t slot) {
    line(slot).incarnation = 1;
    line(slot).state = static_cast<uint32_t>(KnState::kActive);
  }
  uint32_t wanted(uint32_t slot) { return line(slot).wanted; }

  test::MemorySpace space;
};

TEST(Operator, AWishIsKeptAndCanBeRepeated) {
  World w;
  w.start(0);
  w.start(1);
  EXPECT_EQ(want(w.space, 1, KnWanted::kDrained, false), "");
  EXPECT_EQ(want(w.space, 1, KnWanted::kDrained, false), "");
  EXPECT_EQ(w.wanted(1), 1u);
  EXPECT_EQ(want(w.space, 1, KnWanted::kServing, false), "");
  EXPECT_EQ(w.wanted(1), 0u);
}

TEST(Operator, TheLastOneGoesByForceOnly) {
  World w;
  w.start(0);
  w.start(1);
  EXPECT_EQ(want(w.space, 1, KnWanted::kDrained, false), "");
  EXPECT_NE(want(w.space, 0, KnWanted::kRemoved, false).find("the last one"), std::string::npos);
  EXPECT_EQ(w.wanted(0), 0u);
  EXPECT_EQ(want(w.space, 0, KnWanted::kRemoved, true), "");
  EXPECT_EQ(w.wanted(0), 2u);
  EXPECT_EQ(want(w.space, 1, KnWanted::kRemoved, false), "") << "it owns nothing anyway";
}

TEST(Operator, WhoIsFencedTakesNothingSoDoesNotCount) {
  World w;
  w.start(0);
  w.start(1);
  w.line(1).state = static_cast<uint32_t>(KnState::kFenced);
  EXPECT_NE(want(w.space, 0, KnWanted::kDrained, false), "");
}

TEST(Operator, ASlotThatNobodyHasUsedYetCanBeHeldBack) {
  World w;
  w.start(0);
  EXPECT_EQ(want(w.space, 2, KnWanted::kDrained, false), "");
  const ClusterReport report = report_cluster(w.space);
  ASSERT_EQ(report.kns.size(), 2u);
  EXPECT_EQ(report.kns[1].kn_slot, 2);
  EXPECT_NE(want(w.space, kSlots, KnWanted::kServing, true).find("from 0 on"), std::string::npos);
}

TEST(Operator, CountsWhoOwnsWhat) {
  World w;
  w.start(0);
  w.start(1);
  ring::Ring ring;
  ring.version = 7;
  ring.owner.fill(1);
  for (uint32_t p = 0; p < 100; ++p) ring.owner[p] = 0;
  for (uint32_t p = 100; p < 130; ++p) ring.moving.set(p);
  ring.owner[4095] = pool::kNoOwner;
  const uint64_t copy = w.space.superblock().ring_offset + sizeof(pool::RingRecord);
  *w.space.record<pool::RingRecord>(copy) = ring::to_record(ring);
  *w.space.record<uint64_t>(w.space.superblock().leader_offset) = 2 | uint64_t{1} << 16;
  const ClusterReport report = report_cluster(w.space);
  EXPECT_EQ(report.ring.version, 7u);
  EXPECT_EQ(report.orphans, 1u);
  ASSERT_EQ(report.kns.size(), 2u);
  EXPECT_EQ(report.kns[0].partitions, 100u);
  EXPECT_EQ(report.kns[0].moving, 0u);
  EXPECT_EQ(report.kns[1].partitions, 4096u - 101u);
  EXPECT_EQ(report.kns[1].moving, 30u);
  EXPECT_FALSE(report.kns[0].leads);
  EXPECT_TRUE(report.kns[1].leads);
}

}  // namespace
}  // namespace dinomo::dpm
