// SPDX-License-Identifier: BSD-3-Clause
#include "kn/sessions.h"

#include <gtest/gtest.h>

namespace dinomo::kn {
namespace {

using Kind = MutationClaim::Kind;

ingress::Peer peer(uint8_t last, uint16_t port) {
  ingress::Peer p;
  p.remote_address[15] = last;
  p.remote_port = port;
  return p;
}

TEST(Cookie, IsBoundToAddressPortAndSession) {
  const CookieSecret secret{1, 2, 3};
  const uint64_t cookie = make_cookie(secret, peer(1, 1000), 77);
  CookieChecker checker(secret);
  EXPECT_TRUE(checker.valid(peer(1, 1000), 77, cookie));
  EXPECT_TRUE(checker.valid(peer(1, 1000), 77, cookie));  // from memory
  EXPECT_FALSE(checker.valid(peer(2, 1000), 77, cookie));
  EXPECT_FALSE(checker.valid(peer(1, 1001), 77, cookie));
  EXPECT_FALSE(checker.valid(peer(1, 1000), 78, cookie));
  EXPECT_FALSE(checker.valid(peer(1, 1000), 77, cookie ^ 1));
  EXPECT_FALSE(checker.valid(peer(1, 1000), 0, make_cookie(secret, peer(1, 1000), 0)));
  EXPECT_FALSE(CookieChecker({9}).valid(peer(1, 1000), 77, cookie));
}

TEST(Sessions, ARetryIsAnsweredFromTheFirstOutcome) {
  Sessions s(16, 8);
  const auto first = s.claim(5, 1);
  ASSERT_EQ(first.kind, Kind::kNew);
  EXPECT_EQ(s.claim(5, 1).kind, Kind::kRunning);
  s.finish(first.cell, 5, 1, wire::Status::kNotFound, 42);
  const auto again = s.claim(5, 1);
  ASSERT_EQ(again.kind, Kind::kDone);
  EXPECT_EQ(s.cell(again.cell).status(), wire::Status::kNotFound);
  EXPECT_EQ(s.cell(again.cell).lsn(), 42u);
}

TEST(Sessions, ARefusedMutationMayRunAgain) {
  Sessions s(16, 8);
  const auto first = s.claim(5, 1);
  s.forget(first.cell, 5, 1);
  EXPECT_EQ(s.claim(5, 1).kind, Kind::kNew);
}

TEST(Sessions, WhatLeftTheWindowIsNotRunAgain) {
  Sessions s(16, 8);
  const auto old = s.claim(5, 1);
  s.finish(old.cell, 5, 1, wire::Status::kOk, 1);
  EXPECT_EQ(s.claim(5, 9).kind, Kind::kNew);  // same cell
  EXPECT_EQ(s.claim(5, 1).kind, Kind::kTooOld);
  s.finish(old.cell, 5, 1, wire::Status::kOk, 1);  // a late finisher changes nothing
  EXPECT_EQ(s.claim(5, 9).kind, Kind::kRunning);
}

TEST(Sessions, SessionsDoNotShareWindows) {
  Sessions s(16, 8);
  for (uint64_t session = 1; session <= 8; ++session) {
    EXPECT_EQ(s.claim(session << 50 | 3, 1).kind, Kind::kNew) << session;
  }
}

TEST(Sessions, TheLeastRecentlyUsedMakesRoom) {
  Sessions s(8, 8);
  for (uint64_t session = 1; session <= 100; ++session) {
    EXPECT_EQ(s.claim(session, 1).kind, Kind::kNew) << session;
    EXPECT_EQ(s.claim(session, 1).kind, Kind::kRunning) << session;
  }
}

TEST(Sessions, ALateFinisherOfAnEvictedSessionChangesNothing) {
  Sessions s(8, 8);
  const auto first = s.claim(1000, 1);
  uint32_t taken_over = 0;
  for (uint64_t session = 1; session <= 100; ++session) {
    const auto other = s.claim(session, 1);  // every session begins with the same sequence
    if (other.cell != first.cell) continue;
    ++taken_over;
    s.finish(first.cell, 1000, 1, wire::Status::kOk, 7);
    EXPECT_EQ(s.claim(session, 1).kind, Kind::kRunning);
    s.forget(first.cell, 1000, 1);
    EXPECT_EQ(s.claim(session, 1).kind, Kind::kRunning);
  }
  EXPECT_GT(taken_over, 0u);
}

}  // namespace
}  // namespace dinomo::kn
