// SPDX-License-Identifier: BSD-3-Clause
// The simulated pool: at which drains a node can be stopped.
#include "sim/pool_memory.h"

#include <gtest/gtest.h>

#include "dpm/pool_shares.h"
#include "pool/superblock.h"

namespace dinomo::sim {
namespace {

constexpr pool::PoolGeometry kSmall = {.kn_slots = 1,
                                       .workers_per_kn = 1,
                                       .session_count = 4,
                                       .session_window = 4,
                                       .segment_bytes = 128 * 1024};

class StoppedNode : public testing::Test {
 protected:
  StoppedNode() : memory(uint64_t{8} << 20, 1) {
    EXPECT_EQ(memory.format(kSmall, 64, 1), Status::kOk);
  }
  uint64_t& word() {
    return memory.record<pool::PoolState>(memory.superblock().state_offset)->heartbeat;
  }
  void write(uint64_t value) {
    word() = value;
    memory.persist().persist(&word(), sizeof value);
  }

  PoolMemory memory;
};

TEST_F(StoppedNode, GoesBackToTheDrainWithinItsTurn) {
  memory.stop_at_drain(2, false);
  memory.set_running(true);
  write(1);
  EXPECT_FALSE(memory.stopped());
  write(2);
  EXPECT_TRUE(memory.stopped());
  write(3);
  memory.set_running(false);
  memory.stop();
  EXPECT_EQ(word(), 2u);
}

// Found by dinomo-sim, swarm seed 8742: what was written after the drain of an operator's command,
// while the node was paused, was undone.
TEST_F(StoppedNode, IsNotStoppedBetweenItsTurns) {
  memory.stop_at_drain(1, false);
  write(1);
  EXPECT_FALSE(memory.stopped());
  memory.set_running(true);
  write(2);
  EXPECT_TRUE(memory.stopped());
}

// Found by dinomo-sim, swarm seed 885: segments took the whole pool, and merges stood still for
// want of an overflow bucket.
TEST(PoolShares, SegmentsLeaveTheIndexItsShare) {
  constexpr uint64_t kPoolBytes = uint64_t{8} << 20;
  PoolMemory memory(kPoolBytes, 1);
  ASSERT_EQ(memory.format(kSmall, 64, 1), Status::kOk);
  const uint64_t left = memory.segments_left(kSmall.segment_bytes);
  uint64_t given = 0;
  while (memory.allocate(pool::ObjectType::kSegment, kSmall.segment_bytes, nullptr, 0)) ++given;
  EXPECT_EQ(given, left);
  EXPECT_GT(given, kPoolBytes / kSmall.segment_bytes * 3 / 4);
  EXPECT_EQ(memory.segments_left(kSmall.segment_bytes), 0u);
  const uint64_t first_bytes = 64 * sizeof(index::Bucket) * 2;  // table and overflow, at most
  EXPECT_TRUE(memory.allocate(pool::ObjectType::kIndexTable,
                              dpm::index_share_bytes(kPoolBytes) - first_bytes, nullptr, 0));
  memory.release(memory.objects(pool::ObjectType::kSegment).front().offset);
  EXPECT_EQ(memory.segments_left(kSmall.segment_bytes), 1u);
}

}  // namespace
}  // namespace dinomo::sim
