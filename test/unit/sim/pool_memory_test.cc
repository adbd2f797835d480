// SPDX-License-Identifier: BSD-3-Clause
// The simulated pool: at which drains a node can be stopped.
#include "sim/pool_memory.h"

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace dinomo::sim
