// SPDX-License-Identifier: BSD-3-Clause
#include <gtest/gtest.h>

#include <random>

#include "test/unit/dpm/service_fixture.h"

namespace dinomo::dpm {
namespace {

class Compaction : public test::ServiceTest {
 protected:
  using Model = std::map<std::string, std::string>;

  Compaction() { config_.compact_below_percent = 100; }

  static std::string key(uint64_t n) { return "key" + std::to_string(n); }

  /// Keys [0, count) in turn, values of so many bytes.
  void put_all(Log* l, uint64_t count, uint64_t bytes) {
    for (uint64_t n = 0; n < count; ++n) {
      model_[key(n)] = std::string(bytes, static_cast<char>('a' + n % 26));
      ASSERT_EQ(l->put(key(n), model_[key(n)]), Status::kOk) << n;
      if (n % 64 == 0) l->merge();
    }
    l->merge();
  }
  /// Leaves every `one_of`-th key.
  void thin_out(Log* l, uint64_t count, uint64_t one_of) {
    for (uint64_t n = 0; n < count; ++n) {
      if (n % one_of == 0) continue;
      ASSERT_EQ(l->remove(key(n)), Status::kOk);
      model_.erase(key(n));
      if (n % 256 == 0) l->merge();
    }
    l->merge();
  }
  void expect_all(uint64_t count) {
    for (uint64_t n = 0; n < count; ++n) {
      const auto is = model_.find(key(n));
      ASSERT_TRUE(value_of(key(n)) == (is == model_.end() ? "-" : is->second)) << key(n);
    }
  }
  uint64_t live_bytes() {
    uint64_t bytes = 0;
    for (const auto& [k, v] : model_) bytes += log::entry_bytes(k.size(), v.size());
    return bytes;
  }
  uint64_t version_of(const std::string& name) {
    const pool::GlobalAddress a = find(name);
    const auto h = load<log::EntryHeader>(pool_->at(a.offset_bytes()));
    return log::item_version(h.log_id, h.lsn);
  }
  /// Turns until the compactor finds nothing more, and lets graces pass.
  void compact() {
    for (int i = 0; i < 400; ++i) {
      service_->poll();
      clock_.advance_ms(5);
    }
  }

