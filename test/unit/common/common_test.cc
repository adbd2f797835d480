// SPDX-License-Identifier: BSD-3-Clause
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "common/align.h"
#include "common/bytes.h"
#include "common/hash.h"
#include "common/status.h"

namespace dinomo {
namespace {

TEST(Align, RoundsUpToMultiples) {
  EXPECT_EQ(align_up<uint64_t>(0, 64), 0u);
  EXPECT_EQ(align_up<uint64_t>(1, 64), 64u);
  EXPECT_EQ(align_up<uint64_t>(64, 64), 64u);
  EXPECT_EQ(align_up<uint64_t>(65, 64), 128u);
}

TEST(Hash, KeyHashIsNeverZeroAndDependsOnTheSeed) {
  EXPECT_NE(key_hash(as_bytes("a"), 1), key_hash(as_bytes("a"), 2));
  for (int i = 0; i < 1000; ++i) EXPECT_NE(key_hash(as_bytes(std::to_string(i)), 7), 0u);
}

TEST(Hash, PartitionsAndWorkersAreBalancedAndIndependent) {
  constexpr uint32_t kWorkers = 3;
  std::vector<uint32_t> per_worker(kWorkers);
  std::vector<uint32_t> per_sixteenth(16);
  std::vector<uint32_t> low_partitions_per_worker(kWorkers);
  for (int i = 0; i < 48'000; ++i) {
    const uint64_t h = routing_hash(as_bytes("key" + std::to_string(i)));
    ASSERT_LT(partition_of(h), kPartitions);
    ASSERT_LT(worker_of(h, kWorkers), kWorkers);
    ++per_worker[worker_of(h, kWorkers)];
    ++per_sixteenth[partition_of(h) / 256];
    if (partition_of(h) < 256) ++low_partitions_per_worker[worker_of(h, kWorkers)];
  }
  for (const uint32_t n : per_worker) EXPECT_NEAR(n, 16'000, 800);
  for (const uint32_t n : per_sixteenth) EXPECT_NEAR(n, 3'000, 400);
  for (const uint32_t n : low_partitions_per_worker) EXPECT_NEAR(n, 1'000, 200);
}

TEST(Status, EveryCodeHasAName) {
  for (const Status s :
       {Status::kOk, Status::kInProgress, Status::kNoResource, Status::kBusy, Status::kTimeout,
        Status::kNotFound, Status::kExists, Status::kInvalid, Status::kOutOfRange, Status::kStale,
        Status::kCorrupt, Status::kNoSpace, Status::kUnsupported, Status::kVersion,
        Status::kUnreachable, Status::kFenced, Status::kNodeDown, Status::kInternal}) {
    EXPECT_STRNE(status_name(s), "unknown");
  }
}

}  // namespace
}  // namespace dinomo
