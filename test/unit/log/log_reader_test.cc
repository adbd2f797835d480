// SPDX-License-Identifier: BSD-3-Clause
#include "log/log_reader.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace dinomo::log {
namespace {

constexpr uint32_t kGeneration = 0x203;
constexpr uint16_t kLogId = 5;
constexpr uint64_t kHeader = sizeof(pool::SegmentHeader);

struct Segment {
  explicit Segment(size_t bytes, uint32_t g = kGeneration) : bytes(bytes), generation(g) {}
  uint64_t add(uint64_t lsn, std::string_view key, std::string_view value, Op op = Op::kPut) {
    EntryFields f;
    f.lsn = lsn;
    f.generation = generation;
    f.log_id = kLogId;
    f.op = op;
    end += build_entry(bytes.data() + end, f, as_bytes(key), as_bytes(value));
    return end;
  }
  std::vector<std::byte> bytes;
  uint32_t generation;
  uint64_t end = kHeader;
};

uint64_t count(Bytes segment, uint64_t lsn, Step* last) {
  LogReader reader(segment, kGeneration, kLogId, kHeader, lsn);
  Entry e;
  uint64_t n = 0;
  while ((*last = reader.next(&e)) == Step::kEntry) ++n;
  return n;
}

TEST(LogReader, WalksSegmentsByLsn) {
  Segment one(4096);
  one.add(10, "a", "1");
  one.add(11, "b", "2", Op::kPut);
  one.add(12, "", "", Op::kEnd);
  Segment two(4096, kGeneration + 9);
  two.add(13, "c", "3");
  LogReader reader(one.bytes, kGeneration, kLogId, kHeader, 10);
  Entry e;
  ASSERT_EQ(reader.next(&e), Step::kEntry);
  EXPECT_EQ(as_text(e.key), "a");
  ASSERT_EQ(reader.next(&e), Step::kEntry);
  EXPECT_EQ(reader.next(&e), Step::kSegmentEnd);
  EXPECT_EQ(reader.next(&e), Step::kSegmentEnd);
  EXPECT_TRUE(reader.finished());
  EXPECT_EQ(reader.next_lsn(), 13u);
  reader.enter(two.bytes, kGeneration + 9);
  ASSERT_EQ(reader.next(&e), Step::kEntry);
  EXPECT_EQ(as_text(e.key), "c");
  EXPECT_EQ(reader.next(&e), Step::kStop);
  EXPECT_EQ(reader.offset(), two.end);
}

TEST(LogReader, GoesOnWhenMoreWasWritten) {
  Segment s(4096);
  s.add(1, "a", "1");
  LogReader reader(s.bytes, kGeneration, kLogId, kHeader, 1);
  Entry e;
  ASSERT_EQ(reader.next(&e), Step::kEntry);
  ASSERT_EQ(reader.next(&e), Step::kStop);
  s.add(2, "b", "2");
  ASSERT_EQ(reader.next(&e), Step::kEntry);
  EXPECT_EQ(as_text(e.key), "b");
}

TEST(LogReader, ASegmentWithoutRoomForAHeaderIsFinished) {
  const uint64_t exact = kHeader + entry_bytes(1, 1);
  for (const uint64_t slack : {0u, 8u, 63u}) {
    Segment s(exact + slack);
    s.add(1, "a", "1");
    Step last = Step::kStop;
    EXPECT_EQ(count(s.bytes, 1, &last), 1u);
    EXPECT_EQ(last, Step::kSegmentEnd) << slack;
  }
  Segment s(exact + 64);
  s.add(1, "a", "1");
  Step last = Step::kEntry;
  EXPECT_EQ(count(s.bytes, 1, &last), 1u);
  EXPECT_EQ(last, Step::kStop);
}

TEST(LogReader, AnEntryCutAtAnyByteEndsTheLogBeforeIt) {
  Segment s(8192);
  s.add(1, "first", "value");
  const uint64_t start = s.end;
  s.add(2, "second", std::string(300, 'x'));
  const uint64_t used = start + sizeof(EntryHeader) + 6 + 300;
  s.add(3, "third", "value");
  for (uint64_t cut = start; cut < used; ++cut) {
    for (const std::byte filler : {std::byte{0}, std::byte{0xff}}) {
      Segment torn = s;
      // Whatever lay there before: bytes that differ from what should have been written.
      bool differs = false;
      for (uint64_t i = cut; i < used; ++i) {
        differs |= torn.bytes[i] != filler;
        torn.bytes[i] = filler;
      }
      if (!differs) continue;
      Step last = Step::kEntry;
      ASSERT_EQ(count(torn.bytes, 1, &last), 1u) << cut;
      ASSERT_EQ(last, Step::kStop);
    }
  }
}

TEST(LogReader, StaleEntriesOfThisPlaceAreNotTaken) {
  Segment s(4096);
  s.add(1, "a", "1");
  s.add(3, "b", "2");  // not the next one
  Step last = Step::kEntry;
  EXPECT_EQ(count(s.bytes, 1, &last), 1u);
  Segment other(4096, kGeneration - 1);
  other.add(1, "a", "1");
  EXPECT_EQ(count(other.bytes, 1, &last), 0u);
  LogReader another_log(s.bytes, kGeneration, kLogId + 1, kHeader, 1);
  Entry e;
  EXPECT_EQ(another_log.next(&e), Step::kStop);
}

TEST(LogReader, FindsTheFirstLsn) {
  Segment s(4096);
  EXPECT_EQ(LogReader::first_lsn(s.bytes, kGeneration, kLogId), 0u);
  s.add(77, "a", "1");
  EXPECT_EQ(LogReader::first_lsn(s.bytes, kGeneration, kLogId), 77u);
  EXPECT_EQ(LogReader::first_lsn(s.bytes, kGeneration + 1, kLogId), 0u);
  EXPECT_EQ(LogReader::first_lsn(s.bytes, kGeneration, kLogId + 1), 0u);
  EXPECT_EQ(LogReader::first_lsn(Bytes(s.bytes).first(100), kGeneration, kLogId), 0u);
}

TEST(LogReader, AnySpanAndOffsetIsSafe) {
  std::mt19937_64 random(9);
  for (int round = 0; round < 5000; ++round) {
    std::vector<std::byte> bytes(random() % 700);
    for (auto& b : bytes) b = static_cast<std::byte>(random());
    LogReader reader(bytes, static_cast<uint32_t>(random()), 1, random() % 1000, 1);
    Entry e;
    EXPECT_NE(reader.next(&e), Step::kEntry);
  }
}

}  // namespace
}  // namespace dinomo::log
