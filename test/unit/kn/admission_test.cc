// SPDX-License-Identifier: BSD-3-Clause
#include "kn/admission.h"

#include <gtest/gtest.h>

#include "kn/backlog.h"

namespace dinomo::kn {
namespace {

/// Turns that each take `datagram_ns` a datagram and leave others waiting.
uint64_t full_turns(Admission* a, uint64_t now_ns, uint64_t datagram_ns, int turns) {
  for (int t = 0; t < turns; ++t) {
    a->begin_turn(now_ns);
    a->full(32);
    now_ns += 32 * datagram_ns;
  }
  a->begin_turn(now_ns);
  return now_ns;
}

TEST(Admission, AsMuchMayWaitAsIsServedInTheTimeAllowed) {
  Admission a(2000);
  full_turns(&a, 1, 10'000, 200);
  EXPECT_NEAR(static_cast<double>(a.cost_ns()), 10'000, 200);
  EXPECT_NEAR(a.limit(), 200, 5);  // 2 ms
  full_turns(&a, 1'000'000'000, 1000, 200);
  EXPECT_EQ(a.limit(), Admission::kQueuedMax);
  full_turns(&a, 2'000'000'000, 900'000, 400);
  EXPECT_EQ(a.limit(), Admission::kQueuedMin);  // however slow: a burst
}

TEST(Admission, OnlyTurnsThatLeftOthersWaitingAreCounted) {
  Admission a(2000);
  const uint64_t before = a.cost_ns();
  for (uint64_t t = 1; t < 100; ++t) a.begin_turn(t * 1'000'000);
  EXPECT_EQ(a.cost_ns(), before);
}

TEST(Admission, ALcoreThatDidNotRunForAWhileChangesLittle) {
  Admission a(2000);
  const uint64_t now = full_turns(&a, 1, 5000, 200);
  const uint32_t before = a.limit();
  a.full(32);
  a.begin_turn(now + 100'000'000);
  EXPECT_GE(a.limit(), before * 3 / 4);
}

TEST(Admission, WhoIsRefusedComesBackBehindAllThatWait) {
  Admission a(2000);
  full_turns(&a, 1, 10'000, 400);
  const uint64_t cost_us = a.cost_ns() / 1000;
  uint32_t last = a.refuse(200);
  EXPECT_NEAR(last, 201 * cost_us, 201.0);
  for (int i = 0; i < 100; ++i) {  // and behind those that were refused before
    const uint32_t next = a.refuse(200);
    EXPECT_NEAR(next - last, cost_us, 2.0);
    last = next;
  }
}

TEST(Admission, AppointmentsPassAndAreNeverFarAway) {
  Admission a(2000);
  uint64_t now = full_turns(&a, 1, 10'000, 400);
  for (int i = 0; i < 100'000; ++i) EXPECT_LE(a.refuse(200), Admission::kRetryUsMax);
  EXPECT_GT(a.refuse(200), Admission::kRetryUsMax * 9 / 10);
  now += uint64_t{Admission::kRetryUsMax} * 1000;
  a.begin_turn(now);
  EXPECT_EQ(a.refuse(0), Admission::kRetryUsMin);  // all of them have had theirs
}

TEST(Admission, RefusingGetsASixteenthOfTheTime) {
  Admission a(2000);
  uint64_t now = 1;
  uint64_t refusing = 0;
  for (int turn = 0; turn < 10'000; ++turn) {
    a.begin_turn(now);
    now += 50'000;
    while (a.may_refuse()) {
      a.refusing_took(3000);
      refusing += 3000;
      now += 3000;
    }
  }
  EXPECT_NEAR(static_cast<double>(refusing) / static_cast<double>(now), 1.0 / 16, 0.005);
}

TEST(Backlog, GivesInOrderWhatItTook) {
  Backlog<4> backlog;
  uint16_t in = 0;
  uint16_t out = 0;
  for (int round = 0; round < 100; ++round) {
    while (backlog.size() < 4) {
      ingress::Datagram d;
      d.peer.remote_port = in++;
      backlog.push(d);
    }
    std::array<ingress::Datagram, 3> taken;
    ASSERT_EQ(backlog.take(taken), 3u);
    for (const auto& d : taken) ASSERT_EQ(d.peer.remote_port, out++);
  }
  std::array<ingress::Datagram, 3> taken;
  EXPECT_EQ(backlog.take(taken), 1u);
  EXPECT_EQ(backlog.size(), 0u);
}

}  // namespace
}  // namespace dinomo::kn
