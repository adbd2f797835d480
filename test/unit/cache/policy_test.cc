// SPDX-License-Identifier: BSD-3-Clause
// Who becomes a value, who stays a shortcut, who goes.
#include "cache/policy.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "cache_fixture.h"

namespace dinomo::cache::test {
namespace {

constexpr uint64_t kBudgetBytes = uint64_t{1} << 20;
constexpr double kSlotBytes = 64 / 4.75;  // what a shortcut costs when memory is short
constexpr uint32_t kItemHeadBytes = 40;

TEST(PolicyNames, RoundTrip) {
  for (const char* text :
       {"dac", "value-only", "shortcut-only", "none", "static:0.3", "static:0", "static:1"}) {
    const auto spec = parse_policy(text);
    ASSERT_TRUE(spec) << text;
    EXPECT_EQ(format_policy(*spec), text);
  }
  EXPECT_EQ(parse_policy("static:0.30")->static_value_fraction, 0.3);
}

TEST(PolicyNames, RefusesTheRest) {
  for (const char* text : {"", "DAC", "dac ", "static", "static:", "static:1.5", "static:-0.1",
                           "static:0.5x", "static:nan", "static:inf", "lru"}) {
    EXPECT_FALSE(parse_policy(text)) << text;
  }
}

/// A cache, and reads of keys by number served as an engine would.
class Bench {
 public:
  explicit Bench(Policy policy, uint64_t budget_bytes = kBudgetBytes, double fraction = 0.5,
                 double miss_rt = 2)
      : cache_(make_cache(budget_bytes, policy, fraction, miss_rt)) {}

  Found::Kind read(uint64_t k, size_t value_bytes, uint32_t miss_rt = 2) {
    const std::string key = key_of(k);
    const Found::Kind kind = cache_->find(hash_of(k), as_bytes(key)).kind;
    const Bytes value{value_.data(), value_bytes};
    if (kind == Found::Kind::kMiss) {
      cache_->fill_miss(hash_of(k), as_bytes(key), value, {}, address_of(k), miss_rt);
    } else if (kind == Found::Kind::kShortcut) {
      cache_->fill_shortcut_hit(hash_of(k), as_bytes(key), value, {}, address_of(k));
    }
    return kind;
  }
  void touch(uint64_t k) { cache_->find(hash_of(k), as_bytes(key_of(k))); }
  /// Large values cannot be cached in small pages, so they stay shortcuts.
  void read_shortcut(uint64_t k, uint32_t miss_rt = 2) { read(k, value_.size(), miss_rt); }

  Dac& cache() { return *cache_; }
  DacStats stats() const { return cache_->stats(); }

