// SPDX-License-Identifier: BSD-3-Clause
#include "kn/sessions.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

namespace dinomo::kn {
namespace {

using Kind = MutationClaim::Kind;

constexpr uint64_t kIdleNs = 1000;

/// The `n`th session, born `n` ms after the epoch.
constexpr uint64_t session(uint64_t n) { return n << 24 | 3; }

TEST(SessionIssuer, NeverGivesAnIdTwice) {
  std::set<uint64_t> ids;
  SessionIssuer a;
  SessionIssuer b;
  uint64_t unix_ms = SessionIssuer::kEpochUnixMs + 5000;
  for (int i = 0; i < 2000; ++i) {
    EXPECT_TRUE(ids.insert(a.next(unix_ms, 3, 1)).second);
    EXPECT_TRUE(ids.insert(b.next(unix_ms, 3, 2)).second);
    if (i % 300 == 0) --unix_ms;  // the date is set back
  }
  EXPECT_EQ(session_birth_ms(SessionIssuer().next(unix_ms, 1023, 127)),
            unix_ms - SessionIssuer::kEpochUnixMs);
  EXPECT_NE(SessionIssuer().next(0, 0, 0), 0u);  // a clock that was never set
}

TEST(Sessions, ARetryIsAnsweredFromTheFirstOutcome) {
  Sessions s(16, 8, kIdleNs);
  const auto first = s.claim(session(5), 1);
  ASSERT_EQ(first.kind, Kind::kNew);
  EXPECT_EQ(s.claim(session(5), 1).kind, Kind::kRunning);
  s.finish(first.cell, session(5), 1, wire::Status::kNotFound, 42);
  const auto again = s.claim(session(5), 1);
  ASSERT_EQ(again.kind, Kind::kDone);
  EXPECT_EQ(s.cell(again.cell).status(), wire::Status::kNotFound);
  EXPECT_EQ(s.cell(again.cell).lsn(), 42u);
}

TEST(Sessions, ARefusedMutationMayRunAgain) {
  Sessions s(16, 8, kIdleNs);
  const auto first = s.claim(session(5), 1);
  s.forget(first.cell, session(5), 1);
  EXPECT_EQ(s.claim(session(5), 1).kind, Kind::kNew);
}

TEST(Sessions, WhatLeftTheWindowIsNotRunAgain) {
  Sessions s(16, 8, kIdleNs);
  const auto old = s.claim(session(5), 1);
  s.finish(old.cell, session(5), 1, wire::Status::kOk, 1);
  EXPECT_EQ(s.claim(session(5), 9).kind, Kind::kNew);  // same cell
  EXPECT_EQ(s.claim(session(5), 1).kind, Kind::kTooOld);
  s.finish(old.cell, session(5), 1, wire::Status::kOk, 1);  // a late finisher changes nothing
  EXPECT_EQ(s.claim(session(5), 9).kind, Kind::kRunning);
}

TEST(Sessions, WhatLeftTheWindowForARefusedMutationIsNotRunAgain) {
  Sessions s(16, 8, kIdleNs);
  const auto old = s.claim(session(5), 1);
  s.finish(old.cell, session(5), 1, wire::Status::kOk, 1);
  const auto refused = s.claim(session(5), 9);
  s.forget(refused.cell, session(5), 9);
  EXPECT_EQ(s.claim(session(5), 1).kind, Kind::kTooOld);
  EXPECT_EQ(s.claim(session(5), 9).kind, Kind::kNew);
}

TEST(Sessions, HaveAWindowEach) {
  Sessions s(16, 8, kIdleNs);
  for (uint64_t n = 1; n <= 16; ++n) EXPECT_EQ(s.claim(session(n), 1).kind, Kind::kNew) << n;
  EXPECT_EQ(s.size(), 16u);
}

TEST(Sessions, ThatAreInUseAreNotForgotten) {
  Sessions s(16, 8, kIdleNs);
  for (uint64_t n = 1; n <= 16; ++n) s.claim(session(n), 1);
  s.follow(kIdleNs);
  EXPECT_EQ(s.claim(session(17), 1).kind, Kind::kFull);
  for (uint64_t n = 1; n <= 16; ++n) EXPECT_EQ(s.claim(session(n), 1).kind, Kind::kRunning) << n;
}

TEST(Sessions, ThatAreIdleMakeRoomAndAreLostThen) {
  Sessions s(16, 8, kIdleNs);
  for (uint64_t n = 1; n <= 16; ++n) s.claim(session(n), 1);
  s.follow(kIdleNs + 1);
  for (uint64_t n = 2; n <= 16; ++n) s.claim(session(n), 2);
  EXPECT_EQ(s.claim(session(17), 1).kind, Kind::kNew);  // only the first was idle
  EXPECT_EQ(s.claim(session(18), 1).kind, Kind::kFull);
  EXPECT_EQ(s.claim(session(1), 1).kind, Kind::kLost);  // a retry: it must not run again
  EXPECT_EQ(s.claim(session(1), 2).kind, Kind::kLost);
  EXPECT_EQ(s.claim(session(17), 1).kind, Kind::kRunning);
}

TEST(Sessions, OlderThanAForgottenOneAreTakenForForgotten) {
  Sessions s(8, 8, kIdleNs);
  for (uint64_t n = 11; n <= 18; ++n) s.claim(session(n), 1);
  s.follow(kIdleNs + 1);
  EXPECT_EQ(s.claim(session(5), 1).kind, Kind::kNew);  // never was here, and nothing was forgotten
  EXPECT_EQ(s.claim(session(6), 1).kind, Kind::kLost);
  EXPECT_EQ(s.claim(session(5), 1).kind, Kind::kRunning);
  EXPECT_EQ(s.claim(session(20), 1).kind, Kind::kNew);
}

TEST(Sessions, ALateFinisherOfAForgottenSessionChangesNothing) {
  Sessions s(8, 8, kIdleNs);
  const auto first = s.claim(session(1), 1);
  for (uint64_t n = 2; n <= 8; ++n) s.claim(session(n), 1);
  s.follow(kIdleNs + 1);
  const auto heir = s.claim(session(9), 1);  // every session begins with the same sequence
  ASSERT_EQ(heir.cell, first.cell);
  s.finish(first.cell, session(1), 1, wire::Status::kOk, 7);
  EXPECT_EQ(s.claim(session(9), 1).kind, Kind::kRunning);
  s.forget(first.cell, session(1), 1);
  EXPECT_EQ(s.claim(session(9), 1).kind, Kind::kRunning);
}

/// Against a model: whatever comes in whatever order, nothing runs twice.
TEST(Sessions, NothingRunsTwiceUnderRandomUse) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    std::mt19937_64 random(seed);
    Sessions s(32, 8, kIdleNs);
    std::set<std::pair<uint64_t, uint64_t>> ran;
    uint64_t born = 1;
    uint64_t lost = 0;
    for (int i = 0; i < 20'000; ++i) {
      s.follow(static_cast<uint64_t>(i) * 20);
      if (random() % 50 == 0) ++born;
      const uint64_t id = session(born - std::min<uint64_t>(random() % 48, born - 1));
      const uint64_t sequence = 1 + random() % 32;
      const auto claim = s.claim(id, sequence);
      lost += claim.kind == Kind::kLost ? 1 : 0;
      if (claim.kind != Kind::kNew) continue;
      if (random() % 4 == 0) {
        s.forget(claim.cell, id, sequence);
        continue;
      }
      ASSERT_TRUE(ran.insert({id, sequence}).second) << "seed " << seed << ", step " << i;
      if (random() % 4 != 0) s.finish(claim.cell, id, sequence, wire::Status::kOk, 1);
    }
    EXPECT_GT(lost, 0u);
    EXPECT_GT(ran.size(), 500u);
  }
}

}  // namespace
}  // namespace dinomo::kn
