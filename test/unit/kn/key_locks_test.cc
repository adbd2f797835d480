// SPDX-License-Identifier: BSD-3-Clause
#include "kn/key_locks.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

namespace dinomo::kn {
namespace {

TEST(KeyLocks, AKeyIsHeldOnceAndABoundedNumberIs) {
  KeyLocks locks;
  EXPECT_FALSE(locks.holds(2));
  EXPECT_TRUE(locks.take(2));
  EXPECT_TRUE(locks.holds(2));
  EXPECT_FALSE(locks.take(2));
  locks.give(2);
  EXPECT_FALSE(locks.holds(2));
  locks.give(2);  // not held: nothing happens
  EXPECT_EQ(locks.size(), 0u);
  for (uint64_t i = 0; i < KeyLocks::kMax; ++i) EXPECT_TRUE(locks.take(2 * i));
  EXPECT_FALSE(locks.take(2 * KeyLocks::kMax));
  locks.clear();
  EXPECT_TRUE(locks.take(0));
}

/// Hashes that fall together, taken and given in any order, as a set would have it.
TEST(KeyLocks, SameAsASet) {
  KeyLocks locks;
  std::set<uint64_t> held;
  std::mt19937_64 random(7);
  for (int step = 0; step < 200'000; ++step) {
    const uint64_t hash = (random() % 40) << (random() % 2 == 0 ? 1 : 11);
    if (random() % 2 == 0) {
      EXPECT_EQ(locks.take(hash), held.insert(hash).second);
    } else {
      locks.give(hash);
      held.erase(hash);
    }
    ASSERT_EQ(locks.size(), held.size());
    const uint64_t other = (random() % 40) << 1;
    ASSERT_EQ(locks.holds(other), held.contains(other));
  }
}

}  // namespace
}  // namespace dinomo::kn
