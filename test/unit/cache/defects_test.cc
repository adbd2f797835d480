// SPDX-License-Identifier: BSD-3-Clause
// Defects of the published prototype's cache, each with the run that showed it there.
#include <algorithm>
#include <cstdio>
#include <fstream>

#include "cache_fixture.h"

namespace dinomo::cache::test {
namespace {

constexpr size_t kValueBytes = 600;
constexpr uint64_t kBudgetBytes = uint64_t{1} << 20;

class Cache {
 public:
  explicit Cache(Policy policy, uint64_t budget_bytes = kBudgetBytes)
      : cache_(make_cache(budget_bytes, policy)), value_(kValueBytes) {}

  Dac& operator*() { return *cache_; }
  Dac* operator->() { return cache_.get(); }
  Found find(uint64_t k) { return cache_->find(hash_of(k), as_bytes(key_of(k))); }

  /// As the engine: the entry of key k is at address_of(at).
  Found::Kind read(uint64_t k, uint64_t at, uint32_t miss_rt = 2) {
    const std::string key = key_of(k);
    const Found::Kind kind = find(k).kind;
    if (kind == Found::Kind::kMiss) {
      cache_->fill_miss(hash_of(k), as_bytes(key), value_, {}, address_of(at), miss_rt);
    } else if (kind == Found::Kind::kShortcut) {
      cache_->fill_shortcut_hit(hash_of(k), as_bytes(key), value_, {}, address_of(at));
    }
    return kind;
  }
  void write(uint64_t k, uint64_t at) {
    cache_->update(hash_of(k), as_bytes(key_of(k)), value_, {}, address_of(at));
  }

