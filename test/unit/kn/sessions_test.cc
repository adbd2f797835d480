// SPDX-License-Identifier: BSD-3-Clause
#include "kn/sessions.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

namespace dinomo::kn {
namespace {

using Kind = MutationClaim::Kind;
using Lookup = Sessions::Lookup;

/// The `n`th session, born `n` ms after the epoch.
constexpr uint64_t session(uint64_t n) { return n << 24 | 3; }
constexpr uint64_t unix_ms(uint64_t n) { return SessionIssuer::kEpochUnixMs + n; }

/// A session's record as the pool has it.
struct PoolRecord {
  explicit PoolRecord(uint32_t window) : cells(window) {}
  void add(uint64_t sequence, const MutationOutcome& o) {
    pool::OutcomeCell& c = cells[sequence % cells.size()];
    c = {sequence, o.version, o.result, static_cast<uint8_t>(o.status), 32, 0, 0};
    c.check = pool::outcome_check(c);
  }
  std::vector<std::byte> bytes() const {
    std::vector<std::byte> all(sizeof header + cells.size() * sizeof(pool::OutcomeCell));
    store(all.data(), header);
    std::memcpy(all.data() + sizeof header, cells.data(), all.size() - sizeof header);
    return all;
  }
  pool::SessionRecord header{};
  std::vector<pool::OutcomeCell> cells;
};

TEST(SessionIssuer, NeverGivesAnIdTwice) {
  std::set<uint64_t> ids;
  SessionIssuer a;
  SessionIssuer b;
  SessionIssuer replaced;  // at the slot of the first, which does not know
  uint64_t now_ms = unix_ms(5000);
  for (int i = 0; i < 2000; ++i) {
    EXPECT_TRUE(ids.insert(a.next(now_ms, 3, 1, 8)).second);
    EXPECT_TRUE(ids.insert(b.next(now_ms, 3, 2, 8)).second);
    EXPECT_TRUE(ids.insert(replaced.next(now_ms, 3, 1, 7)).second);
    if (i % 300 == 0) --now_ms;  // the date is set back
  }
  EXPECT_EQ(session_birth_ms(SessionIssuer().next(now_ms, 1023, 127, UINT32_MAX)),
            now_ms - SessionIssuer::kEpochUnixMs);
  EXPECT_NE(SessionIssuer().next(0, 0, 0, 0), 0u);  // a clock that was never set
}

TEST(Sessions, ARetryIsAnsweredFromTheFirstOutcome) {
  Sessions s(16, 8);
  const auto first = s.claim(session(5), 1, false);
  ASSERT_EQ(first.kind, Kind::kNew);
  EXPECT_EQ(s.claim(session(5), 1, true).kind, Kind::kRunning);
  s.finish(first.cell, session(5), 1, {wire::Status::kOk, uint64_t{3} << 48 | 42, 17});
  const auto again = s.claim(session(5), 1, true);
  ASSERT_EQ(again.kind, Kind::kDone);
  const MutationOutcome outcome = s.cell(again.cell).outcome();
  EXPECT_EQ(outcome.status, wire::Status::kOk);
  EXPECT_EQ(outcome.version, uint64_t{3} << 48 | 42);
  EXPECT_EQ(outcome.result, 17u);
}

TEST(Sessions, EveryStatusThatIsKeptSurvivesThePacking) {
  Sessions s(16, 64);
  for (const auto status :
       {wire::Status::kNotFound, wire::Status::kExists, wire::Status::kNotStored,
        wire::Status::kNotNumber, wire::Status::kTooLarge}) {
    const uint64_t sequence = (uint64_t{1} << 56) - 40 + static_cast<uint64_t>(status);
    const auto claim = s.claim(session(5), sequence, false);
    s.finish(claim.cell, session(5), sequence, {status});
    const auto again = s.claim(session(5), sequence, false);
    ASSERT_EQ(again.kind, Kind::kDone);
    EXPECT_EQ(s.cell(again.cell).outcome().status, status);
  }
}

TEST(Sessions, ARefusedMutationMayRunAgain) {
  Sessions s(16, 8);
  const auto first = s.claim(session(5), 1, false);
  s.forget(first.cell, session(5), 1);
  EXPECT_EQ(s.claim(session(5), 1, false).kind, Kind::kNew);
}

TEST(Sessions, WhatLeftTheWindowIsNotRunAgain) {
  Sessions s(16, 8);
  const auto old = s.claim(session(5), 1, false);
  s.finish(old.cell, session(5), 1, {});
  const auto refused = s.claim(session(5), 9, false);  // same cell
  EXPECT_EQ(s.claim(session(5), 1, true).kind, Kind::kTooOld);
  s.finish(old.cell, session(5), 1, {});  // a late finisher changes nothing
  EXPECT_EQ(s.claim(session(5), 9, false).kind, Kind::kRunning);
  s.forget(refused.cell, session(5), 9);
  EXPECT_EQ(s.claim(session(5), 1, true).kind, Kind::kTooOld);
  EXPECT_EQ(s.claim(session(5), 9, false).kind, Kind::kNew);
}

TEST(Sessions, WhatIsRepeatedAndUnknownIsLookedUpOnce) {
  Sessions s(16, 8);
  EXPECT_EQ(s.claim(session(5), 1, false).kind, Kind::kNew);
  EXPECT_EQ(s.claim(session(5), 2, true).kind, Kind::kUnknown);
  EXPECT_TRUE(s.start_lookup(session(5)));
  EXPECT_FALSE(s.start_lookup(session(5)));
  EXPECT_EQ(s.claim(session(5), 2, true).kind, Kind::kUnknown);
  s.end_lookup(session(5), Lookup::kFailed);
  EXPECT_EQ(s.claim(session(5), 2, true).kind, Kind::kUnknown);
  EXPECT_TRUE(s.start_lookup(session(5)));
  s.end_lookup(session(5), Lookup::kNever);
  EXPECT_EQ(s.claim(session(5), 2, true).kind, Kind::kNew);
  EXPECT_EQ(s.claim(session(5), 3, true).kind, Kind::kNew);
  EXPECT_EQ(s.claim(session(5), 1, true).kind, Kind::kRunning);
}

TEST(Sessions, TheRecordInThePoolAnswers) {
  Sessions s(16, 8);
  PoolRecord record(16);
  record.header.sequence_floor = 90;
  record.add(95, {wire::Status::kOk, 7, 41});
  record.add(96, {wire::Status::kExists});
  record.add(103, {wire::Status::kOk, 9, 0});  // 95's cell in the smaller window
  EXPECT_EQ(s.claim(session(5), 104, false).kind, Kind::kNew);
  EXPECT_EQ(s.claim(session(5), 97, true).kind, Kind::kUnknown);
  s.start_lookup(session(5));
  s.end_lookup(session(5), Lookup::kFound, record.bytes());
  EXPECT_EQ(s.claim(session(5), 89, true).kind, Kind::kTooOld);
  EXPECT_EQ(s.claim(session(5), 95, true).kind, Kind::kTooOld);
  EXPECT_EQ(s.claim(session(5), 104, true).kind, Kind::kRunning);  // ours is newer than 96
  EXPECT_EQ(s.claim(session(5), 96, true).kind, Kind::kTooOld);
  const auto done = s.claim(session(5), 103, true);
  ASSERT_EQ(done.kind, Kind::kDone);
  EXPECT_EQ(s.cell(done.cell).outcome().version, 9u);
  EXPECT_EQ(s.claim(session(5), 98, true).kind, Kind::kNew);
}

TEST(Sessions, ATornCellIsNoOutcome) {
  Sessions s(16, 8);
  PoolRecord record(8);
  record.add(5, {wire::Status::kOk, 7, 41});
  record.cells[5].result = 42;
  s.claim(session(5), 5, true);
  s.start_lookup(session(5));
  s.end_lookup(session(5), Lookup::kFound, record.bytes());
  EXPECT_EQ(s.claim(session(5), 5, true).kind, Kind::kNew);
}

TEST(Sessions, WhatMayBeForgottenEverywhereIsLost) {
  Sessions s(16, 8);
  s.claim(session(5), 1, true);
  s.start_lookup(session(5));
  s.end_lookup(session(5), Lookup::kForgotten);
  EXPECT_EQ(s.claim(session(5), 1, true).kind, Kind::kLost);
  EXPECT_EQ(s.claim(session(5), 2, false).kind, Kind::kLost);
  s.distrust(unix_ms(10'000));
  EXPECT_EQ(s.claim(session(5), 2, false).kind, Kind::kLost);
}

TEST(Sessions, TheOneUnusedForLongestMakesRoomAndIsLookedUpLater) {
  Sessions s(16, 8);
  for (uint64_t n = 1; n <= 16; ++n) {
    s.follow(n, 100 * n);
    const auto c = s.claim(session(n), 1, false);
    s.finish(c.cell, session(n), 1, {});
  }
  s.follow(20, 2000);
  EXPECT_EQ(s.claim(session(1), 1, true).kind, Kind::kDone);  // used again
  EXPECT_EQ(s.forgotten_lsn(), 0u);
  EXPECT_EQ(s.claim(session(17), 1, false).kind, Kind::kNew);  // in place of 2
  EXPECT_EQ(s.forgotten_lsn(), 2000u);
  EXPECT_EQ(s.claim(session(1), 1, true).kind, Kind::kDone);
  EXPECT_EQ(s.claim(session(2), 1, false).kind, Kind::kUnknown);  // even if not repeated
  EXPECT_EQ(s.claim(session(20), 1, false).kind, Kind::kNew);
}

TEST(Sessions, WhereSomethingRunsOrIsLookedUpNobodyIsForgotten) {
  Sessions s(8, 8);
  for (uint64_t n = 1; n <= 7; ++n) EXPECT_EQ(s.claim(session(n), 1, false).kind, Kind::kNew);
  s.claim(session(8), 1, true);
  s.start_lookup(session(8));
  EXPECT_EQ(s.claim(session(9), 1, false).kind, Kind::kFull);
  s.end_lookup(session(8), Lookup::kNever);
  EXPECT_EQ(s.claim(session(9), 1, false).kind, Kind::kNew);
  EXPECT_EQ(s.claim(session(10), 1, false).kind, Kind::kFull);
  for (uint64_t n = 1; n <= 7; ++n) EXPECT_EQ(s.claim(session(n), 1, true).kind, Kind::kRunning);
}

TEST(Sessions, DistrustMakesThemAllBeLookedUpButForThoseBornLater) {
  Sessions s(16, 8);
  const auto c = s.claim(session(5), 1, false);
  s.finish(c.cell, session(5), 1, {});
  s.start_lookup(session(5));
  s.distrust(unix_ms(10'000));
  EXPECT_EQ(s.claim(session(5), 1, true).kind, Kind::kDone);
  EXPECT_EQ(s.claim(session(5), 2, false).kind, Kind::kUnknown);
  EXPECT_EQ(s.claim(session(9000), 1, false).kind, Kind::kUnknown);
  EXPECT_EQ(s.claim(session(14'000), 1, false).kind, Kind::kUnknown);  // clocks differ
  EXPECT_EQ(s.claim(session(16'000), 1, false).kind, Kind::kNew);
  s.start_over(unix_ms(20'000));
  EXPECT_EQ(s.size(), 0u);
  EXPECT_EQ(s.claim(session(5), 1, true).kind, Kind::kUnknown);
  EXPECT_EQ(s.distrusts(), 2u);
}

TEST(Sessions, ALateFinisherOfAForgottenSessionChangesNothing) {
  Sessions s(8, 8);
  for (uint64_t n = 1; n <= 8; ++n) {
    s.follow(n, n);
    const auto c = s.claim(session(n), 1, false);
    s.finish(c.cell, session(n), 1, {});
  }
  const auto heir = s.claim(session(9), 1, false);  // every session begins with the same sequence
  s.finish(heir.cell, session(1), 1, {});
  EXPECT_EQ(s.claim(session(9), 1, true).kind, Kind::kRunning);
  s.forget(heir.cell, session(1), 1);
  EXPECT_EQ(s.claim(session(9), 1, true).kind, Kind::kRunning);
}

/// A worker with few places, its log and the pool's table, all as they may be at their worst:
/// whatever comes in whatever order, nothing runs twice and a retry gets the first outcome.
class Model {
 public:
  explicit Model(uint64_t seed) : random_(seed) {}

  void step() {
    ++now_ms_;
    s_.follow(now_ms_, ++lsn_);
    const uint64_t id = session(now_ms_ - std::min<uint64_t>(random_() % 60 * 50, now_ms_ - 1));
    const uint64_t key = id - id % (uint64_t{50} << 24) + 3;  // few sessions
    uint64_t& newest = newest_[key];
    const bool repeated = newest != 0 && random_() % 2 == 0;
    const uint64_t back = random_() % 8;
    const uint64_t sequence = repeated ? newest - std::min(back, newest - 1) : ++newest;
    if (random_() % 300 == 0) restart();
    claim(key, sequence, repeated);
  }
  size_t ran() const { return first_.size(); }
  uint64_t lookups() const { return lookups_; }

 private:
  void claim(uint64_t id, uint64_t sequence, bool repeated) {
    auto c = s_.claim(id, sequence, repeated);
    if (c.kind == Kind::kUnknown) {
      ++lookups_;
      s_.start_lookup(id);
      const auto found = pool_.find(id);
      if (found == pool_.end()) {
        s_.end_lookup(id, Lookup::kNever);
      } else {
        s_.end_lookup(id, Lookup::kFound, found->second.bytes());
      }
      c = s_.claim(id, sequence, repeated);
      ASSERT_NE(c.kind, Kind::kUnknown);
    }
    const std::pair name{id, sequence};
    if (c.kind == Kind::kDone) {
      ASSERT_TRUE(first_.contains(name));
      EXPECT_EQ(s_.cell(c.cell).outcome().version, first_[name]);
      return;
    }
    if (c.kind != Kind::kNew) return;
    if (random_() % 5 == 0) return s_.forget(c.cell, id, sequence);
    ASSERT_FALSE(first_.contains(name)) << "ran twice";
    first_[name] = ++versions_;
    // In the log, hence in the pool sooner or later; a lookup waits until it is.
    pool_.try_emplace(id, 8).first->second.add(sequence, {wire::Status::kOk, versions_});
    s_.finish(c.cell, id, sequence, {wire::Status::kOk, versions_});
  }
  /// Of the DPM, or of the KN: what it remembered is gone.
  void restart() {
    if (random_() % 2 == 0) {
      s_.start_over(unix_ms(now_ms_));
    } else {
      s_.distrust(unix_ms(now_ms_));
    }
  }

  std::mt19937_64 random_;
  Sessions s_{8, 8};
  uint64_t now_ms_ = 100;
  uint64_t lsn_ = 0;
  uint64_t versions_ = 0;
  uint64_t lookups_ = 0;
  std::map<uint64_t, uint64_t> newest_;
  std::map<uint64_t, PoolRecord> pool_;
  std::map<std::pair<uint64_t, uint64_t>, uint64_t> first_;
};

TEST(Sessions, NothingRunsTwiceUnderRandomUse) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    Model model(seed);
    for (int i = 0; i < 20'000; ++i) model.step();
    if (testing::Test::HasFatalFailure()) return;
    EXPECT_GT(model.lookups(), 50u);
    EXPECT_GT(model.ran(), 500u);
  }
}

}  // namespace
}  // namespace dinomo::kn
