// SPDX-License-Identifier: BSD-3-Clause
#include "log/log_writer.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "common/align.h"
#include "test/support/memory_fabric.h"

namespace dinomo::log {
namespace {

constexpr uint64_t kSegmentBytes = 64 * 1024;
constexpr uint64_t kStagingBytes = 512 * 1024;

class LogWriterTest : public testing::Test {
 protected:
  LogWriterTest()
      : memory_(uint64_t{64} * kSegmentBytes),
        queue_(memory_, 256),
        staging_(static_cast<std::byte*>(std::aligned_alloc(64, kStagingBytes))) {
    LogWriterConfig c;
    c.log_id = 3;
    c.incarnation = 9;
    c.first_lsn = 100;
    c.segment_bytes = kSegmentBytes;
    c.log_record_offset = 0;
    writer_ = std::make_unique<LogWriter>(c, &queue_, MutableBytes(staging_, kStagingBytes));
    writer_->note_merged(4);
  }
  ~LogWriterTest() override { std::free(staging_); }

  void grant(uint64_t n) {
    writer_->add_segment({n * kSegmentBytes, next_sequence_++, static_cast<uint32_t>(n)});
  }
  Status put(const std::string& key, const std::string& value) {
    const auto appended = writer_->append({}, as_bytes(key), as_bytes(value));
    return appended ? Status::kOk : appended.error();
  }
  void settle() {
    EXPECT_TRUE(writer_->commit());
    while (queue_.poll(64) != 0) {
    }
    writer_->release_durable();
  }
  /// Reads entries as the DPM would: from a segment, dense LSNs.
  int count_entries(uint64_t segment, uint32_t generation, uint64_t* lsn) {
    uint64_t position = sizeof(pool::SegmentHeader);
    int n = 0;
    while (position < kSegmentBytes) {
      Entry e;
      const Bytes rest =
          Bytes(memory_).subspan(segment * kSegmentBytes + position, kSegmentBytes - position);
      if (parse_entry(rest, generation, &e) != EntryCheck::kValid || e.header.lsn != *lsn) break;
      ++*lsn;
      position += entry_bytes(e.header);
      if (static_cast<Op>(e.header.op) == Op::kEnd) break;
      ++n;
    }
    return n;
  }

