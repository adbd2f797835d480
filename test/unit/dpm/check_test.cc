// SPDX-License-Identifier: BSD-3-Clause
// Pools damaged in one way each: the check names it and changes nothing, the repair mends it, a
// second one finds nothing left, and every key that was not damaged is there.
#include "dpm/check/pool_check.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <fstream>
#include <set>

#include "dpm/check/audit.h"
#include "index/format.h"
#include "test/unit/dpm/service_fixture.h"

namespace dinomo::dpm {
namespace {

using log::Op;
using pool::GlobalAddress;
using test::ServiceTest;

void no_wait(uint32_t) {}

class CheckTest : public ServiceTest {
 protected:
  static constexpr int kKeys = 400;

  static std::string name(int i) { return "key" + std::to_string(i); }

  /// A pool with some of everything: versions, deletes, full segments, sessions, two logs.
  void fill() {
    open();
    const uint32_t incarnation = join(0);
    logs_ = {log(0, 0, incarnation), log(0, 1, incarnation)};
    for (int i = 0; i < 3 * kKeys; ++i) {
      const int key = i % kKeys;
      Log& l = logs_[static_cast<size_t>(key % 2)];
      log::EntryFields f;
      f.session = 900 + static_cast<uint64_t>(key % 2);
      f.sequence = ++sequences_[key % 2];
      ASSERT_EQ(
          l.append(Op::kPut, name(key), std::string(200, static_cast<char>('a' + i / kKeys)), f),
          Status::kOk);
    }
    for (int i = 0; i < kKeys; i += 10) {
      ASSERT_EQ(logs_[static_cast<size_t>(i % 2)].remove(name(i)), Status::kOk);
    }
    for (Log& l : logs_) l.merge();
  }

  index::Slot& slot_of(const std::string& key) {
    const uint64_t hash = key_hash(as_bytes(key), superblock().hash_seed);
    index::Bucket* bucket = service_->index().head(hash);
    for (;;) {
      for (index::Slot& s : bucket->slots) {
        if (s.hash == hash) return s;
      }
      if (bucket->next == 0) break;
      bucket = service_->index().bucket_at(bucket->next);
    }
    ADD_FAILURE() << "no slot for " << key;
    return bucket->slots[0];
  }
  std::byte* entry_of(const std::string& key) { return pool_->at(find(key).offset_bytes()); }
  pool::SessionRecord& session_record(uint64_t session) {
    const pool::Superblock& s = superblock();
    for (uint32_t i = 0; i < s.session_count; ++i) {
      auto* r = pool_->record<pool::SessionRecord>(s.sessions_offset +
                                                   i * pool::session_bytes(s.session_window));
      if (r->session == session) return *r;
    }
    ADD_FAILURE() << "no session " << session;
    return *pool_->record<pool::SessionRecord>(s.sessions_offset);
  }

  int check(bool repair, CheckOutcome* outcome) {
    return check_pool({options_.path, repair, 1}, clock_, no_wait, outcome);
  }
  uint64_t file_sum() {
    std::ifstream file(options_.path, std::ios::binary);
    std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    return checksum64(as_bytes(text));
  }
  static std::string listing(const CheckReport& report) {
    std::string all;
    for (const Finding& f : report.findings())
      all += std::string(info(f.problem).name) + ": " + f.text + "\n";
    return all;
  }

  /// The pool, closed as it is, has exactly this problem, so often.
  void expect_mended(Problem problem, uint64_t times, const std::set<std::string>& lost) {
    crash();
    const uint64_t before = file_sum();
    CheckOutcome seen;
    EXPECT_EQ(check(false, &seen), 1) << seen.why_not;
    EXPECT_EQ(seen.found.of(problem), times);
    EXPECT_EQ(seen.found.of(Severity::kRepairable), times) << listing(seen.found);
    EXPECT_EQ(seen.found.of(Severity::kFatal), 0u) << listing(seen.found);
    EXPECT_EQ(file_sum(), before) << "a check changes nothing";
    CheckOutcome mended;
    EXPECT_EQ(check(true, &mended), 0) << listing(mended.found);
    EXPECT_EQ(mended.found.of(problem), times) << listing(mended.found);
    expect_clean();
    CheckOutcome again;
    EXPECT_EQ(check(true, &again), 0);
    EXPECT_EQ(again.found.of(Severity::kRepairable), 0u) << listing(again.found);
    expect_keys(lost);
  }
  void expect_clean() {
    CheckOutcome seen;
    EXPECT_EQ(check(false, &seen), 0) << seen.why_not << listing(seen.found);
  }
  void expect_keys(const std::set<std::string>& lost) {
    open();
    expect_present(lost);
  }
  void expect_present(const std::set<std::string>& lost) {
    for (int i = 0; i < kKeys; ++i) {
      const bool deleted = i % 10 == 0 || lost.contains(name(i));
      EXPECT_EQ(value_of(name(i)), deleted ? "-" : std::string(200, 'c')) << i;
    }
  }