 private:
  std::unique_ptr<Dac> cache_;
  std::vector<std::byte> value_ = std::vector<std::byte>(size_t{60} * 1024);
};

TEST(MissPath, ValueWhileThereIsRoomThenShortcutsByDemotion) {
  Bench b(Policy::kDac);
  uint64_t k = 0;
  while (b.stats().shortcuts == 0 && k < 100'000) b.read(k++, 400);
  const DacStats filled = b.stats();
  EXPECT_EQ(filled.evictions, 0u);
  EXPECT_GT(filled.value_bytes, kBudgetBytes * 85 / 100);
  // Nothing was hit again: a value is worth less than the shortcuts that fit in its place.
  for (uint64_t i = 0; i < 500; ++i) b.read(k++, 400);
  const DacStats later = b.stats();
  EXPECT_GT(later.demotions, 0u);
  EXPECT_LT(later.values, filled.values);
  EXPECT_GE(later.values + later.shortcuts, filled.values + 450);
}

TEST(MissPath, EvictsTheLeastUsedShortcutWhenThereAreNoValues) {
  Bench b(Policy::kDac);
  uint64_t k = 0;
  constexpr uint64_t kHot = 2000;
  while (b.stats().evictions == 0) b.read_shortcut(1'000'000 + k++);
  for (uint64_t hot = 0; hot < kHot; ++hot) {
    for (int i = 0; i < 4; ++i) b.read_shortcut(hot);
  }
  const uint64_t before = b.stats().evictions;
  while (b.stats().evictions < before + 20'000) b.read_shortcut(1'000'000 + k++);
  EXPECT_EQ(b.stats().values, 0u);
  uint64_t kept = 0;
  for (uint64_t hot = 0; hot < kHot; ++hot) {
    kept += b.cache().find(hash_of(hot), as_bytes(key_of(hot))).kind == Found::Kind::kShortcut;
  }
  EXPECT_GT(kept, kHot * 99 / 100);
}

TEST(ShortcutCost, AtMost24BytesAllIn) {
  for (const uint64_t budget : {256u << 10, 1u << 20, 16u << 20}) {
    Bench b(Policy::kShortcutOnly, budget);
    for (uint64_t k = 0; k < budget / 8; ++k) b.read_shortcut(k);
    EXPECT_LE(budget, 24 * b.stats().shortcuts) << budget;
  }
}

// Fills the cache with shortcuts of `hits` hits each, adds one key with `candidate_hits`, and says
// whether the last of them made it a value.
bool promoted(uint32_t shortcut_hits, uint32_t candidate_hits, size_t value_bytes,
              uint32_t miss_rt) {
  Bench b(Policy::kDac, kBudgetBytes, 0, miss_rt);
  const uint64_t candidate = 1'000'000;
  uint64_t k = 0;
  while (b.stats().evictions == 0) b.read_shortcut(k++, miss_rt);
  // Counts back to zero, then all to the same; ageing comes later than this test takes.
  for (int i = 0; i < 30; ++i) b.cache().decay();
  for (uint32_t i = 0; i < shortcut_hits; ++i) {
    for (uint64_t each = 0; each < k; ++each) b.touch(each);
  }
  b.read_shortcut(candidate, miss_rt);
  for (uint32_t i = 2; i < candidate_hits; ++i) b.touch(candidate);
  EXPECT_EQ(b.stats().values, 0u);
  EXPECT_NEAR(b.stats().average_miss_rt, miss_rt, 1e-9);
  b.read(candidate, value_bytes);
  return b.stats().values == 1;
}

TEST(Promotion, ComparesHitsWithWhatTheShortcutsSave) {
  struct {
    uint32_t shortcut_hits;
    uint32_t value_bytes;
    uint32_t miss_rt;
  } const cases[] = {{1, 60, 2}, {1, 200, 2}, {1, 200, 3}, {1, 100, 1}, {2, 100, 2}};
  for (const auto& c : cases) {
    const double bytes = std::ceil((kItemHeadBytes + 8.0 + c.value_bytes) / 16) * 16;
    const auto taken = static_cast<uint32_t>(std::ceil(bytes / kSlotBytes));
    const uint32_t boundary = c.miss_rt * taken * c.shortcut_hits;
    ASSERT_LT(boundary, 63u) << "counts are exact only below 64";
    EXPECT_FALSE(promoted(c.shortcut_hits, boundary, c.value_bytes, c.miss_rt)) << boundary;
    EXPECT_TRUE(promoted(c.shortcut_hits, boundary + 1, c.value_bytes, c.miss_rt)) << boundary;
  }
}

TEST(Promotion, KeepsHitsThroughDemotion) {
  Bench b(Policy::kDac);
  for (int i = 0; i < 40; ++i) b.read(0, 400);
  // Cold values fill the rest; cold misses then demote the lot, by and by.
  uint64_t k = 1;
  while (b.stats().demotions < 1500 && k < 200'000) b.read(k++, 400);
  // Its shortcut must have survived the churn of shortcuts with one hit.
  EXPECT_NE(b.cache().find(hash_of(0), as_bytes(key_of(0))).kind, Found::Kind::kMiss);
}

TEST(AverageMiss, FollowsTheCostAndNeverFallsBelowOne) {
  for (const Policy policy : {Policy::kDac, Policy::kNone}) {
    Bench b(policy);
    for (uint64_t k = 0; k < 2000; ++k) {
      b.read(k, 10, 0);
      ASSERT_GE(b.stats().average_miss_rt, 1.0);
    }
    EXPECT_NEAR(b.stats().average_miss_rt, 1.0, 0.01);
    for (uint64_t k = 2000; k < 4000; ++k) b.read(k, 10, 5);
    EXPECT_NEAR(b.stats().average_miss_rt, 5.0, 0.01);
  }
  EXPECT_GE(make_cache(kBudgetBytes, Policy::kDac, 0, 0)->stats().average_miss_rt, 1.0);
  EXPECT_GE(make_cache(kBudgetBytes, Policy::kDac, 0, -3)->stats().average_miss_rt, 1.0);
}

TEST(AverageMiss, OfNearlyNothingDoesNotEvictTheCandidate) {
  Bench b(Policy::kDac);
  for (uint64_t k = 0; k < 200'000; ++k) b.read(k % 150'000, 100, 0);
  for (uint64_t k = 0; k < 200'000; ++k) {
    b.read(k % 50'000, 100, 0);
    ASSERT_NE(b.cache().find(hash_of(k % 50'000), as_bytes(key_of(k % 50'000))).kind,
              Found::Kind::kMiss);
  }
}

// A hot set is served from values, a scan of ten times what the cache holds passes by, with a few
// hot reads in between or none; what remains of the hot set?
struct Remains {
  uint64_t values = 0, shortcuts = 0, misses = 0;
};
Remains scan_over_hot_set(uint32_t scanned_per_hot_read) {
  Bench b(Policy::kDac);
  constexpr uint64_t kHot = 800;  // half of the cache as values of 600 bytes
  Random random{3};
  for (int i = 0; i < 100'000; ++i) b.read(random.below(kHot), 600);
  uint64_t hot = 0;
  for (uint64_t k = 0; k < 10 * kBudgetBytes / 600; ++k) {
    b.read(1'000'000 + k, 600);
    if (scanned_per_hot_read != 0 && k % scanned_per_hot_read == 0) b.read(hot++ % kHot, 600);
  }
  Remains remains;
  for (uint64_t k = 0; k < kHot; ++k) {
    switch (b.cache().find(hash_of(k), as_bytes(key_of(k))).kind) {
      case Found::Kind::kValue: ++remains.values; break;
      case Found::Kind::kShortcut: ++remains.shortcuts; break;
      case Found::Kind::kMiss: ++remains.misses; break;
    }
  }
  return remains;
}

TEST(Scan, DoesNotFlushTheHotSet) {
  for (const uint32_t scanned_per_hot_read : {0u, 4u}) {
    const Remains r = scan_over_hot_set(scanned_per_hot_read);
    std::printf("after the scan: %lu values, %lu shortcuts, %lu misses\n", r.values, r.shortcuts,
                r.misses);
    EXPECT_LE(r.misses, 8u);
    EXPECT_GE(r.values, 400u);
  }
}

TEST(Scan, FlushesAnLruWhichIsWhyThisIsWorthTesting) {
  Bench b(Policy::kValueOnly);
  for (int i = 0; i < 20'000; ++i) b.read(static_cast<uint64_t>(i % 800), 600);
  for (uint64_t k = 0; k < 10 * kBudgetBytes / 600; ++k) b.read(1'000'000 + k, 600);
  uint64_t kept = 0;
  for (uint64_t k = 0; k < 800; ++k) {
    kept += b.cache().find(hash_of(k), as_bytes(key_of(k))).kind == Found::Kind::kValue;
  }
  EXPECT_LT(kept, 80u);
}

TEST(Loop, LargerThanTheValuesIsServedByShortcuts) {
  // 6000 values of 600 bytes do not fit in 1 MiB, their shortcuts do. An LRU of values hits
  // nothing.
  Bench b(Policy::kDac);
  Bench lru(Policy::kValueOnly);
  for (uint64_t i = 0; i < 240'000; ++i) {
    b.read(i % 6000, 600);
    lru.read(i % 6000, 600);
  }
  const DacStats before = b.stats();
  const DacStats lru_before = lru.stats();
  for (uint64_t i = 0; i < 6000; ++i) {
    b.read(i, 600);
    lru.read(i, 600);
  }
  EXPECT_LE(b.stats().misses - before.misses, 120u);
  EXPECT_GE(b.stats().value_hits - before.value_hits, 600u);
  EXPECT_LE(lru.stats().value_hits - lru_before.value_hits, 600u);
}

TEST(Ageing, ComesWithoutBeingCalledFor) {
  // Yesterday's hot set gives way to today's.
  Bench b(Policy::kDac);
  Random random{5};
  for (int i = 0; i < 300'000; ++i) b.read(random.below(1500), 600);
  for (int i = 0; i < 300'000; ++i) b.read(10'000 + random.below(1500), 600);
  uint64_t values = 0;
  for (uint64_t k = 10'000; k < 11'500; ++k) {
    values += b.cache().find(hash_of(k), as_bytes(key_of(k))).kind == Found::Kind::kValue;
  }
  EXPECT_GE(values, 1200u);
}

TEST(Memory, MovesBetweenSizesWithoutStranding) {
  Bench b(Policy::kValueOnly, 8 << 20);
  for (const size_t bytes : {40u, 4000u, 100u, 30'000u, 500u}) {
    for (uint64_t k = 0; k < 400'000 && k < (24u << 20) / bytes; ++k) {
      b.read(bytes * 1'000'000 + k, bytes);
    }
    EXPECT_GE(b.stats().value_bytes, (8u << 20) * 65 / 100) << bytes;
  }
}

TEST(Static, KeepsToItsFraction) {
  Bench b(Policy::kStatic, 4 << 20, 0.25);
  Random random{9};
  for (int i = 0; i < 400'000; ++i) b.read(random.below(200'000), 300);
  EXPECT_LE(b.stats().value_bytes, (4u << 20) * 25 / 100);
  EXPECT_GE(b.stats().value_bytes, (4u << 20) * 18 / 100);
  EXPECT_GE(b.stats().shortcuts * 24, (4u << 20) * 65 / 100);
}

}  // namespace
}  // namespace dinomo::cache::test
