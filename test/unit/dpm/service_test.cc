// SPDX-License-Identifier: BSD-3-Clause
#include <gtest/gtest.h>

#include <random>
#include <set>

#include "test/unit/dpm/service_fixture.h"

namespace dinomo::dpm {
namespace {

using log::Op;
using pool::MailboxOpcode;
using test::ServiceTest;

TEST_F(ServiceTest, MergesPutsUpdatesAndDeletesInOrder) {
  open();
  Log l = log(0, 0, join(0));
  ASSERT_EQ(l.put("a", "1"), Status::kOk);
  ASSERT_EQ(l.put("b", "2"), Status::kOk);
  ASSERT_EQ(l.put("a", "3"), Status::kOk);
  ASSERT_EQ(l.remove("b"), Status::kOk);
  ASSERT_EQ(l.put("c", ""), Status::kOk);
  l.merge();
  EXPECT_EQ(value_of("a"), "3");
  EXPECT_EQ(value_of("b"), "-");
  EXPECT_EQ(value_of("c"), "");
  EXPECT_EQ(service_->stats().items, 2u);
  EXPECT_EQ(find("a").node(), 3);
}

TEST_F(ServiceTest, NothingBeyondTheHintIsMergedWhileTheKnLives) {
  open();
  Log l = log(0, 0, join(0));
  ASSERT_EQ(l.put("a", "1"), Status::kOk);
  l.merge();
  ASSERT_EQ(l.put("a", "2"), Status::kOk);
  poll();
  EXPECT_EQ(value_of("a"), "1");
  l.merge();
  EXPECT_EQ(value_of("a"), "2");
}

TEST_F(ServiceTest, AHintThatLiesIsNotBelieved) {
  open();
  Log l = log(0, 0, join(0));
  ASSERT_EQ(l.put("a", "1"), Status::kOk);
  l.next_lsn += 1000;
  l.hint();
  settle();
  EXPECT_EQ(value_of("a"), "1");
  EXPECT_EQ(log_record(0).merged_lsn, 1u);
  EXPECT_EQ(service_->stats().lag_entries, 1000u);
}

TEST_F(ServiceTest, SegmentsFollowEachOtherAndAreReclaimedOnce) {
  open();
  Log l = log(0, 0, join(0));
  std::mt19937_64 random(1);
  std::map<std::string, std::string> model;
  for (int i = 0; i < 6000; ++i) {
    const std::string key = "key" + std::to_string(random() % 200);
    if (random() % 5 == 0) {
      ASSERT_EQ(l.remove(key), Status::kOk);
      model.erase(key);
    } else {
      const std::string value(random() % 900, static_cast<char>('a' + i % 26));
      ASSERT_EQ(l.put(key, value), Status::kOk);
      model[key] = value;
    }
    if (i % 50 == 0) {
      l.merge();
      clock_.advance_ms(10);
    }
  }
  l.merge();
  settle();
  for (int i = 0; i < 200; ++i) {
    const std::string key = "key" + std::to_string(i);
    EXPECT_EQ(value_of(key), model.contains(key) ? model[key] : "-");
  }
  uint64_t live = 0;
  for (const auto& [key, value] : model) live += log::entry_bytes(key.size(), value.size());
  const ServiceStats s = service_->stats();
  EXPECT_EQ(s.segments.live_bytes, live);
  EXPECT_EQ(s.items, model.size());
  EXPECT_GT(s.segments.reclaimed, 10u);
  EXPECT_EQ(s.segments.open, 1u);
}

TEST_F(ServiceTest, AfterEveryKeyIsDeletedThePoolIsAsFreeAsNew) {
  open();
  const uint32_t incarnation = join(0);
  Log l = log(0, 0, incarnation);
  Log m = log(0, 1, incarnation);
  for (int i = 0; i < 3000; ++i) {
    ASSERT_EQ((i % 2 ? l : m).put("key" + std::to_string(i), std::string(500, 'x')), Status::kOk);
    if (i % 100 == 0) l.merge(), m.merge();
  }
  for (int i = 0; i < 3000; ++i) {
    ASSERT_EQ((i % 2 ? l : m).remove("key" + std::to_string(i)), Status::kOk);
    if (i % 100 == 0) l.merge(), m.merge();
  }
  l.merge();
  m.merge();
  EXPECT_EQ(status_of(call(0, control(), incarnation, MailboxOpcode::kDeregister)), Status::kOk);
  settle();
  ServiceStats s = service_->stats();
  EXPECT_EQ(s.items, 0u);
  EXPECT_EQ(s.segments.live_bytes, 0u);
  EXPECT_EQ(s.segments.free, s.segments.total);
  reopen();
  s = service_->stats();
  EXPECT_EQ(s.segments.free, s.segments.total);
  EXPECT_EQ(kn_slot(0).state, static_cast<uint32_t>(pool::KnState::kFree));
}

TEST_F(ServiceTest, AnEmptiedSegmentWaitsForItsGrace) {
  open();
  const uint32_t incarnation = join(0);
  Log l = log(0, 0, incarnation);
  ASSERT_EQ(l.put("a", "1"), Status::kOk);
  ASSERT_EQ(l.remove("a"), Status::kOk);
  l.merge();
  ASSERT_EQ(status_of(call(0, control(), incarnation, MailboxOpcode::kDeregister)), Status::kOk);
  poll();
  EXPECT_EQ(service_->stats().segments.reclaimed, 0u);
  clock_.advance_ms(49);
  poll();
  EXPECT_EQ(service_->stats().segments.reclaimed, 0u);
  clock_.advance_ms(2);
  poll();
  EXPECT_EQ(service_->stats().segments.reclaimed, 1u);
}

TEST_F(ServiceTest, GenerationsGrowAndSequencesAreDense) {
  open();
  uint32_t incarnation = join(0);
  std::map<uint64_t, uint32_t> newest;
  uint64_t expected = 1;
  for (int round = 0; round < 12; ++round) {
    Log l = log(0, 0, incarnation);
    for (int i = 0; i < 3; ++i) {
      ASSERT_EQ(l.grant(), Status::kOk);
      EXPECT_EQ(l.sequence, expected++);
      EXPECT_GT(l.generation, newest[l.offset]);
      newest[l.offset] = l.generation;
      const auto& h = *pool_->record<pool::SegmentHeader>(l.offset);
      EXPECT_EQ(h.generation, l.generation);
      EXPECT_EQ(h.incarnation, incarnation);
      EXPECT_EQ(h.state, static_cast<uint32_t>(pool::SegmentState::kOpen));
      EXPECT_EQ(h.checksum, checksum64(object_bytes(h).first(56)));
    }
    incarnation = join(0);
    settle();
  }
  EXPECT_LT(newest.size(), 8u) << "emptied segments are used again";
}

TEST_F(ServiceTest, AFullPoolRefusesPutsButTakesDeletesAndRecovers) {
  open();
  const uint32_t incarnation = join(0);
  Log l = log(0, 0, incarnation);
  int put = 0;
  Status s = Status::kOk;
  while (ok(s = l.put("key" + std::to_string(put), std::string(40'000, 'x')))) {
    ++put;
    if (put % 2 == 0) l.merge();
    ASSERT_LT(put, 100'000);
  }
  EXPECT_EQ(s, Status::kNoSpace);
  l.merge();
  EXPECT_GT(put, 500);
  EXPECT_EQ(service_->stats().segments.free, 2u + kCompactionReserve);
  for (int i = 0; i < put; ++i) {
    // The log is at its segment's end: deletes need a segment of the reserve.
    ASSERT_EQ(l.remove("key" + std::to_string(i)), Status::kOk) << i;
    if (i % 100 == 0) l.merge();
  }
  l.merge();
  settle();
  EXPECT_EQ(service_->stats().items, 0u);
  EXPECT_EQ(l.put("again", std::string(40'000, 'y')), Status::kOk);
  l.merge();
  EXPECT_TRUE(value_of("again") == std::string(40'000, 'y'));
}

TEST_F(ServiceTest, AFencedKnGetsNothingAndItsSealedLogIsMerged) {
  open();
  const uint32_t victim = join(0);
  const uint32_t leader = join(1);
  Log l = log(0, 0, victim);
  ASSERT_EQ(l.put("a", "1"), Status::kOk);
  ASSERT_EQ(l.put("b", "2"), Status::kOk);  // never hinted
  EXPECT_EQ(status_of(call(1, control(), leader, MailboxOpcode::kFenceKn, {0, victim + 5})),
            Status::kInvalid);
  target_.answer = Status::kBusy;
  EXPECT_EQ(status_of(call(1, control(), leader, MailboxOpcode::kFenceKn, {0, victim})),
            Status::kBusy);
  EXPECT_EQ(kn_slot(0).state, static_cast<uint32_t>(pool::KnState::kActive));
  target_.answer = Status::kOk;
  EXPECT_EQ(status_of(call(1, control(), leader, MailboxOpcode::kFenceKn, {0, victim})),
            Status::kOk);
  EXPECT_EQ(value_of("b"), "2");
  EXPECT_EQ(kn_slot(0).state, static_cast<uint32_t>(pool::KnState::kFenced));
  EXPECT_EQ(log_record(0).sealed, 1u);
  // It wakes up: nothing that it writes or asks for has an effect.
  l.write(Op::kPut, "a", "late", {});
  l.hint();
  settle();
  EXPECT_EQ(value_of("a"), "1");
  EXPECT_EQ(l.grant(), Status::kFenced);
  EXPECT_EQ(status_of(call(0, control(), victim, MailboxOpcode::kFenceKn, {1, leader})),
            Status::kFenced);
  reopen();
  EXPECT_EQ(value_of("a"), "1");
}

TEST_F(ServiceTest, RegisteringAgainMergesEverythingValidAndCutsTheTornTail) {
  open();
  const uint32_t first = join(0);
  Log l = log(0, 1, first);
  ASSERT_EQ(l.put("a", "1"), Status::kOk);
  ASSERT_EQ(l.put("b", "2"), Status::kOk);
  const uint64_t torn_at = l.offset + l.used;
  ASSERT_EQ(l.put("c", std::string(200, 'x')), Status::kOk);
  pool_->at(torn_at)[150] = std::byte{'y'};
  ASSERT_EQ(l.put("d", "4"), Status::kOk);  // valid in itself, but after a hole
  target_.answer = Status::kBusy;
  EXPECT_EQ(status_of(call(0, control(), 0, MailboxOpcode::kRegister, {2})), Status::kBusy);
  target_.answer = Status::kOk;
  const uint32_t second = join(0);
  EXPECT_EQ(second, first + 1);
  EXPECT_EQ(value_of("a"), "1");
  EXPECT_EQ(value_of("b"), "2");
  EXPECT_EQ(value_of("c"), "-");
  EXPECT_EQ(value_of("d"), "-");
  const pool::LogRecord& r = log_record(1);
  EXPECT_EQ(r.merged_lsn, 2u);
  EXPECT_EQ(r.incarnation, second);
  EXPECT_EQ(r.sealed, 0u);
  EXPECT_EQ(r.merged_sequence, r.granted_sequence);
  Log again = log(0, 1, second);
  ASSERT_EQ(again.put("c", "new"), Status::kOk);
  again.merge();
  EXPECT_EQ(value_of("c"), "new");
  EXPECT_EQ(l.grant(), Status::kFenced) << "the old incarnation";
}

TEST_F(ServiceTest, TheOldIncarnationsHintIsIgnored) {
  open();
  Log l = log(0, 0, join(0));
  ASSERT_EQ(l.put("a", "1"), Status::kOk);
  l.merge();
  join(0);
  l.next_lsn += 50;
  l.hint();
  poll();
  EXPECT_EQ(service_->stats().lag_entries, 0u);
}

TEST_F(ServiceTest, AGrantThatTheKnGaveUpOnIsSteppedOver) {
  open();
  Log l = log(0, 0, join(0));
  ASSERT_EQ(l.put("a", "1"), Status::kOk);
  l.merge();
  l.write(Op::kEnd, "", "", {});
  ASSERT_EQ(l.grant(), Status::kOk);  // the reply came too late
  ASSERT_EQ(l.grant(), Status::kOk);
  ASSERT_EQ(l.grant(), Status::kOk);
  l.write(Op::kPut, "b", "2", {});
  l.merge();
  EXPECT_EQ(value_of("b"), "2");
  EXPECT_EQ(log_record(0).merged_sequence, l.sequence - 1);
  settle();
  EXPECT_EQ(service_->stats().segments.open, 1u);
}

TEST_F(ServiceTest, AnsweredRequestsKeepTheirAnswerOverARestart) {
  open();
  Log l = log(0, 0, join(0));
  ASSERT_EQ(l.grant(), Status::kOk);
  const pool::MailboxLine reply = cell(0, 0).reply;
  poll();
  reopen();
  poll();
  EXPECT_TRUE(equal(object_bytes(cell(0, 0).reply), object_bytes(reply)));
  EXPECT_EQ(log_record(0).granted_sequence, 1u);
  ASSERT_EQ(l.put("a", "1"), Status::kOk) << "the incarnation goes on after a restart of the DPM";
  EXPECT_EQ(l.sequence, 1u);
  l.merge();
  EXPECT_EQ(value_of("a"), "1");
}

TEST_F(ServiceTest, AGrantWithoutAnswerIsTakenBackByRecovery) {
  open();
  Log l = log(0, 0, join(0));
  ASSERT_EQ(l.grant(), Status::kOk);
  // As if the process had died after opening the segment and before it answered.
  post(0, 0, l.incarnation, MailboxOpcode::kSegmentGrant, {});
  cell(0, 0).reply = {};
  log_record(0).granted_sequence = 0;
  reopen();
  const auto counts = service_->stats().segments;
  EXPECT_EQ(counts.open, 0u);
  poll();
  ASSERT_EQ(l.grant(), Status::kOk);
  EXPECT_EQ(l.sequence, 2u) << "the pending request was executed once after the restart";
  EXPECT_EQ(service_->stats().segments.open, 2u);
}

TEST_F(ServiceTest, MergeNowAnswersWhenEverythingIsMerged) {
  open();
  const uint32_t incarnation = join(0);
  Log l = log(0, 0, incarnation);
  for (int i = 0; i < 3000; ++i) {
    ASSERT_EQ(l.put("key" + std::to_string(i % 100), std::to_string(i)), Status::kOk);
  }
  const auto reply =
      call(0, control(), incarnation, MailboxOpcode::kMergeNow, {0, 1, l.next_lsn - 1});
  EXPECT_EQ(status_of(reply), Status::kOk);
  EXPECT_EQ(reply.args[0], l.next_lsn - 1);
  EXPECT_EQ(value_of("key99"), "2999");
  ASSERT_EQ(l.put("more", "1"), Status::kOk);
  l.hint();
  EXPECT_EQ(status_of(call(0, 0, incarnation, MailboxOpcode::kMergeNow, {0, 2, 0})), Status::kOk);
  EXPECT_EQ(value_of("more"), "1");
  EXPECT_EQ(status_of(call(0, 0, incarnation, MailboxOpcode::kMergeNow, {0, 1, l.next_lsn + 9})),
            Status::kOutOfRange);
  EXPECT_EQ(status_of(call(0, 0, incarnation, MailboxOpcode::kMergeNow, {0, 999, 0})),
            Status::kInvalid);
}

TEST_F(ServiceTest, OddRequestsAreAnsweredOrIgnored) {
  open();
  const uint32_t incarnation = join(0);
  EXPECT_EQ(status_of(call(0, control(), incarnation, static_cast<MailboxOpcode>(999))),
            Status::kUnsupported);
  EXPECT_EQ(status_of(call(1, control(), 0, MailboxOpcode::kRegister, {0})), Status::kInvalid);
  EXPECT_EQ(status_of(call(1, control(), 0, MailboxOpcode::kRegister, {3})), Status::kInvalid);
  EXPECT_EQ(status_of(call(0, 0, incarnation, MailboxOpcode::kRegister, {1})), Status::kInvalid);
  EXPECT_EQ(status_of(call(0, control(), incarnation, MailboxOpcode::kSegmentGrant)),
            Status::kInvalid);
  EXPECT_EQ(status_of(call(0, control(), incarnation, MailboxOpcode::kFenceKn, {77, 1})),
            Status::kInvalid);
  // A torn line: nothing happens until it is whole.
  auto line = pool::make_request(++sequence_, incarnation, MailboxOpcode::kSegmentGrant, {});
  auto torn = line;
  torn.args[4] = 5;
  EXPECT_EQ(service_->stats().mailbox.torn, 0u);
  pool::store_mailbox_line(&cell(0, 0).request, torn);
  poll();
  EXPECT_GT(service_->stats().mailbox.torn, 0u);
  EXPECT_NE(cell(0, 0).reply.sequence, sequence_);
  pool::store_mailbox_line(&cell(0, 0).request, line);
  poll();
  EXPECT_TRUE(pool::answers(cell(0, 0).reply, sequence_));
}

TEST_F(ServiceTest, LogsMergeInParallelAndEachInOrder) {
  open(3);
  std::vector<Log> logs;
  for (uint32_t slot = 0; slot < 3; ++slot) {
    const uint32_t incarnation = join(slot);
    for (uint32_t w = 0; w < 2; ++w) logs.push_back(log(slot, w, incarnation));
  }
  for (int i = 0; i < 4000; ++i) {
    for (Log& l : logs) {
      const std::string key = std::to_string(l.id()) + "/" + std::to_string(i % 37);
      if (i % 7 == 3) {
        ASSERT_EQ(l.remove(key), Status::kOk);
      } else {
        ASSERT_EQ(l.put(key, std::to_string(i)), Status::kOk);
      }
    }
    if (i % 64 == 0) {
      for (Log& l : logs) l.hint();
      service_->poll();
    }
  }
  for (Log& l : logs) l.merge();
  for (Log& l : logs) {
    for (int k = 0; k < 37; ++k) {
      int last = 3999;
      while (last % 37 != k) --last;
      const std::string key = std::to_string(l.id()) + "/" + std::to_string(k);
      EXPECT_EQ(value_of(key), last % 7 == 3 ? "-" : std::to_string(last));
    }
  }
}

TEST_F(ServiceTest, HeartbeatGrowsWithTime) {
  open();
  const auto* state = pool_->record<pool::PoolState>(superblock().state_offset);
  const uint64_t before = state->heartbeat;
  for (int i = 0; i < 100; ++i) {
    clock_.advance_ms(1);
    service_->poll();
  }
  EXPECT_GE(state->heartbeat, before + 9);
  EXPECT_LE(state->heartbeat, before + 11);
}

}  // namespace
}  // namespace dinomo::dpm