  std::vector<Log> logs_;
  std::array<uint64_t, 2> sequences_{};
};

TEST_F(CheckTest, APoolIsCleanNewFilledCrashedAndStopped) {
  open();
  crash();
  expect_clean();
  fill();
  ASSERT_EQ(logs_[0].put("unmerged", "1"), Status::kOk);
  crash();
  expect_clean();
  CheckOutcome seen;
  EXPECT_EQ(check(false, &seen), 0);
  EXPECT_FALSE(seen.found.totals.clean_stop);
  EXPECT_EQ(seen.found.totals.entries_unmerged, 1u);
  EXPECT_EQ(seen.found.totals.items, kKeys * 9 / 10 + 1u);
  EXPECT_EQ(seen.found.totals.sessions, 2u);
  EXPECT_EQ(seen.found.totals.outcomes, 32u);
  EXPECT_EQ(seen.found.of(Severity::kNote), 0u) << listing(seen.found);
  EXPECT_EQ(check(true, &seen), 0);
  expect_keys({});
  stop();
  expect_clean();
}

TEST_F(CheckTest, APoolInUseIsLeftAlone) {
  fill();
  CheckOutcome seen;
  EXPECT_EQ(check(true, &seen), 2);
  EXPECT_NE(seen.why_not.find("open in another process"), std::string::npos) << seen.why_not;
}

TEST_F(CheckTest, AKnThatStillWritesIsNoticed) {
  fill();
  static pool::KnSlot* beating;
  beating = nullptr;
  const uint64_t at = pool::kn_slot_offset(superblock(), 0);
  crash();
  // A KN over shared memory has the file mapped, and no lock.
  const int fd = ::open(options_.path.c_str(), O_RDWR);
  ASSERT_GE(fd, 0);
  void* memory = mmap(nullptr, options_.pool_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  ::close(fd);
  ASSERT_NE(memory, MAP_FAILED);
  beating = reinterpret_cast<pool::KnSlot*>(static_cast<std::byte*>(memory) + at);
  CheckOutcome seen;
  EXPECT_EQ(check_pool(
                {options_.path, true, 1}, clock_, [](uint32_t) { ++beating->heartbeat; }, &seen),
            2);
  EXPECT_NE(seen.why_not.find("in use"), std::string::npos) << seen.why_not;
  munmap(memory, options_.pool_bytes);
}

TEST_F(CheckTest, WhatIsNoPoolIsSaid) {
  CheckOutcome seen;
  EXPECT_EQ(check(false, &seen), 2);
  EXPECT_NE(seen.why_not, "");
  fill();
  crash();
  std::filesystem::resize_file(options_.path, options_.pool_bytes / 2);
  CheckOutcome cut;
  EXPECT_EQ(check(true, &cut), 2);
  EXPECT_NE(cut.why_not, "");
}

TEST_F(CheckTest, ABitOfAnEntry) {
  fill();
  for (const char* key : {"key1", "key2", "key3"}) entry_of(key)[100] ^= std::byte{4};
  expect_mended(Problem::kSlotInvalid, 3, {"key1", "key2", "key3"});
}

TEST_F(CheckTest, ABitOfASlot) {
  fill();
  // Everything is in the logs, so what the damage hides is proven to be lost, and comes back.
  slot_of("key1").hash ^= 0x100;
  slot_of("key2").address ^= 0x3;
  crash();
  CheckOutcome seen;
  EXPECT_EQ(check(false, &seen), 1);
  EXPECT_EQ(seen.found.of(Problem::kSlotInvalid), 2u);
  EXPECT_EQ(seen.found.of(Problem::kPutLost), 2u) << listing(seen.found);
  EXPECT_EQ(check(true, &seen), 0) << listing(seen.found);
  expect_clean();
  expect_keys({});
}

TEST_F(CheckTest, ASlotOfAnOlderVersion) {
  fill();
  index::Slot& slot = slot_of("key5");
  const uint64_t newest = slot.address;
  // The first version lies in the log's first segment, at the place of its LSN.
  const uint64_t size = log::entry_bytes(4, 200);
  uint64_t at = 0;
  for (uint32_t id = 0; id < service_->segments().size() && at == 0; ++id) {
    const Bytes bytes = service_->segments().bytes(id);
    for (uint64_t o = sizeof(pool::SegmentHeader); o + size <= bytes.size(); o += 64) {
      log::Entry e;
      if (log::parse_entry(bytes.subspan(o), service_->segments().header(id).generation, &e) ==
              log::EntryCheck::kValid &&
          as_text(e.key) == "key5" && e.value[0] == std::byte{'a'}) {
        at = service_->segments().offset(id) + o;
        slot.address =
            GlobalAddress::direct(3, at, static_cast<uint32_t>(size), e.header.generation).word();
        break;
      }
    }
  }
  ASSERT_NE(at, 0u);
  ASSERT_NE(slot.address, newest);
  crash();
  CheckOutcome seen;
  EXPECT_EQ(check(false, &seen), 1);
  EXPECT_EQ(seen.found.of(Problem::kSlotStale), 1u) << listing(seen.found);
  EXPECT_EQ(check(true, &seen), 0) << listing(seen.found);
  EXPECT_EQ(seen.found.of(Problem::kPutLost), 1u) << listing(seen.found);
  expect_clean();
  expect_keys({});
}

TEST_F(CheckTest, ASecondSlotOfAKey) {
  fill();
  const uint64_t hash = key_hash(as_bytes("key7"), superblock().hash_seed);
  index::Bucket* bucket = service_->index().head(hash);
  index::Slot* empty = nullptr;
  for (index::Slot& s : bucket->slots) {
    if (s.hash == 0) empty = &s;
  }
  ASSERT_NE(empty, nullptr);
  *empty = {hash, slot_of("key7").address};
  expect_mended(Problem::kSlotDuplicate, 1, {});
}

TEST_F(CheckTest, ABucketsHeaderAndLink) {
  fill();
  service_->index().head(0)->header ^= index::kMigratedBit;
  service_->index().head(uint64_t{1} << 63)->header ^= uint64_t{1} << 50;
  expect_mended(Problem::kBucketHeader, 2, {});
  service_->index().bucket_at(service_->index().table().offset_bytes())->next = 12345;
  expect_mended(Problem::kLink, 1, {});
}

TEST_F(CheckTest, HeadersOfSegments) {
  fill();
  for (const bool open_one : {true, false}) {
    for (uint32_t id = 0; id < service_->segments().size(); ++id) {
      pool::SegmentHeader& h = service_->segments().header(id);
      if (h.state !=
          static_cast<uint32_t>(open_one ? pool::SegmentState::kOpen : pool::SegmentState::kMerged))
        continue;
      h.log_id ^= 0x40;
      break;
    }
    expect_mended(Problem::kSegmentHeader, 1, {});
  }
}

TEST_F(CheckTest, StatesAndEndsOfSegments) {
  fill();
  int damaged = 0;
  for (uint32_t id = 0; id < service_->segments().size() && damaged < 2; ++id) {
    pool::SegmentHeader& h = service_->segments().header(id);
    if (h.state != static_cast<uint32_t>(pool::SegmentState::kMerged)) continue;
    if (damaged++ == 0)
      h.end_bytes = 3;
    else
      h.last_lsn += 5;
  }
  expect_mended(Problem::kSegmentEnd, 2, {});
  service_->segments().header(0).state = 77;
  service_->segments().header(1).state = 0;
  expect_mended(Problem::kSegmentState, 2, {});
}

TEST_F(CheckTest, AGrantThatTheRecordForgot) {
  fill();
  log_record(0).granted_sequence -= 1;
  log_record(0).merged_sequence = log_record(0).granted_sequence;
  expect_mended(Problem::kGrant, 1, {});
}

TEST_F(CheckTest, SessionsRecordsAndOutcomes) {
  fill();
  stop();
  open();
  session_record(900).sequence_floor ^= 1;
  stop();
  open();
  crash();  // a crash may leave a checksum torn, so that alone says nothing
  open();
  stop();
  open();
  pool::SessionRecord& r = session_record(900);
  reinterpret_cast<pool::OutcomeCell*>(&r + 1)[2].version ^= 1;
  expect_mended(Problem::kSessionOutcome, 1, {});
  session_record(900).sequence_floor = uint64_t{1} << 40;
  expect_mended(Problem::kSessionRecord, 1, {});
  session_record(901).session ^= 0x7f;
  expect_mended(Problem::kSessionRecord, 1, {});
}

TEST_F(CheckTest, AKnSlotAndTheIndexRoot) {
  fill();
  kn_slot(1).state = 9;
  expect_mended(Problem::kKnSlot, 1, {});
  pool_->record<pool::IndexRoot>(superblock().index_root_offset)->buckets_min = 999;
  expect_mended(Problem::kIndexRoot, 1, {});
}

TEST_F(CheckTest, AnObjectOfNoUse) {
  fill();
  ASSERT_TRUE(pool_->allocate(static_cast<pool::ObjectType>(99), 4096, nullptr, 0));
  ASSERT_TRUE(pool_->allocate(pool::ObjectType::kSegment, 4096, nullptr, 0));
  expect_mended(Problem::kStray, 2, {});
}

TEST_F(CheckTest, OverflowBucketsThatNobodyRefersToAreNoProblem) {
  fill();
  const uint64_t used = service_->stats().overflow_used;
  ASSERT_TRUE(pool_->allocate(pool::ObjectType::kOverflow, 64 * 64, nullptr, 0));
  ASSERT_TRUE(pool_->allocate(pool::ObjectType::kIndexTable, 1024 * 64, nullptr, 0));
  crash();
  expect_clean();
  CheckOutcome mended;
  EXPECT_EQ(check(true, &mended), 0);
  EXPECT_EQ(mended.found.totals.overflow_used, used);
  open();
  EXPECT_EQ(pool_->objects(pool::ObjectType::kIndexTable).size(), 1u);
}

TEST_F(CheckTest, WhatNobodyCanTellIsNotRepaired) {
  fill();
  log_record(0).merged_lsn += 7;
  crash();
  CheckOutcome seen;
  EXPECT_EQ(check(false, &seen), 2);
  EXPECT_EQ(seen.found.of(Problem::kLogRecord), 1u) << listing(seen.found);
  EXPECT_EQ(check(true, &seen), 2);
}

TEST_F(CheckTest, DeadDamageIsANote) {
  fill();
  // The first version of some key: nothing refers to it.
  std::byte* dead = nullptr;
  for (uint32_t id = 0; id < service_->segments().size() && dead == nullptr; ++id) {
    if (service_->segments().header(id).sequence == 1)
      dead = pool_->at(service_->segments().offset(id) + 128);
  }
  ASSERT_NE(dead, nullptr);
  dead[70] ^= std::byte{1};
  crash();
  CheckOutcome seen;
  EXPECT_EQ(check(false, &seen), 0);
  EXPECT_EQ(seen.found.of(Problem::kDeadDamage), 1u);
}

TEST_F(CheckTest, ManyAbsentKeysAreLookedAtInRounds) {
  fill();
  for (int i = 1; i < 40; i += 2) {
    const GlobalAddress at = find(name(i));
    if (at)
      ASSERT_TRUE(
          *service_->index().erase_if(key_hash(as_bytes(name(i)), superblock().hash_seed), at));
  }
  CheckReport report;
  Audit audit{*pool_, *service_, report, true, clock_.unix_ms(), 7};
  audit_logs(audit);
  EXPECT_EQ(report.of(Problem::kPutLost), 20u) << listing(report);
  EXPECT_EQ(report.of(Problem::kUnprovenPut), 0u);
  expect_present({});
}

}  // namespace
}  // namespace dinomo::dpm
