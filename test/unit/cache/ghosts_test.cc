// SPDX-License-Identifier: BSD-3-Clause
// What the ghost list says against what is so: caches of half and twice the size, loads whose order
// is known.
#include "cache/ghosts.h"

#include <cmath>
#include <cstdio>

#include "cache_fixture.h"

namespace dinomo::cache::test {
namespace {

constexpr uint64_t kBudgetBytes = uint64_t{2} << 20;
constexpr size_t kValueBytes = 300;

/// Popularity of rank r falls as 1 / (r + 1); by inversion, near enough for a test.
uint64_t skewed(Random& random, uint64_t keys) {
  return static_cast<uint64_t>(std::pow(static_cast<double>(keys), random.unit())) - 1;
}

struct Replayed {
  DacStats stats;
  double rts_per_read = 0;  // of the second half
};

template <class Next>
Replayed run(uint64_t budget_bytes, uint64_t reads, Next&& next) {
  const auto cache = make_cache(budget_bytes, Policy::kDac);
  const std::vector<std::byte> value(kValueBytes);
  uint64_t cost = 0;
  for (uint64_t i = 0; i < reads; ++i) {
    const uint64_t k = next(i);
    const std::string key = key_of(k);
    const Found::Kind kind = cache->find(hash_of(k), as_bytes(key)).kind;
    if (kind == Found::Kind::kMiss) {
      cache->fill_miss(hash_of(k), as_bytes(key), value, {}, address_of(k), 2);
    } else if (kind == Found::Kind::kShortcut) {
      cache->fill_shortcut_hit(hash_of(k), as_bytes(key), value, {}, address_of(k));
    }
    if (i >= reads / 2) cost += kind == Found::Kind::kMiss ? 2 : kind == Found::Kind::kShortcut;
  }
  return {.stats = cache->stats(),
          .rts_per_read = static_cast<double>(cost) / static_cast<double>(reads - reads / 2)};
}

TEST(WhatIf, ForetellsHalfAndTwiceTheMemory) {
  if (kSanitized) GTEST_SKIP() << "a matter of policy, not of memory; runs without sanitizers";
  struct {
    const char* name;
    uint64_t keys;
    bool skewed;
  } const loads[] = {{"skewed", 40'000, true},
                     {"skewed, many keys", 300'000, true},
                     {"uniform", 12'000, false},
                     {"uniform, many keys", 200'000, false}};
  for (const auto& load : loads) {
    const auto at = [&](uint64_t budget_bytes) {
      Random random{3};
      return run(budget_bytes, 1'200'000, [&](uint64_t) {
        return load.skewed ? skewed(random, load.keys) : random.below(load.keys);
      });
    };
    const Replayed same = at(kBudgetBytes);
    const double half = at(kBudgetBytes / 2).rts_per_read;
    const double twice = at(kBudgetBytes * 2).rts_per_read;
    const WhatIf& w = same.stats.what_if;
    std::printf("%s: half %.3f (is %.3f), same %.3f (is %.3f), twice %.3f (is %.3f)\n", load.name,
                w.half, half, w.same, same.rts_per_read, w.twice, twice);
    ASSERT_TRUE(w.known);
    EXPECT_NEAR(w.same, same.rts_per_read, 0.1 * same.rts_per_read + 0.02) << load.name;
    EXPECT_NEAR(w.half, half, 0.12) << load.name;
    EXPECT_NEAR(w.twice, twice, 0.12) << load.name;
    EXPECT_LE(w.twice, w.same + 1e-9);
    EXPECT_GE(w.half, w.same - 1e-9);
  }
}

TEST(WhatIf, IsNotKnownBeforeThereIsEvidence) {
  const auto cache = make_cache(kBudgetBytes, Policy::kDac);
  EXPECT_FALSE(cache->stats().what_if.known);
  EXPECT_FALSE(make_cache(kBudgetBytes, Policy::kValueOnly)->stats().what_if.known);
  Random random{3};
  EXPECT_TRUE(run(kBudgetBytes, 300'000, [&](uint64_t) {
                return skewed(random, 20'000);
              }).stats.what_if.known);
}

TEST(Order, IsByFrequencyForAStableLoad) {
  if (kSanitized) GTEST_SKIP() << "a matter of policy, not of memory; runs without sanitizers";
  Random random{4};
  const DacStats s =
      run(kBudgetBytes, 800'000, [&](uint64_t) { return skewed(random, 60'000); }).stats;
  EXPECT_FALSE(s.by_recency);
  EXPECT_FALSE(s.ages_fast);
}

TEST(Order, IsByRecencyWhileTheHotSetMoves) {
  if (kSanitized) GTEST_SKIP() << "a matter of policy, not of memory; runs without sanitizers";
  // Each key is read a few times within a short while, then never again.
  Random random{5};
  const DacStats s =
      run(kBudgetBytes, 800'000, [&](uint64_t i) { return i / 4 + random.below(6000); }).stats;
  EXPECT_TRUE(s.by_recency);
}

TEST(Ghosts, TakeNoMoreThanTheirShareOfTheBudget) {
  for (uint64_t bytes = 32 << 10; bytes <= uint64_t{1} << 32; bytes *= 2) {
    Ghosts ghosts;
    ASSERT_TRUE(ghosts.init(bytes));
    EXPECT_LE(ghosts.bytes(), std::max<uint64_t>(bytes / 32, 1024));
    EXPECT_LE(ghosts.bytes(), 32u << 10);
    EXPECT_GE(ghosts.bytes(), 1024u);
  }
}

TEST(Ghosts, SampleFewerKeysWhenThereAreMore) {
  Ghosts ghosts;
  ASSERT_TRUE(ghosts.init(uint64_t{1} << 20));
  const auto share = [&] {
    uint64_t sampled = 0;
    for (uint64_t k = 0; k < 100'000; ++k) sampled += ghosts.sampled(hash_of(k)) ? 1 : 0;
    return static_cast<double>(sampled) / 100'000;
  };
  EXPECT_NEAR(share(), 1.0 / 16, 0.004);
  const GhostView view{.budget_bytes = uint64_t{64} << 20,
                       .value_bytes = uint64_t{60} << 20,
                       .records = 200'000,
                       .miss_rt = 2};
  Random random{6};
  for (uint64_t i = 0; i < 3'000'000; ++i) {
    const uint64_t hash = hash_of(random.below(400'000));
    if (!ghosts.sampled(hash)) continue;
    ghosts.note_read(hash, view);
    ghosts.note_item(hash, 320, false);
  }
  EXPECT_LE(share(), 1.0 / 100);
  EXPECT_GE(share(), 1.0 / 1000);
}

}  // namespace
}  // namespace dinomo::cache::test
