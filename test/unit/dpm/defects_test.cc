// SPDX-License-Identifier: BSD-3-Clause
// Defects of the published prototype's memory node that no other test shows. doc/crash_testing.md.
#include <gtest/gtest.h>

#include "test/unit/dpm/service_fixture.h"

namespace dinomo::dpm {
namespace {

using test::ServiceTest;

class DpmDefects : public ServiceTest {
 protected:
  std::vector<std::byte> copy(uint64_t segment) {
    return {pool_->at(segment), pool_->at(segment) + superblock().segment_bytes};
  }
};

/// P9: segments were cleared, 8 MiB each, by the one thread that serves all KNs.
TEST_F(DpmDefects, ASegmentThatIsUsedAgainIsNotCleared) {
  open();
  Log l = log(0, 0, join(0));
  ASSERT_EQ(l.put("a", std::string(2000, 'x')), Status::kOk);
  const uint64_t used = l.offset;
  l.write(log::Op::kEnd, "", "", {});
  l.merge();
  ASSERT_EQ(l.grant(), Status::kOk);
  ASSERT_EQ(l.remove("a"), Status::kOk);
  l.merge();
  settle();
  const std::vector<std::byte> before = copy(used);
  for (int i = 0; i < 1000 && l.offset != used; ++i) {
    l.write(log::Op::kEnd, "", "", {});
    l.merge();
    ASSERT_EQ(l.grant(), Status::kOk);
  }
  ASSERT_EQ(l.offset, used);
  const std::vector<std::byte> after = copy(used);
  const auto header = static_cast<ptrdiff_t>(sizeof(pool::SegmentHeader));
  EXPECT_NE(before, after) << "the header is another one";
  EXPECT_TRUE(std::equal(before.begin() + header, before.end(), after.begin() + header));
  ASSERT_EQ(l.put("b", "1"), Status::kOk);
  l.merge();
  EXPECT_EQ(value_of("b"), "1") << "and what was there before is no entry any more";
  EXPECT_EQ(value_of("a"), "-");
}

/// Merge-now for all logs of a KN, which hold what it wrote of any partition: answered when all of
/// it is in the index.
TEST_F(DpmDefects, MergeNowOfAllLogsOfAKnAnswersWhenEveryPartitionIsMerged) {
  open(1);
  const uint32_t incarnation = join(0);
  join(1);
  std::vector<Log> logs{log(0, 0, incarnation), log(0, 1, incarnation)};
  for (int i = 0; i < 300; ++i) {
    ASSERT_EQ(logs[static_cast<size_t>(i % 2)].put("key" + std::to_string(i), "1"), Status::kOk);
  }
  for (Log& l : logs) l.hint();
  const auto reply = call(1, control(), 1, pool::MailboxOpcode::kMergeNow, {logs[0].id(), 2, 0});
  EXPECT_EQ(status_of(reply), Status::kOk);
  for (int i = 0; i < 300; ++i) EXPECT_EQ(value_of("key" + std::to_string(i)), "1") << i;
  EXPECT_EQ(service_->stats().lag_entries, 0u);
}

}  // namespace
}  // namespace dinomo::dpm