 private:
  std::unique_ptr<Dac> cache_;
  std::vector<std::byte> value_;
};

// C2: a write to a key held by its shortcut promoted it with the new value and the old shortcut.
// After a demotion reads followed the old entry, whose key still matched.
TEST(C2, AWriteReplacesTheShortcutTooWhenItPromotes) {
  constexpr uint64_t kKeys = 200;
  constexpr uint64_t kNewAt = 500'000;
  Cache c(Policy::kDac);
  uint64_t other = 1'000'000;
  for (; c->stats().shortcuts < 4000; ++other) c.read(other, other);
  uint64_t promoted = 0;
  for (uint64_t k = 0; k < kKeys; ++k) {
    c.read(k, k);                            // at most a shortcut: memory is full
    for (int i = 0; i < 60; ++i) c.find(k);  // hot enough for a promotion
    const Found::Kind before = c.find(k).kind;
    c.write(k, kNewAt + k);
    const Found after = c.find(k);
    ASSERT_NE(after.kind, Found::Kind::kMiss);
    ASSERT_EQ(after.address, address_of(kNewAt + k)) << "key " << k;
    promoted += before == Found::Kind::kShortcut && after.kind == Found::Kind::kValue ? 1 : 0;
  }
  EXPECT_GT(promoted, kKeys / 2) << "no write promoted: the test shows nothing";
  // Their hits are forgotten, new keys come, and they are demoted.
  for (int round = 0; round < 200 && c->stats().values > kKeys / 2; ++round) {
    c->decay();
    for (const uint64_t end = other + 500; other < end; ++other) c.read(other, other);
  }
  uint64_t demoted = 0;
  for (uint64_t k = 0; k < kKeys; ++k) {
    const Found found = c.find(k);
    if (found.kind == Found::Kind::kMiss) continue;
    ASSERT_EQ(found.address, address_of(kNewAt + k)) << "old shortcut of key " << k;
    demoted += found.kind == Found::Kind::kShortcut ? 1 : 0;
  }
  EXPECT_GE(demoted, kKeys / 4) << "few were demoted: the test shows nothing";
}

// C12: removing a record and going on to the next used the one removed. Here: whatever changes, all
// other records stay what they were.
TEST(C12, PromotionDemotionAndRemovalLeaveTheOthersIntact) {
  Cache c(Policy::kDac, 256 << 10);
  Random random{12};
  std::vector<uint64_t> at(40'000);
  for (uint64_t k = 0; k < at.size(); ++k) at[k] = k;
  const DacStats start = c->stats();
  for (uint64_t step = 0; step < 400'000 / (kSanitized ? 8 : 1); ++step) {
    const uint64_t k = std::min(random.below(at.size()), random.below(at.size()));
    const uint64_t what = random.below(100);
    if (what < 80) {
      const Found found = c.find(k);
      if (found.kind != Found::Kind::kMiss) {
        ASSERT_EQ(found.address, address_of(at[k])) << k;
      }
      if (found.kind == Found::Kind::kValue) {
        ASSERT_EQ(found.value.size(), kValueBytes);
      }
      c.read(k, at[k]);
    } else if (what < 90) {
      at[k] += at.size();
      c.write(k, at[k]);
    } else if (what < 95) {
      c->remove(hash_of(k), as_bytes(key_of(k)));
      ASSERT_EQ(c.find(k).kind, Found::Kind::kMiss);
    } else {
      c->drop_shortcut(hash_of(k), address_of(at[k]));
    }
  }
  const DacStats end = c->stats();
  EXPECT_GT(end.promotions - start.promotions, 500u);
  EXPECT_GT(end.demotions - start.demotions, 500u);
  EXPECT_GT(end.evictions - start.evictions, 500u);
}

// C15: lookups of keys that do not exist pulled the miss cost below 1, down to 0; the promotion
// test then evicted the candidate itself and crashed.
TEST(C15, LookupsOfAbsentKeysDoNotMakeMissesCheap) {
  Cache c(Policy::kDac);
  for (uint64_t k = 0; k < 60'000; ++k) c.read(k, k, 3);
  const double before = c->stats().average_miss_rt;
  EXPECT_NEAR(before, 3, 0.01);
  uint64_t found = 0;  // a few: another key's shortcut with the same tag
  for (uint64_t k = 1'000'000; k < 1'100'000; ++k) {
    found += c.find(k).kind != Found::Kind::kMiss ? 1 : 0;  // and nothing to fill with
  }
  EXPECT_LT(found, 100u);
  EXPECT_EQ(c->stats().average_miss_rt, before);
  // And a cost of nothing is taken as 1, and the next shortcut hits with memory full go well.
  for (uint64_t k = 100'000; k < 160'000; ++k) c.read(k, k, 0);
  EXPECT_GE(c->stats().average_miss_rt, 1.0);
  for (uint64_t k = 150'000; k < 160'000; ++k) {
    c.read(k, k, 0);
    ASSERT_NE(c.find(k).kind, Found::Kind::kMiss) << "the candidate was evicted for itself";
  }
}

uint64_t mapped_bytes() {
  std::ifstream statm("/proc/self/statm");
  uint64_t pages = 0;
  statm >> pages;
  return pages * 4096;
}

// P7: the budget counted 16 bytes a shortcut that took more than 150.
TEST(P7, WhatTheProcessMapsIsNoMoreThanTheBudget) {
  if (kSanitized) GTEST_SKIP() << "a sanitizer maps memory of its own";
  constexpr uint64_t kLarge = uint64_t{96} << 20;  // much more than the allocator has at hand
  for (const Policy policy : {Policy::kDac, Policy::kShortcutOnly}) {
    const uint64_t before = mapped_bytes();
    Cache c(policy, kLarge);
    const uint64_t created = mapped_bytes() - before;
    EXPECT_GT(created, kLarge * 95 / 100);  // else statm says nothing
    EXPECT_LE(created, kLarge + 256 * 1024) << "and the rounding of malloc";
    for (uint64_t k = 0; k < 400'000; ++k) c.read(k, k);
    EXPECT_EQ(mapped_bytes() - before, created) << "it grew in use";
  }
}

// P7: hit counts were never forgotten.
TEST(P7, WhatWasHotOnceGivesWay) {
  Cache c(Policy::kDac);
  for (int i = 0; i < 400; ++i) {
    for (uint64_t k = 0; k < 300; ++k) c.read(k, k);
  }
  for (int i = 0; i < 12; ++i) c->decay();
  Random random{7};
  for (int i = 0; i < 200'000; ++i) {
    const uint64_t k = 5000 + random.below(2000);
    c.read(k, k);
  }
  uint64_t old_values = 0;
  for (uint64_t k = 0; k < 300; ++k) old_values += c.find(k).kind == Found::Kind::kValue ? 1 : 0;
  EXPECT_LT(old_values, 30u);
}

}  // namespace
}  // namespace dinomo::cache::test
