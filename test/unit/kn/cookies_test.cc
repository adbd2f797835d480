// SPDX-License-Identifier: BSD-3-Clause
#include "kn/cookies.h"

#include <gtest/gtest.h>

namespace dinomo::kn {
namespace {

constexpr uint64_t kPeriodNs = 1000;

ingress::Peer peer(uint8_t last, uint16_t port) {
  ingress::Peer p;
  p.remote_address[15] = last;
  p.remote_port = port;
  return p;
}

Cookies at_time(const CookieSecret& secret, uint64_t now_ns) {
  Cookies cookies(secret, kPeriodNs);
  cookies.follow(now_ns);
  return cookies;
}

TEST(Cookies, AreBoundToAddressPortAndSession) {
  const CookieSecret secret{1, 2, 3};
  Cookies cookies(secret, kPeriodNs);
  const uint64_t cookie = cookies.make(peer(1, 1000), 77);
  EXPECT_TRUE(cookies.valid(peer(1, 1000), 77, cookie));
  EXPECT_TRUE(cookies.valid(peer(1, 1000), 77, cookie));  // from memory
  EXPECT_FALSE(cookies.valid(peer(2, 1000), 77, cookie));
  EXPECT_FALSE(cookies.valid(peer(1, 1001), 77, cookie));
  EXPECT_FALSE(cookies.valid(peer(1, 1000), 78, cookie));
  EXPECT_FALSE(cookies.valid(peer(1, 1000), 0, cookies.make(peer(1, 1000), 0)));
  for (int bit = 0; bit < 64; ++bit) {
    EXPECT_FALSE(cookies.valid(peer(1, 1000), 77, cookie ^ uint64_t{1} << bit)) << bit;
  }
}

TEST(Cookies, AreGoodAtEveryWorkerOfAKnAndNowhereElse) {
  const CookieSecret secret{1, 2, 3};
  const uint64_t cookie = at_time(secret, 5500).make(peer(1, 1000), 77);
  EXPECT_TRUE(at_time(secret, 5900).valid(peer(1, 1000), 77, cookie));
  EXPECT_TRUE(at_time(secret, 4900).valid(peer(1, 1000), 77, cookie));  // its clock is behind
  EXPECT_FALSE(at_time({9}, 5500).valid(peer(1, 1000), 77, cookie));    // the next incarnation
}

TEST(Cookies, EndAfterOneToTwoPeriods) {
  Cookies cookies = at_time({4}, 5500);
  const uint64_t cookie = cookies.make(peer(1, 1000), 77);
  for (uint64_t now_ns = 5500; now_ns < 12'000; now_ns += 100) {
    cookies.follow(now_ns);
    EXPECT_EQ(cookies.valid(peer(1, 1000), 77, cookie), now_ns < 7000) << now_ns;
    EXPECT_EQ(at_time({4}, now_ns).valid(peer(1, 1000), 77, cookie), now_ns < 7000) << now_ns;
  }
}

TEST(Cookies, OfFourPeriodsAreAllDifferent) {
  for (uint64_t period = 0; period < 4; ++period) {
    const uint64_t cookie = at_time({4}, period * kPeriodNs).make(peer(1, 1), 5);
    for (uint64_t other = 0; other < 12; ++other) {
      const bool near = other <= period + 1 && period <= other + 1;
      EXPECT_EQ(at_time({4}, other * kPeriodNs).valid(peer(1, 1), 5, cookie), near)
          << period << " at " << other;
    }
  }
}

TEST(SessionTokens, AreOfASessionAndAPool) {
  SessionTokens tokens;
  EXPECT_FALSE(tokens.ready());
  tokens.set_pool(1, {2});
  EXPECT_TRUE(tokens.ready());
  const uint64_t token = tokens.make(77);
  EXPECT_NE(token, tokens.make(78));
  SessionTokens elsewhere;
  elsewhere.set_pool(1, {2});
  EXPECT_EQ(elsewhere.make(77), token);  // another KN
  elsewhere.set_pool(1, {3});
  EXPECT_NE(elsewhere.make(77), token);
  elsewhere.set_pool(2, {2});
  EXPECT_NE(elsewhere.make(77), token);
}

std::array<uint8_t, 16> mapped(uint8_t a, uint8_t b) {
  return {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, a, b};
}

uint32_t taken(SourceBudget* budget, const std::array<uint8_t, 16>& source, uint64_t now_ns) {
  uint32_t n = 0;
  while (n < 1000 && budget->take(source, now_ns)) ++n;
  return n;
}

TEST(SourceBudget, IsASecondsWorthAtOnceThenItsRate) {
  SourceBudget budget({5}, 100);
  const uint64_t second_ns = 1'000'000'000;
  EXPECT_EQ(taken(&budget, mapped(1, 1), 5 * second_ns), 100u);
  EXPECT_EQ(taken(&budget, mapped(1, 1), 5 * second_ns), 0u);
  EXPECT_EQ(taken(&budget, mapped(1, 1), 5 * second_ns + second_ns / 10), 10u);
  EXPECT_EQ(taken(&budget, mapped(1, 1), 60 * second_ns), 100u);  // no more for a long rest
}

TEST(SourceBudget, IsOfEachSource) {
  SourceBudget budget({5}, 10);
  EXPECT_EQ(taken(&budget, mapped(1, 1), 0), 10u);
  EXPECT_EQ(taken(&budget, mapped(1, 2), 0), 10u);
  std::array<uint8_t, 16> six{0xfd, 0, 0, 0, 0, 0, 0, 1, 1};
  EXPECT_EQ(taken(&budget, six, 0), 10u);
  six[15] = 7;  // the same /64
  EXPECT_EQ(taken(&budget, six, 0), 0u);
  six[7] = 2;
  EXPECT_EQ(taken(&budget, six, 0), 10u);
}

TEST(SourceBudget, IsBoundedOverAllSources) {
  SourceBudget budget({5}, 1);
  uint32_t all = 0;
  for (int a = 0; a < 256; ++a) {
    for (int b = 0; b < 256; ++b) {
      all += taken(&budget, mapped(static_cast<uint8_t>(a), static_cast<uint8_t>(b)), 0);
    }
  }
  EXPECT_LE(all, 4096u);
  EXPECT_GT(all, 3000u);
}

}  // namespace
}  // namespace dinomo::kn