  Model model_;
};

// Defect G6 of the prototype: one live key holds a whole segment, for ever.
TEST_F(Compaction, SparseSegmentsAreEmptiedAndNoItemChanges) {
  open();
  Log l = log(0, 0, join(0));
  put_all(&l, 6000, 900);
  thin_out(&l, 6000, 100);
  std::map<std::string, uint64_t> versions;
  for (const auto& [k, v] : model_) versions[k] = version_of(k);
  compact();
  const ServiceStats s = service_->stats();
  EXPECT_LE(s.segments.merged, 3u) << "60 items of 1 KiB take one segment of 128 KiB";
  EXPECT_EQ(s.segments.live_bytes, live_bytes());
  EXPECT_EQ(s.items, model_.size());
  EXPECT_GE(s.compacted_entries, 50u);
  EXPECT_EQ(s.compaction_damaged, 0u);
  expect_all(6000);
  for (const auto& [k, version] : versions) EXPECT_EQ(version_of(k), version) << k;
  reopen();
  EXPECT_EQ(service_->recovery().slots_discarded, 0u);
  EXPECT_EQ(service_->stats().segments.live_bytes, live_bytes());
  expect_all(6000);
}

TEST_F(Compaction, IsIdleWhenThereIsNothingToGain) {
  open();
  Log l = log(0, 0, join(0));
  put_all(&l, 2000, 900);
  compact();
  EXPECT_EQ(service_->stats().compaction_outputs, 0u);
  thin_out(&l, 40, 100);  // less than a segment's worth
  compact();
  EXPECT_EQ(service_->stats().compaction_outputs, 0u);
  // And once done it stays done.
  thin_out(&l, 2000, 50);
  compact();
  const uint64_t moved = service_->stats().compacted_bytes;
  EXPECT_GT(moved, 0u);
  compact();
  EXPECT_EQ(service_->stats().compacted_bytes, moved);
}

TEST_F(Compaction, WhatDoesNotPackWellIsNotCopiedForEver) {
  open();
  Log l = log(0, 0, join(0));
  put_all(&l, 300, 44'000);  // two in a segment, a third of which stays empty
  compact();
  EXPECT_EQ(service_->stats().compacted_bytes, 0u);
  thin_out(&l, 300, 2);
  compact();
  const uint64_t moved = service_->stats().compacted_bytes;
  EXPECT_GT(moved, 0u);
  compact();
  EXPECT_EQ(service_->stats().compacted_bytes, moved);
  expect_all(300);
}

TEST_F(Compaction, AHalfDoneOneIsHarmlessAfterACrash) {
  open();
  Log l = log(0, 0, join(0));
  put_all(&l, 3000, 900);
  thin_out(&l, 3000, 40);
  uint64_t moved = 0;
  for (int crashes = 0; crashes < 8; ++crashes) {
    poll(3);  // some slices, in the middle of a victim
    moved += service_->stats().compacted_entries;
    reopen();
    ASSERT_EQ(service_->recovery().slots_discarded, 0u);
    ASSERT_EQ(service_->stats().segments.live_bytes, live_bytes());
    const auto counts = service_->stats().segments;
    EXPECT_LE(counts.open, 1u) << "what compaction had open is closed";
    expect_all(3000);
  }
  EXPECT_GT(moved, 0u);
  compact();
  expect_all(3000);
  EXPECT_LE(service_->stats().segments.merged, 4u);
}

TEST_F(Compaction, TakesNothingFromLogsThatAreStillWritten) {
  open();
  Log l = log(0, 0, join(0));
  put_all(&l, 100, 900);  // all in the open segment
  thin_out(&l, 100, 50);
  compact();
  EXPECT_EQ(service_->stats().compacted_entries, 0u);
  expect_all(100);
}

TEST_F(Compaction, DoesNotMakeDamageLookSound) {
  open();
  Log l = log(0, 0, join(0));
  put_all(&l, 2000, 900);
  thin_out(&l, 2000, 50);
  const std::string victim = key(100);
  pool_->at(find(victim).offset_bytes())[200] ^= std::byte{1};
  const pool::GlobalAddress at = find(victim);
  compact();
  EXPECT_EQ(find(victim), at) << "it stays where it is";
  EXPECT_EQ(value_of(victim), "(broken)");
  const uint64_t tries = service_->stats().compaction_damaged;
  EXPECT_GT(tries, 0u);
  EXPECT_LE(tries, 3u);
  compact();
  EXPECT_EQ(service_->stats().compaction_damaged, tries);
  EXPECT_LE(service_->stats().segments.merged, 4u) << "the others are emptied";
}

TEST_F(Compaction, AfterEveryKeyIsDeletedThePoolHasAsManyFreeBytesAsWhenNew) {
  open();
  const uint64_t when_new = service_->stats().free_bytes;
  EXPECT_GT(when_new, 0u);
  EXPECT_EQ(service_->stats().capacity_bytes, when_new);
  const uint32_t incarnation = join(0);
  Log l = log(0, 0, incarnation);
  put_all(&l, 20'000, 900);
  EXPECT_LT(service_->stats().free_bytes, when_new);
  thin_out(&l, 20'000, 50);
  compact();
  EXPECT_GT(service_->stats().compacted_entries, 0u);
  thin_out(&l, 20'000, 20'001);
  ASSERT_EQ(l.remove(key(0)), Status::kOk);
  l.merge();
  ASSERT_EQ(status_of(call(0, control(), incarnation, pool::MailboxOpcode::kDeregister)),
            Status::kOk);
  compact();
  EXPECT_EQ(service_->stats().items, 0u);
  EXPECT_EQ(service_->stats().free_bytes, when_new);
  reopen();
  EXPECT_EQ(service_->stats().free_bytes, when_new);
}

TEST_F(Compaction, TheCapacityThatIsToldCanBeUsed) {
  open();
  const ServiceStats fresh = service_->stats();
  uint64_t granted = 0;
  for (uint32_t slot = 0; slot < 3; ++slot) {  // a log may have so many open, not all
    const uint32_t incarnation = join(slot);
    for (uint32_t worker = 0; worker < 2; ++worker) {
      Log l = log(slot, worker, incarnation);
      while (ok(l.grant())) ++granted;
    }
  }
  const uint64_t each = superblock().segment_bytes;
  EXPECT_EQ((granted + config_.reserve_segments + kCompactionReserve) * each, fresh.capacity_bytes);
}

TEST_F(Compaction, OverwritingAFullPoolWaitsAndIsNeverRefusedForSpace) {
  config_.compact_below_percent = 8;
  open();
  Log l = log(0, 0, join(0));
  const uint64_t capacity = service_->stats().capacity_bytes;
  const uint64_t count = capacity * 7 / 10 / log::entry_bytes(9, 900);
  put_all(&l, count, 900);
  std::mt19937_64 random(3);
  uint64_t busy = 0;
  for (uint64_t i = 0; i < 4 * count; ++i) {
    const uint64_t n = random() % count;
    model_[key(n)] = std::string(900, static_cast<char>('a' + random() % 26));
    Status s = l.put(key(n), model_[key(n)]);
    while (s == Status::kBusy) {
      ++busy;
      clock_.advance_ms(1);
      service_->poll();
      s = l.put(key(n), model_[key(n)]);
    }
    ASSERT_EQ(s, Status::kOk) << i << " of " << count;
    if (i % 32 == 0) {
      l.merge();
      clock_.advance_ms(1);
    }
  }
  l.merge();
  expect_all(count);
  const ServiceStats stats = service_->stats();
  EXPECT_EQ(stats.segments.live_bytes, live_bytes());
  RecordProperty("busy", std::to_string(busy));
  RecordProperty("copied_percent",
                 std::to_string(stats.compacted_bytes * 100 / (4 * count * 1024)));
}

TEST_F(Compaction, AFullPoolWithoutAnythingToGainSaysSo) {
  open();
  Log l = log(0, 0, join(0));
  uint64_t n = 0;
  Status s = Status::kOk;
  while (ok(s = l.put(key(n), std::string(900, 'x')))) {
    if (++n % 64 == 0) l.merge();
    ASSERT_LT(n, 200'000u);
  }
  EXPECT_EQ(s, Status::kNoSpace);
  l.merge();
  compact();
  EXPECT_EQ(l.put("more", "x"), Status::kNoSpace) << "and goes on to say so";
  EXPECT_EQ(service_->stats().segments.free, config_.reserve_segments + kCompactionReserve);
  // Every tenth key is deleted: no segment is empty, but space comes back.
  for (uint64_t i = 0; i < n; i += 10) {
    ASSERT_EQ(l.remove(key(i)), Status::kOk) << i;
    if (i % 1000 == 0) l.merge();
  }
  l.merge();
  compact();
  EXPECT_EQ(l.put("more", "x"), Status::kOk);
}

TEST_F(Compaction, GoesOnBesideMergesThatChangeTheSameItems) {
  config_.reclaim_grace_ms = 0;
  open(2);
  const uint32_t incarnation = join(0);
  std::array<Log, 2> logs{log(0, 0, incarnation), log(0, 1, incarnation)};
  const auto name = [](uint64_t which, uint64_t n) {
    return std::to_string(which) + "/" + std::to_string(n);
  };
  std::mt19937_64 random(5);
  for (uint64_t i = 0; i < 60'000; ++i) {
    const uint64_t which = i % 2;
    const uint64_t n = random() % 4 != 0 ? random() % 16 : random() % 3000;
    const std::string k = name(which, n);
    Status s = Status::kOk;
    do {
      const bool removes = random() % 8 == 0;
      s = removes ? logs[which].remove(k) : logs[which].put(k, std::string(400, 'v') + k);
      if (!ok(s)) service_->poll();
      if (ok(s) && removes) model_.erase(k);
      if (ok(s) && !removes) model_[k] = std::string(400, 'v') + k;
    } while (s == Status::kBusy);
    ASSERT_EQ(s, Status::kOk);
    if (i % 64 == 0) {
      logs[0].hint();
      logs[1].hint();
      clock_.advance_ms(1);
      service_->poll();
    }
  }
  for (Log& l : logs) l.merge();
  for (uint64_t n = 0; n < 3000; ++n) {
    for (uint64_t which = 0; which < 2; ++which) {
      const auto is = model_.find(name(which, n));
      ASSERT_EQ(value_of(name(which, n)), is == model_.end() ? "-" : is->second);
    }
  }
  EXPECT_GT(service_->stats().compacted_entries, 0u);
  ASSERT_NO_FATAL_FAILURE(stop());
  open();
  EXPECT_TRUE(service_->recovery().clean);
  EXPECT_EQ(service_->stats().segments.live_bytes, live_bytes());
}

}  // namespace
}  // namespace dinomo::dpm