  std::vector<std::byte> memory_;
  test::MemoryQueue queue_;
  std::byte* staging_;
  std::unique_ptr<LogWriter> writer_;
  uint64_t next_sequence_ = 5;
};

TEST_F(LogWriterTest, NothingGoesWithoutASegment) {
  EXPECT_TRUE(writer_->wants_segment());
  EXPECT_EQ(put("k", "v"), Status::kNoResource);
  grant(1);
  EXPECT_EQ(put("k", "v"), Status::kOk);
}

TEST_F(LogWriterTest, ABatchIsOneRoundTripAndDurableOnlyWhenCompleted) {
  grant(1);
  for (int i = 0; i < 20; ++i) ASSERT_EQ(put("key", "value"), Status::kOk);
  EXPECT_EQ(writer_->last_lsn(), 119u);
  EXPECT_TRUE(writer_->commit());
  EXPECT_EQ(writer_->durable_lsn(), 99u);
  while (queue_.poll(64) != 0) {
  }
  EXPECT_EQ(writer_->durable_lsn(), 119u);
  EXPECT_EQ(queue_.counters().by_purpose[static_cast<size_t>(fabric::Purpose::kLog)].round_trips,
            1u);
  uint64_t lsn = 100;
  EXPECT_EQ(count_entries(1, 1, &lsn), 20);
  // The tail hint followed.
  EXPECT_EQ(load<uint64_t>(memory_.data()), 119u);
  EXPECT_EQ(load<uint64_t>(memory_.data() + 8), 5u);
  EXPECT_EQ(load<uint32_t>(memory_.data() + offsetof(pool::LogRecord, tail_incarnation)), 9u);
}

TEST_F(LogWriterTest, TheHintNeverOvertakesTheEntries) {
  grant(1);
  ASSERT_EQ(put("key", "value"), Status::kOk);
  writer_->commit();
  queue_.held = 1;  // the hint stays back
  while (queue_.poll(64) != 0) {
  }
  uint64_t lsn = 100;
  EXPECT_EQ(count_entries(1, 1, &lsn), 1);
  EXPECT_EQ(load<uint64_t>(memory_.data()), 0u);
}

/// Hints of two batches on two paths could land the wrong way round, and the DPM would wait for
/// ever for the newest entries.
TEST_F(LogWriterTest, OneHintIsInFlightAndTheNewestIsToldInTheEnd) {
  grant(1);
  const auto verbs = [this] {
    return queue_.counters().by_purpose[static_cast<size_t>(fabric::Purpose::kLog)].verbs;
  };
  for (int batch = 0; batch < 3; ++batch) {
    ASSERT_EQ(put("key", "value"), Status::kOk);
    EXPECT_TRUE(writer_->commit());
  }
  EXPECT_EQ(verbs(), 4u);  // three batches and the first one's hint
  EXPECT_FALSE(writer_->uncommitted());
  while (queue_.poll(64) != 0) {
  }
  EXPECT_EQ(writer_->durable_lsn(), 102u);
  EXPECT_EQ(load<uint64_t>(memory_.data()), 100u);
  EXPECT_TRUE(writer_->uncommitted());  // somebody has to call commit() again
  EXPECT_TRUE(writer_->commit());
  EXPECT_EQ(verbs(), 5u);
  while (queue_.poll(64) != 0) {
  }
  EXPECT_EQ(load<uint64_t>(memory_.data()), 102u);
  EXPECT_FALSE(writer_->uncommitted());
  EXPECT_TRUE(writer_->commit());
  EXPECT_EQ(verbs(), 5u);
  EXPECT_EQ(queue_.counters().by_purpose[static_cast<size_t>(fabric::Purpose::kLog)].round_trips,
            3u);
}

TEST(LogWriterFullQueue, AHintThatFoundNoRoomIsToldLater) {
  std::vector<std::byte> memory(2 * kSegmentBytes);
  std::vector<std::byte> staging(kStagingBytes + 64);
  auto* aligned = reinterpret_cast<std::byte*>(
      align_up(reinterpret_cast<uintptr_t>(staging.data()), uintptr_t{64}));
  test::MemoryQueue queue(memory, 1);
  LogWriter writer({.segment_bytes = kSegmentBytes}, &queue, {aligned, kStagingBytes});
  writer.add_segment({kSegmentBytes, 1, 1});
  ASSERT_TRUE(writer.append({}, as_bytes("key"), as_bytes("value")).has_value());
  EXPECT_TRUE(writer.commit());
  EXPECT_EQ(queue.in_flight(), 1u);
  EXPECT_TRUE(writer.uncommitted());
  queue.poll(1);
  EXPECT_EQ(load<uint64_t>(memory.data()), 0u);
  EXPECT_TRUE(writer.commit());
  queue.poll(1);
  EXPECT_EQ(load<uint64_t>(memory.data()), 1u);
  EXPECT_FALSE(writer.uncommitted());
}

TEST_F(LogWriterTest, GoesOnInTheNextSegmentWithDenseLsns) {
  grant(1);
  const std::string value(10'000, 'x');
  uint64_t appended = 0;
  for (uint64_t segment = 2; segment <= 12; ++segment) {
    while (ok(put("key", value))) {
      ++appended;
      settle();
    }
    writer_->note_merged(segment + 2);
    ASSERT_TRUE(writer_->wants_segment());
    grant(segment);
  }
  uint64_t lsn = 100;
  uint64_t found = 0;
  for (uint32_t segment = 1; segment <= 11; ++segment) {
    found += static_cast<uint64_t>(count_entries(segment, segment, &lsn));
  }
  EXPECT_EQ(found, appended);
}

TEST_F(LogWriterTest, StopsAtTheLimitOfUnmergedSegmentsAndGoesOnAfterTheMerge) {
  const std::string value(10'000, 'x');
  uint64_t granted = 0;
  for (int i = 0; i < 1000; ++i) {
    if (writer_->wants_segment()) grant(++granted);
    if (ok(put("key", value))) settle();
  }
  EXPECT_EQ(writer_->unmerged_segments(), 2u);
  EXPECT_EQ(put("key", value), Status::kNoResource);
  writer_->note_merged(5);
  EXPECT_EQ(put("key", value), Status::kOk);
}

TEST_F(LogWriterTest, EntriesThatEndExactlyAtTheEndOfStagingArriveWhole) {
  // Entries of one unit leave no gap at the end of the ring, and batches of three reach over it.
  grant(1);
  uint64_t segment = 1;
  uint64_t appended = 0;
  while (appended * kUnitBytes < 3 * kStagingBytes) {
    for (int i = 0; i < 3; ++i) {
      if (writer_->wants_segment()) grant(++segment);
      writer_->note_merged(segment + 3);
      ASSERT_EQ(put("key", "12345"), Status::kOk);
      ++appended;
    }
    settle();
  }
  uint64_t lsn = 100;
  uint64_t found = 0;
  for (uint32_t s = 1; s <= segment; ++s) {
    found += static_cast<uint64_t>(count_entries(s, s, &lsn));
  }
  EXPECT_EQ(found, appended);
}

TEST_F(LogWriterTest, StagingWrapsWithoutOverwritingWhatIsNotDurable) {
  grant(1);
  std::mt19937_64 random(5);
  uint64_t segment = 1;
  for (int i = 0; i < 3000; ++i) {
    const std::string value(random() % 30'000, static_cast<char>('a' + i % 26));
    if (writer_->wants_segment() && segment < 60) grant(++segment);
    const auto appended = writer_->append({}, as_bytes("key"), as_bytes(value));
    if (appended) {
      Entry e;
      ASSERT_EQ(parse_entry_low8({appended->entry, appended->address.length_bytes()},
                                 appended->address.generation(), &e),
                EntryCheck::kValid);
    }
    if (random() % 4 == 0) {
      writer_->commit();
      writer_->note_merged(segment);
    }
    if (random() % 3 == 0) {
      queue_.poll(static_cast<uint32_t>(random() % 3));
      writer_->release_durable();
    }
  }
  settle();
  EXPECT_TRUE(writer_->idle());
}

TEST_F(LogWriterTest, AFailedCommitEndsTheLog) {
  grant(1);
  ASSERT_EQ(put("a", "1"), Status::kOk);
  settle();
  ASSERT_EQ(put("b", "2"), Status::kOk);
  queue_.fail_with = Status::kFenced;
  writer_->commit();
  while (queue_.poll(64) != 0) {
  }
  queue_.fail_with = Status::kOk;
  EXPECT_EQ(writer_->failure(), Status::kFenced);
  EXPECT_EQ(writer_->durable_lsn(), 100u);
  EXPECT_EQ(put("c", "3"), Status::kNoResource);
}

}  // namespace
}  // namespace dinomo::log
