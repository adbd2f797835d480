// SPDX-License-Identifier: BSD-3-Clause
#include "log/unmerged.h"

#include <gtest/gtest.h>

#include <deque>
#include <random>

namespace dinomo::log {
namespace {

pool::GlobalAddress at(uint64_t n) { return pool::GlobalAddress::direct(0, n * 64, 64, 1); }

TEST(Unmerged, WalksFromNewestToOldest) {
  Unmerged u(4);
  u.add(7, 1, at(1), false);
  u.add(8, 2, at(2), false);
  u.add(7, 3, at(3), true);
  auto c = u.newest(7);
  ASSERT_TRUE(c);
  EXPECT_EQ(c.address, at(3));
  EXPECT_TRUE(c.tombstone);
  c = u.older(c);
  ASSERT_TRUE(c);
  EXPECT_EQ(c.address, at(1));
  EXPECT_FALSE(u.older(c));
  EXPECT_FALSE(u.newest(9));
}

TEST(Unmerged, ForgetsWhatIsMergedAndNothingElse) {
  Unmerged u(4);
  for (uint64_t lsn = 1; lsn <= 16; ++lsn) u.add(lsn % 3, lsn, at(lsn), false);
  EXPECT_TRUE(u.full());
  u.forget(14);
  EXPECT_EQ(u.size(), 2u);
  EXPECT_EQ(u.newest(0).address, at(15));
  EXPECT_FALSE(u.older(u.newest(0)));
  EXPECT_EQ(u.newest(1).address, at(16));
  EXPECT_FALSE(u.newest(2));
}

TEST(Unmerged, ACursorSurvivesForgetting) {
  Unmerged u(4);
  u.add(1, 1, at(1), false);
  u.add(1, 2, at(2), false);
  const auto newest = u.newest(1);
  u.forget(1);
  EXPECT_FALSE(u.older(newest));
  u.forget(2);
  EXPECT_FALSE(u.older(newest));
}

TEST(Unmerged, AgreesWithASimpleModel) {
  struct Entry {
    uint64_t hash, lsn;
    bool tombstone;
  };
  std::mt19937_64 random(3);
  Unmerged u(6);
  std::deque<Entry> model;
  uint64_t lsn = 0;
  for (int step = 0; step < 200'000; ++step) {
    // Hashes that differ only in high bits share a home cell, so that clusters wrap and move.
    const uint64_t hash = (random() % 5) << 40 | random() % 6;
    if (random() % 3 == 0 && !model.empty()) {
      const uint64_t merged = model.front().lsn + random() % 4;
      u.forget(merged);
      while (!model.empty() && model.front().lsn <= merged) model.pop_front();
    } else if (!u.full()) {
      ++lsn;
      const bool tombstone = random() % 4 == 0;
      u.add(hash, lsn, at(lsn), tombstone);
      model.push_back({hash, lsn, tombstone});
    }
    ASSERT_EQ(u.size(), model.size());
    auto c = u.newest(hash);
    for (auto it = model.rbegin(); it != model.rend(); ++it) {
      if (it->hash != hash) continue;
      ASSERT_TRUE(c);
      ASSERT_EQ(c.address, at(it->lsn));
      ASSERT_EQ(c.tombstone, it->tombstone);
      c = u.older(c);
    }
    ASSERT_FALSE(c);
  }
}

}  // namespace
}  // namespace dinomo::log
