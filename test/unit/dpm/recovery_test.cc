// SPDX-License-Identifier: BSD-3-Clause
#include <gtest/gtest.h>

#include <random>

#include "index/format.h"
#include "test/unit/dpm/service_fixture.h"

namespace dinomo::dpm {
namespace {

using log::Op;
using test::ServiceTest;

class RecoveryTest : public ServiceTest {
 protected:
  /// Finds the slot of a key in the table (the tests' keys do not overflow).
  index::Slot* slot_of(const std::string& key) {
    const uint64_t hash = key_hash(as_bytes(key), superblock().hash_seed);
    for (index::Slot& s : service_->index().head(hash)->slots) {
      if (s.hash == hash) return &s;
    }
    return nullptr;
  }
};

TEST_F(RecoveryTest, CleanAndUncleanStopsAreToldApart) {
  open();
  EXPECT_TRUE(service_->recovery().clean) << "a new pool";
  reopen();
  EXPECT_FALSE(service_->recovery().clean);
  stop();
  open();
  EXPECT_TRUE(service_->recovery().clean);
  EXPECT_EQ(service_->stats().boot_count, 3u);
}

TEST_F(RecoveryTest, AnInterruptedResizeGoesOnAndLosesNothing) {
  open();
  Log l = log(0, 0, join(0));
  const uint32_t log2 = service_->index().table().buckets_log2();
  const auto name = [](int i) { return "key" + std::to_string(i); };
  for (int i = 0; i < 300; ++i) ASSERT_EQ(l.put(name(i), "1"), Status::kOk);
  l.merge();
  service_->resizer().force(log2 + 2);
  int turns = 0;
  while (!service_->index().next_table()) {
    ASSERT_LT(++turns, 1000);
    service_->poll();
  }
  service_->poll();  // a slice is migrated, more are left
  // A copy of a chain that is not marked, as a crash within a migration leaves it.
  index::IndexWriter& index = service_->index();
  std::string left;
  for (int i = 0; i < 300 && left.empty(); ++i) {
    const uint64_t hash = key_hash(as_bytes(name(i)), superblock().hash_seed);
    if ((index.head(hash)->header & index::kMigratedBit) == 0) left = name(i);
  }
  ASSERT_NE(left, "");
  const uint64_t hash = key_hash(as_bytes(left), superblock().hash_seed);
  index::Bucket* target = index.memory().head_of(index.next_table(), hash);
  target->header |= index::kLockBit;
  target->slots[1] = {hash, find(left).word()};
  ASSERT_EQ(l.remove(left), Status::kOk);
  ASSERT_EQ(l.put(name(7), "2"), Status::kOk);
  l.merge();
  reopen();
  EXPECT_TRUE(service_->recovery().resize_continued);
  EXPECT_EQ(service_->recovery().slots_discarded, 0u);
  EXPECT_EQ(service_->recovery().links_cut, 0u);
  EXPECT_EQ(value_of(left), "-") << "a copy without a mark came back";
  for (turns = 0; !service_->resizer().idle(); ++turns) {
    ASSERT_LT(turns, 1000);
    service_->poll();
  }
  EXPECT_EQ(service_->index().table().buckets_log2(), log2 + 2);
  EXPECT_EQ(value_of(left), "-") << "a copy without a mark came back";
  EXPECT_EQ(value_of(name(7)), left == name(7) ? "-" : "2");
  for (int i = 0; i < 300; ++i) {
    if (name(i) != left && i != 7) EXPECT_EQ(value_of(name(i)), "1");
  }
  for (int i = 0; i < 8; ++i) {  // also shrinks again, to what the pool was made with
    clock_.advance_ms(10'000);
    poll();
  }
  EXPECT_EQ(service_->index().table().buckets_log2(), log2);
  EXPECT_EQ(pool_->objects(pool::ObjectType::kIndexTable).size(), 1u);
  reopen();
  EXPECT_FALSE(service_->recovery().resize_continued);
  EXPECT_EQ(value_of(name(299)), "1");
}

TEST_F(RecoveryTest, AnOrderlyStopMergesWhatIsInTheLogs) {
  open();
  Log l = log(0, 0, join(0));
  ASSERT_EQ(l.put("a", "1"), Status::kOk);
  stop();
  open();
  EXPECT_EQ(service_->recovery().entries_merged, 0u);
  EXPECT_EQ(value_of("a"), "1");
  ASSERT_EQ(l.put("a", "2"), Status::kOk) << "the KN goes on in its segment";
  l.merge();
  EXPECT_EQ(value_of("a"), "2");
}

TEST_F(RecoveryTest, UnhintedEntriesAreFoundAfterACrashHoweverOftenItHappens) {
  open();
  Log l = log(0, 0, join(0));
  ASSERT_EQ(l.put("a", "1"), Status::kOk);
  l.merge();
  ASSERT_EQ(l.put("a", "2"), Status::kOk);
  ASSERT_EQ(l.put("b", "1"), Status::kOk);
  ASSERT_EQ(l.remove("b"), Status::kOk);
  reopen();
  EXPECT_EQ(service_->recovery().entries_merged, 3u);
  EXPECT_EQ(value_of("a"), "2");
  EXPECT_EQ(value_of("b"), "-");
  for (int i = 0; i < 5; ++i) {
    reopen();
    EXPECT_EQ(service_->recovery().entries_merged, 0u);
    EXPECT_EQ(value_of("a"), "2");
    EXPECT_EQ(service_->stats().items, 1u);
    EXPECT_EQ(service_->recovery().slots_discarded, 0u);
  }
  // The KN is alive all the time.
  ASSERT_EQ(l.put("c", "3"), Status::kOk);
  l.merge();
  EXPECT_EQ(value_of("c"), "3");
}

TEST_F(RecoveryTest, AMergeThatWasNotNotedIsRepeatedWithoutHarm) {
  open();
  Log l = log(0, 0, join(0));
  std::mt19937_64 random(2);
  std::map<std::string, std::string> model;
  std::vector<uint64_t> merged;
  for (int i = 0; i < 200; ++i) {
    const std::string key = "key" + std::to_string(random() % 20);
    if (random() % 3 == 0) {
      ASSERT_EQ(l.remove(key), Status::kOk);
      model.erase(key);
    } else {
      ASSERT_EQ(l.put(key, std::to_string(i)), Status::kOk);
      model[key] = std::to_string(i);
    }
  }
  l.merge();
  const uint64_t live = service_->stats().segments.live_bytes;
  for (uint64_t lsn = 0; lsn <= 200; lsn += 13) {
    // The index was changed, but merged_lsn had got only so far.
    log_record(0).merged_lsn = lsn;
    reopen();
    EXPECT_EQ(service_->recovery().entries_merged, 200 - lsn);
    for (int k = 0; k < 20; ++k) {
      const std::string key = "key" + std::to_string(k);
      ASSERT_EQ(value_of(key), model.contains(key) ? model[key] : "-") << lsn;
    }
    EXPECT_EQ(service_->stats().segments.live_bytes, live);
    EXPECT_EQ(service_->stats().items, model.size());
    EXPECT_EQ(log_record(0).merged_lsn, 200u);
  }
}

TEST_F(RecoveryTest, ATornTailIsCutAtEveryByte) {
  open();
  Log l = log(0, 0, join(0));
  ASSERT_EQ(l.put("a", "1"), Status::kOk);
  const uint64_t start = l.offset + l.used;
  const std::string value(90, 'x');
  ASSERT_EQ(l.put("b", value), Status::kOk);
  const uint64_t used = sizeof(log::EntryHeader) + 1 + value.size();
  const std::vector<std::byte> whole(pool_->at(start), pool_->at(start) + used);
  for (uint64_t cut = 0; cut < used; cut += 7) {
    std::memcpy(pool_->at(start), whole.data(), cut);
    std::memset(static_cast<void*>(pool_->at(start + cut)), 0, used - cut);
    reopen();
    ASSERT_EQ(value_of("a"), "1");
    ASSERT_EQ(value_of("b"), "-") << cut;
    ASSERT_EQ(log_record(0).merged_lsn, 1u);
    // Seen once LSN (8..15) and generation (16..19) are there.
    ASSERT_EQ(service_->recovery().torn_tails, cut >= 19 ? 1u : 0u) << cut;
  }
  std::memcpy(pool_->at(start), whole.data(), used);
  reopen();
  EXPECT_EQ(value_of("b"), value);
}

TEST_F(RecoveryTest, LocksOfACrashedProcessAreCleared) {
  open();
  Log l = log(0, 0, join(0));
  ASSERT_EQ(l.put("a", "1"), Status::kOk);
  l.merge();
  service_->index().head(key_hash(as_bytes("a"), superblock().hash_seed))->header |=
      index::kLockBit;
  reopen();
  EXPECT_EQ(service_->recovery().locks_cleared, 1u);
  ASSERT_EQ(l.put("a", "2"), Status::kOk);
  l.merge();
  EXPECT_EQ(value_of("a"), "2");
}

TEST_F(RecoveryTest, SlotsThatReferToNoEntryAreDiscardedAndCounted) {
  open();
  Log l = log(0, 0, join(0));
  for (const char* key : {"a", "b", "c", "d", "e"}) ASSERT_EQ(l.put(key, "1"), Status::kOk);
  l.merge();
  slot_of("a")->address = pool::GlobalAddress::direct(3, 64, 64, 1).word();  // no segment
  slot_of("b")->address = slot_of("c")->address;                             // another key's
  pool_->at(pool::GlobalAddress(slot_of("d")->address).offset_bytes())[57] = std::byte{1};
  reopen();
  EXPECT_EQ(service_->recovery().slots_discarded, 3u);
  EXPECT_EQ(value_of("a"), "-");
  EXPECT_EQ(value_of("b"), "-");
  EXPECT_EQ(value_of("c"), "1");
  EXPECT_EQ(value_of("d"), "-");
  EXPECT_EQ(value_of("e"), "1");
  EXPECT_EQ(service_->stats().items, 2u);
  reopen();
  EXPECT_EQ(service_->recovery().slots_discarded, 0u);
}

TEST_F(RecoveryTest, BrokenLinksAreCut) {
  open();
  join(0);
  auto* bucket = service_->index().head(1);
  bucket->next = 0x123456;
  reopen();
  EXPECT_EQ(service_->recovery().links_cut, 1u);
  reopen();
  EXPECT_EQ(service_->recovery().links_cut, 0u);
}

TEST_F(RecoveryTest, AGrantTornInTheMiddleLeavesTheSegmentFreeWithALaterGeneration) {
  open();
  Log l = log(0, 0, join(0));
  ASSERT_EQ(l.grant(), Status::kOk);
  auto* h = pool_->record<pool::SegmentHeader>(l.offset);
  const uint32_t generation = h->generation;
  h->state = static_cast<uint32_t>(pool::SegmentState::kFree);
  h->sequence += 1;  // the checksum does not fit any more
  log_record(0).granted_sequence = 0;
  cell(0, 0).reply = {};
  cell(0, 0).request = {};
  reopen();
  EXPECT_GT(pool_->record<pool::SegmentHeader>(l.offset)->generation, generation);
  EXPECT_EQ(service_->stats().segments.free, service_->stats().segments.total);
}

TEST_F(RecoveryTest, SegmentFullyMergedButNotClosedIsClosed) {
  open();
  Log l = log(0, 0, join(0));
  ASSERT_EQ(l.put("a", "1"), Status::kOk);
  l.write(Op::kEnd, "", "", {});
  l.merge();
  auto* h = pool_->record<pool::SegmentHeader>(l.offset);
  ASSERT_EQ(h->state, static_cast<uint32_t>(pool::SegmentState::kMerged));
  EXPECT_EQ(h->end_bytes, l.used);
  EXPECT_EQ(h->last_lsn, 2u);
  h->state = static_cast<uint32_t>(pool::SegmentState::kOpen);  // the crash came before
  log_record(0).merged_sequence = 0;
  reopen();
  EXPECT_EQ(pool_->record<pool::SegmentHeader>(l.offset)->state,
            static_cast<uint32_t>(pool::SegmentState::kMerged));
  EXPECT_EQ(log_record(0).merged_sequence, 1u);
  ASSERT_EQ(l.grant(), Status::kOk);
  ASSERT_EQ(l.put("a", "2"), Status::kOk);
  l.merge();
  EXPECT_EQ(value_of("a"), "2");
}

TEST_F(RecoveryTest, RandomCrashesLoseNothing) {
  open();
  uint32_t incarnation = join(0);
  Log l = log(0, 0, incarnation);
  std::mt19937_64 random(77);
  std::map<std::string, std::string> model;
  for (int round = 0; round < 25; ++round) {
    const int writes = static_cast<int>(random() % 700);
    for (int i = 0; i < writes; ++i) {
      const std::string key = "key" + std::to_string(random() % 300);
      if (random() % 4 == 0) {
        ASSERT_EQ(l.remove(key), Status::kOk);
        model.erase(key);
      } else {
        const std::string value(random() % 600, static_cast<char>('a' + round));
        ASSERT_EQ(l.put(key, value), Status::kOk);
        model[key] = value;
      }
      if (random() % 64 == 0) l.hint();
      if (random() % 32 == 0) service_->poll();
      if (random() % 32 == 0) clock_.advance_ms(20);
    }
    switch (random() % 3) {
      case 0: reopen(); break;  // the DPM dies
      case 1:                   // the KN dies
        incarnation = join(0);
        l = log(0, 0, incarnation);
        break;
      default:  // both do
        reopen();
        incarnation = join(0);
        l = log(0, 0, incarnation);
    }
    ASSERT_EQ(service_->recovery().slots_discarded, 0u);
    if (random() % 2 == 0) continue;
    l.merge();
    uint64_t live = 0;
    for (int k = 0; k < 300; ++k) {
      const std::string key = "key" + std::to_string(k);
      ASSERT_EQ(value_of(key), model.contains(key) ? model[key] : "-") << round;
      if (model.contains(key)) live += log::entry_bytes(key.size(), model[key].size());
    }
    ASSERT_EQ(service_->stats().segments.live_bytes, live);
    ASSERT_EQ(service_->stats().items, model.size());
  }
}

}  // namespace
}  // namespace dinomo::dpm
