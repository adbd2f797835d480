// SPDX-License-Identifier: BSD-3-Clause
// Recovery of pools that were damaged: what the rest of the pool tells is put right, nothing that
// was acknowledged is lost for it, and all of it is counted.
#include <gtest/gtest.h>

#include "index/format.h"
#include "test/unit/dpm/service_fixture.h"

namespace dinomo::dpm {
namespace {

using log::Op;
using pool::SegmentState;
using test::ServiceTest;

class DamageTest : public ServiceTest {
 protected:
  pool::SegmentHeader& header(uint64_t segment) {
    return *pool_->record<pool::SegmentHeader>(segment);
  }
  void flip(uint64_t offset) { pool_->at(offset)[0] ^= std::byte{0x10}; }
  void forget_answers() {
    for (uint32_t w = 0; w <= control(); ++w) cell(0, w) = {};
  }
  uint64_t noted(DamageKind kind) { return service_->damage().count(kind); }
};

TEST_F(DamageTest, AHeaderOfAnOpenSegmentIsRebuiltFromTheAnswerToItsGrant) {
  open();
  Log l = log(0, 0, join(0));
  ASSERT_EQ(l.grant(), Status::kOk);
  const pool::SegmentHeader before = header(l.offset);
  for (const uint64_t field : {0, 8, 12, 14, 16, 24, 56}) {
    flip(l.offset + field);
    reopen();
    EXPECT_EQ(noted(DamageKind::kSegmentHeader), 1u) << field;
    EXPECT_EQ(service_->recovery().damage, 1u) << field;
    EXPECT_EQ(header(l.offset).generation, before.generation);
    EXPECT_EQ(header(l.offset).log_id, before.log_id);
    EXPECT_EQ(header(l.offset).sequence, before.sequence);
    EXPECT_EQ(header(l.offset).incarnation, before.incarnation);
  }
  ASSERT_EQ(l.put("a", "1"), Status::kOk) << "the KN knows nothing of it";
  l.merge();
  EXPECT_EQ(value_of("a"), "1");
}

TEST_F(DamageTest, HeadersOfOpenSegmentsAreRebuiltFromTheirEntriesInOrder) {
  open();
  Log l = log(0, 0, join(0));
  ASSERT_EQ(l.put("a", "1"), Status::kOk);
  const uint64_t first = l.offset;
  l.write(Op::kEnd, "", "", {});
  ASSERT_EQ(l.grant(), Status::kOk);
  ASSERT_EQ(l.put("a", "2"), Status::kOk);
  ASSERT_EQ(l.put("b", "1"), Status::kOk);
  ASSERT_NE(l.offset, first);
  flip(first + 8);
  flip(l.offset + 16);
  forget_answers();
  reopen();
  EXPECT_EQ(noted(DamageKind::kSegmentHeader), 2u);
  EXPECT_EQ(service_->recovery().entries_merged, 3u);
  EXPECT_EQ(value_of("a"), "2");
  EXPECT_EQ(value_of("b"), "1");
  ASSERT_EQ(l.put("c", "1"), Status::kOk);
  l.merge();
  EXPECT_EQ(value_of("c"), "1");
  reopen();
  EXPECT_EQ(service_->recovery().damage, 0u);
}

TEST_F(DamageTest, AHeaderThatNothingTellsOfIsGivenUpAndSaid) {
  open();
  Log l = log(0, 0, join(0));
  ASSERT_EQ(l.grant(), Status::kOk);
  const uint32_t generation = header(l.offset).generation;
  flip(l.offset + 16);
  forget_answers();
  reopen();
  EXPECT_EQ(noted(DamageKind::kSegmentLost), 1u);
  EXPECT_GT(header(l.offset).generation, generation);
  EXPECT_EQ(service_->stats().segments.free, service_->stats().segments.total);
  l = log(0, 0, join(0));
  ASSERT_EQ(l.put("a", "1"), Status::kOk) << "the log goes on over the hole";
  l.merge();
  EXPECT_EQ(value_of("a"), "1");
}

TEST_F(DamageTest, ALogGoesOnOverASegmentThatIsLost) {
  open();
  Log l = log(0, 0, join(0));
  ASSERT_EQ(l.put("a", "1"), Status::kOk);
  l.write(Op::kEnd, "", "", {});
  l.merge();
  ASSERT_EQ(l.grant(), Status::kOk);  // the KN gives this one up, and it is lost
  const uint64_t unused = l.offset;
  ASSERT_EQ(l.grant(), Status::kOk);
  ASSERT_EQ(l.put("b", "1"), Status::kOk);
  flip(unused + 16);
  reopen();
  EXPECT_EQ(noted(DamageKind::kSegmentLost) + noted(DamageKind::kSegmentHeader), 1u);
  EXPECT_EQ(value_of("b"), "1");
  ASSERT_EQ(l.put("c", "1"), Status::kOk);
  l.merge();
  EXPECT_EQ(value_of("c"), "1");
}

TEST_F(DamageTest, AHeaderOfAMergedSegmentKeepsItsLiveEntries) {
  open();
  Log l = log(0, 0, join(0));
  ASSERT_EQ(l.put("a", "1"), Status::kOk);
  l.write(Op::kEnd, "", "", {});
  l.merge();
  const uint64_t first = l.offset;
  const uint32_t generation = header(first).generation;
  flip(first + 8);
  reopen();
  EXPECT_EQ(noted(DamageKind::kSegmentHeader), 1u);
  EXPECT_EQ(header(first).generation, generation);
  EXPECT_EQ(header(first).state, static_cast<uint32_t>(SegmentState::kMerged));
  EXPECT_EQ(value_of("a"), "1");
}

TEST_F(DamageTest, AGrantThatTheRecordHasForgottenIsKeptIfItWasWrittenTo) {
  open();
  Log l = log(0, 0, join(0));
  ASSERT_EQ(l.put("a", "1"), Status::kOk);
  log_record(0).granted_sequence = 0;
  reopen();
  EXPECT_EQ(noted(DamageKind::kGrant), 1u);
  EXPECT_EQ(log_record(0).granted_sequence, 1u);
  EXPECT_EQ(value_of("a"), "1");
}

TEST_F(DamageTest, AStateWordOfAnOpenSegmentIsSetRight) {
  open();
  Log l = log(0, 0, join(0));
  ASSERT_EQ(l.put("a", "1"), Status::kOk);
  for (const uint32_t state : {0u, 3u, 17u}) {
    header(l.offset).state = state;
    reopen();
    EXPECT_EQ(noted(DamageKind::kSegmentState), 1u) << state;
    EXPECT_EQ(header(l.offset).state, static_cast<uint32_t>(SegmentState::kOpen));
    EXPECT_EQ(value_of("a"), "1");
  }
  ASSERT_EQ(l.put("b", "1"), Status::kOk);
  l.merge();
  EXPECT_EQ(value_of("b"), "1");
}

TEST_F(DamageTest, AFreeSegmentThatTheIndexRefersToIsKept) {
  open();
  Log l = log(0, 0, join(0));
  ASSERT_EQ(l.put("a", "1"), Status::kOk);
  l.write(Op::kEnd, "", "", {});
  l.merge();
  header(l.offset).state = static_cast<uint32_t>(SegmentState::kFree);
  reopen();
  EXPECT_EQ(noted(DamageKind::kSegmentState), 1u);
  EXPECT_EQ(header(l.offset).state, static_cast<uint32_t>(SegmentState::kMerged));
  EXPECT_EQ(value_of("a"), "1");
}

TEST_F(DamageTest, MergedEntriesDamagedInTheMiddleDoNotStopTheLog) {
  open();
  Log l = log(0, 0, join(0));
  std::vector<uint64_t> at;
  for (int i = 0; i < 6; ++i) {
    ASSERT_EQ(l.put("key" + std::to_string(i), "1"), Status::kOk);
    at.push_back(l.offset + l.used - 64);
  }
  l.merge();
  ASSERT_EQ(l.put("later", "1"), Status::kOk);
  for (const int damaged : {2, 0}) {
    flip(at[static_cast<size_t>(damaged)] + 40);
    reopen();
    EXPECT_EQ(noted(DamageKind::kPlace), 1u);
    EXPECT_EQ(noted(DamageKind::kSlot), 1u);
    EXPECT_EQ(value_of("key" + std::to_string(damaged)), "-");
    EXPECT_EQ(value_of("key1"), "1");
    EXPECT_EQ(value_of("later"), "1");
  }
  ASSERT_EQ(l.put("b", "1"), Status::kOk);
  l.merge();
  EXPECT_EQ(value_of("b"), "1");
}

TEST_F(DamageTest, ALogWhoseLastMergedEntryIsDamagedGoesOnWhenItsKnWrites) {
  open();
  Log l = log(0, 0, join(0));
  ASSERT_EQ(l.put("a", "1"), Status::kOk);
  ASSERT_EQ(l.put("b", std::string(300, 'x')), Status::kOk);
  l.merge();
  flip(l.offset + l.used - 64 + 2);
  reopen();
  EXPECT_EQ(noted(DamageKind::kPlace), 1u);
  EXPECT_EQ(value_of("b"), "-");
  ASSERT_EQ(l.put("c", "1"), Status::kOk);
  l.merge();
  EXPECT_EQ(value_of("c"), "1");
  EXPECT_EQ(value_of("a"), "1");
}

TEST_F(DamageTest, ATornFirstEntryIsNoDamage) {
  open();
  Log l = log(0, 0, join(0));
  ASSERT_EQ(l.put("a", "1"), Status::kOk);
  flip(l.offset + sizeof(pool::SegmentHeader) + 57);
  reopen();
  EXPECT_EQ(service_->recovery().damage, 0u);
  EXPECT_EQ(service_->recovery().torn_tails, 1u);
}

TEST_F(DamageTest, HeadersOfBucketsAreMended) {
  open();
  Log l = log(0, 0, join(0));
  ASSERT_EQ(l.put("a", "1"), Status::kOk);
  l.merge();
  index::Bucket* head = service_->index().head(key_hash(as_bytes("a"), superblock().hash_seed));
  const uint64_t right = head->header;
  for (const uint64_t bits : {index::kMigratedBit, uint64_t{1} << 20, uint64_t{1} << 40}) {
    head->header ^= bits;  // a mark makes every key of the chain absent, a tag every remote read
    crash();
    open();
    head = service_->index().head(key_hash(as_bytes("a"), superblock().hash_seed));
    EXPECT_EQ(noted(DamageKind::kBucketHeader), 1u);
    EXPECT_EQ(head->header, right);
    EXPECT_EQ(value_of("a"), "1");
  }
}

TEST_F(DamageTest, AValidSlotInAChainThatNoLookupFindsItInIsDiscarded) {
  open();
  Log l = log(0, 0, join(0));
  ASSERT_EQ(l.put("a", "1"), Status::kOk);
  l.merge();
  const uint64_t hash = key_hash(as_bytes("a"), superblock().hash_seed);
  const uint64_t other = hash ^ (uint64_t{1} << 63);
  service_->index().head(other)->slots[1] = {hash, find("a").word()};
  reopen();
  EXPECT_EQ(noted(DamageKind::kSlot), 1u);
  EXPECT_EQ(value_of("a"), "1");
  EXPECT_EQ(service_->stats().items, 1u);
}

TEST_F(DamageTest, RecoveryTellsHowLongEachPhaseTook) {
  open();
  const RecoveryReport& r = service_->recovery();
  const RecoveryPhases& p = r.phases;
  EXPECT_LE(p.segments_ns + p.resize_ns + p.index_ns + p.sessions_ns + p.logs_ns + p.merge_ns,
            r.duration_ns);
}

}  // namespace
}  // namespace dinomo::dpm
