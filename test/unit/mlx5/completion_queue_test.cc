// SPDX-License-Identifier: BSD-3-Clause
// Reading of completion queues: ownership by lap, entries of both sizes, the consumer index.
#include "test/unit/mlx5/rig.h"

namespace dinomo::fabric::mlx5 {
namespace {

class Entries : public testing::TestWithParam<uint32_t> {};

INSTANTIATE_TEST_SUITE_P(Bytes, Entries, testing::Values(64, 128));

TEST_P(Entries, NothingIsTakenBeforeItIsWritten) {
  Rig rig({.entry_bytes = GetParam()});
  CompletionQueue::Entry entry{};
  EXPECT_FALSE(rig.cq.next(&entry));
  rig.sq().read(rig.at(0), rig.mine(0, 8), 1);
  rig.sq().ring();
  EXPECT_FALSE(rig.cq.next(&entry));
  rig.run();
  ASSERT_TRUE(rig.cq.next(&entry));
  EXPECT_EQ(entry.qpn, rig.kn.qpn(0));
  EXPECT_EQ(entry.index, 0);
  EXPECT_EQ(entry.opcode, MLX5_OPCODE_RDMA_READ);
  EXPECT_EQ(entry.syndrome, 0);
  EXPECT_FALSE(rig.cq.next(&entry));
}

TEST_P(Entries, OwnershipChangesWithEveryLap) {
  Rig rig({.entries = 4, .entry_bytes = GetParam()});
  for (uint64_t i = 0; i < 50; ++i) {
    rig.sq().read(rig.at(0), rig.mine(0, 8), i);
    rig.sq().ring();
    ASSERT_EQ(rig.run_and_poll(), (std::vector<Done>{{i, Status::kOk}})) << i;
    ASSERT_EQ(rig.poll(), std::vector<Done>{}) << i;  // what stands behind it is of the last lap
    ASSERT_EQ(rig.consumer_record(), i + 1);
  }
}

TEST_P(Entries, AnIndexOfTwoBytesComesThroughWhole) {
  Rig rig({.blocks = 16, .entry_bytes = GetParam()});
  CompletionQueue::Entry entry{};
  for (uint32_t i = 0; i < 0x1'0200; ++i) {
    rig.sq().read(rig.at(0), rig.mine(0, 8), i);
    rig.sq().ring();
    rig.run();
    ASSERT_TRUE(rig.cq.next(&entry));
    ASSERT_EQ(entry.index, i & 0xffff);
    rig.sq().retire(entry.index, Status::kOk, [](uint64_t, Status) {});
    rig.cq.update();
  }
}

TEST_P(Entries, AnErrorHasItsSyndromeItsVendorsWordAndItsWqe) {
  Rig rig({.entry_bytes = GetParam()});
  rig.sq().read(rig.at(0), rig.mine(0, 8), 1);
  rig.sq().atomic(MLX5_OPCODE_ATOMIC_FA, rig.at(4), 1, 0, rig.mine(0, 8), 2);  // not aligned
  rig.sq().ring();
  rig.run();
  CompletionQueue::Entry entry{};
  ASSERT_TRUE(rig.cq.next(&entry));
  EXPECT_EQ(entry.syndrome, MLX5_CQE_SYNDROME_REMOTE_INVAL_REQ_ERR);
  EXPECT_EQ(entry.vendor, 0x8a);
  EXPECT_EQ(entry.index, 1);
  EXPECT_EQ(entry.qpn, rig.kn.qpn(0));
  EXPECT_EQ(entry.opcode, MLX5_OPCODE_ATOMIC_FA);
}

/// The device stops a CQ whose owner does not say what it took.
TEST(Consumer, IsToldOnlyWhenItMovedAndThenInTime) {
  Rig rig({.entries = 4});
  rig.cq.update();
  EXPECT_EQ(rig.consumer_record(), 0u);
  for (uint64_t i = 0; i < 20; ++i) {
    rig.sq().read(rig.at(0), rig.mine(0, 8), i);
    rig.sq().ring();
    ASSERT_EQ(rig.run_and_poll().size(), 1u) << i;
  }
  EXPECT_EQ(rig.consumer_record(), 20u);
  const_cast<__be32*>(rig.kn.cq().dbrec)[0] = htobe32(7);  // as libmlx5 does at a reset
  rig.cq.update();
  EXPECT_EQ(rig.consumer_record(), 7u);
  rig.cq.update(true);
  EXPECT_EQ(rig.consumer_record(), 20u);
}

}  // namespace
}  // namespace dinomo::fabric::mlx5
