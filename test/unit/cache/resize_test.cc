// SPDX-License-Identifier: BSD-3-Clause
// Caches that divide one memory, and the tuner that divides it: never more than there is, never an
// old value, and the memory goes where it saves most.
#include <array>
#include <unordered_map>

#include "cache/page_pool.h"
#include "cache/tuner.h"
#include "cache_fixture.h"

namespace dinomo::cache::test {
namespace {

constexpr uint64_t kShareBytes = uint64_t{1} << 20;

/// Caches over one pool of pages, each in front of a store of its own.
class Shared {
 public:
  explicit Shared(uint32_t caches, uint64_t share_bytes = kShareBytes)
      : total_(caches * share_bytes) {
    DacConfig config{.budget_bytes = share_bytes};
    auto pages = make_page_pool(config, caches);
    EXPECT_TRUE(pages.has_value());
    pages_ = std::move(*pages);
    config.pages = pages_.get();
    for (config.share = 0; config.share < caches; ++config.share) {
      auto made = Dac::create(config);
      EXPECT_TRUE(made.has_value());
      caches_.push_back(std::move(*made));
    }
    versions_.resize(caches);
  }

  Dac& cache(uint32_t c) { return *caches_[c]; }

  /// One read as the engine does it; returns its round trips. Fails on a value that is not the
  /// last one written.
  uint64_t read(uint32_t c, uint64_t k, uint32_t value_bytes) {
    const std::string key = key_of(k);
    const std::string value = value_of(c, k, value_bytes);
    const pool::GlobalAddress address = address_of(k * 8 + versions_[c][k] % 8);
    const Found found = caches_[c]->find(hash_of(k), as_bytes(key));
    switch (found.kind) {
      case Found::Kind::kValue: EXPECT_EQ(as_text(found.value), value); return 0;
      case Found::Kind::kShortcut:
        EXPECT_EQ(found.address, address);
        caches_[c]->fill_shortcut_hit(hash_of(k), as_bytes(key), as_bytes(value), {}, address);
        return 1;
      case Found::Kind::kMiss: break;
    }
    caches_[c]->fill_miss(hash_of(k), as_bytes(key), as_bytes(value), {}, address, 2);
    return 2;
  }
  void write(uint32_t c, uint64_t k, uint32_t value_bytes) {
    ++versions_[c][k];
    const std::string key = key_of(k);
    const std::string value = value_of(c, k, value_bytes);
    caches_[c]->update(hash_of(k), as_bytes(key), as_bytes(value), {},
                       address_of(k * 8 + versions_[c][k] % 8));
  }

  void check() const {
    uint64_t budgets = 0;
    uint64_t allocated = 0;
    for (const auto& c : caches_) {
      ASSERT_NO_FATAL_FAILURE(check_accounting(*c));
      budgets += c->stats().budget_bytes;
      allocated += c->stats().allocated_bytes;
    }
    ASSERT_LE(budgets, total_);
    ASSERT_LE(allocated, total_);
  }
  void expect_budget(uint32_t c, uint64_t bytes) const {
    const uint64_t budget = caches_[c]->stats().budget_bytes;
    EXPECT_LE(budget, bytes);
    EXPECT_GE(budget + (uint64_t{1} << pages_->page_shift()), bytes);
  }

 private:
  std::string value_of(uint32_t c, uint64_t k, uint32_t bytes) {
    std::string value(bytes, static_cast<char>('a' + c));
    const uint64_t stamp = k << 16 | (versions_[c][k] & 0xffff);
    std::memcpy(value.data(), &stamp, std::min<size_t>(bytes, sizeof(stamp)));
    return value;
  }

  uint64_t total_;
  std::unique_ptr<PagePool> pages_;
  std::vector<std::unique_ptr<Dac>> caches_;
  std::vector<std::unordered_map<uint64_t, uint64_t>> versions_;
};

TEST(PagePool, RefusesWhatCannotBeShared) {
  EXPECT_FALSE(make_page_pool({.budget_bytes = 1000}, 2));
  EXPECT_FALSE(make_page_pool({.budget_bytes = kShareBytes}, 0));
  EXPECT_FALSE(make_page_pool({.budget_bytes = kShareBytes, .policy = Policy::kValueOnly}, 2));
  EXPECT_FALSE(make_page_pool({.budget_bytes = uint64_t{1} << 60}, 2));
  const auto pages = make_page_pool({.budget_bytes = kShareBytes}, 2);
  ASSERT_TRUE(pages);
  EXPECT_FALSE(Dac::create({.budget_bytes = kShareBytes, .pages = pages->get(), .share = 2}));
}

TEST(PagePool, GivesAPageToOneClaimant) {
  const auto made = PagePool::create(kShareBytes, 2, 8);
  ASSERT_TRUE(made);
  PagePool& pages = **made;
  EXPECT_EQ(pages.claim(), PagePool::kNoPage);
  const uint32_t last = pages.pages() - 1;
  for (const uint32_t page : {uint32_t{3}, last}) pages.give(page);
  EXPECT_EQ(pages.claim(), 3u);
  EXPECT_EQ(pages.claim(), last);
  EXPECT_EQ(pages.claim(), PagePool::kNoPage);
}

TEST(Resize, MovesMemoryUnderLoadAndNeverHoldsMoreThanThereIs) {
  Shared s(3);
  Random random{11};
  std::array<uint64_t, 3> wanted = {kShareBytes, kShareBytes, kShareBytes};
  const uint32_t steps = kSanitized ? 60'000 : 400'000;
  for (uint32_t i = 0; i < steps; ++i) {
    const auto c = static_cast<uint32_t>(random.below(3));
    const uint64_t k = random.below(1 + random.below(20'000));
    const uint32_t value_bytes = 8 + static_cast<uint32_t>(k * 37 % 900);
    if (random.below(8) == 0) {
      s.write(c, k, value_bytes);
    } else {
      s.read(c, k, value_bytes);
    }
    if (random.below(5000) == 0) {
      const auto from = random.below(3);
      const auto to = random.below(3);
      const uint64_t bytes = random.below(wanted[from] - kShareBytes / 4 + 1);
      wanted[from] -= bytes;
      wanted[to] += bytes;
    }
    if (random.below(20'000) == 0) s.cache(c).clear();
    s.cache(c).resize_step(wanted[c]);
    if (i % 64 == 0) ASSERT_NO_FATAL_FAILURE(s.check());
    if (HasFailure()) return;
  }
  for (uint32_t i = 0; i < 20'000; ++i) s.cache(i % 3).resize_step(wanted[i % 3]);
  s.check();
  for (uint32_t c = 0; c < 3; ++c) s.expect_budget(c, wanted[c]);
}

TEST(Resize, ShrinksAnyContentToTheMinimumAndBack) {
  for (const uint32_t value_bytes : {0U, 60U, 1000U, 12'000U}) {
    Shared s(2);
    for (uint64_t i = 0; i < 60'000; ++i) s.read(0, i % 9000, value_bytes);
    uint32_t steps = 0;
    while (!s.cache(0).resize_step(0)) ASSERT_LT(++steps, 100'000u) << value_bytes;
    EXPECT_LT(s.cache(0).stats().budget_bytes, kShareBytes / 4) << value_bytes;
    while (!s.cache(1).resize_step(2 * kShareBytes - s.cache(0).stats().budget_bytes)) {
      ASSERT_LT(++steps, 200'000u);
    }
    s.check();
    for (uint64_t i = 0; i < 60'000; ++i) s.read(i % 2, i % 9000, value_bytes);
    while (!s.cache(1).resize_step(kShareBytes)) ASSERT_LT(++steps, 300'000u);
    while (!s.cache(0).resize_step(kShareBytes)) ASSERT_LT(++steps, 300'000u);
    s.check();
    for (const uint32_t c : {0U, 1U}) s.expect_budget(c, kShareBytes);
  }
}

TEST(Resize, WaitsForMemoryThatNobodyHasGivenUp) {
  Shared s(2);
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(s.cache(1).resize_step(2 * kShareBytes));
  EXPECT_EQ(s.cache(1).stats().budget_bytes, kShareBytes);
  const auto alone = make_cache(kShareBytes, Policy::kDac);
  EXPECT_FALSE(Dac::create({.budget_bytes = 0}));
  EXPECT_TRUE(alone->resize_step(2 * kShareBytes));  // it has nowhere to get it from
  EXPECT_EQ(alone->stats().budget_bytes, kShareBytes);
}

// --- tuner ---

/// Two caches with skewed reads, one read more often; returns round trips a read in the end.
struct Tuned {
  double round_trips = 0;
  std::array<uint64_t, 2> budget_bytes{};
};

Tuned tune(bool on, uint32_t reads_of_first, uint32_t keys_of_first, uint32_t keys_of_second) {
  constexpr uint32_t kPeriods = 60;
  constexpr uint32_t kReads = 20'000;  // a period
  Shared s(2);
  Tuner tuner({.on = on}, kShareBytes, 2);
  Random random{5};
  Tuned result;
  uint64_t last_rts = 0;
  for (uint32_t period = 0; period < kPeriods; ++period) {
    std::array<TunerView, 2> views;
    uint64_t rts = 0;
    for (uint32_t i = 0; i < kReads; ++i) {
      const uint32_t c = random.below(10) < reads_of_first ? 0 : 1;
      const double at = random.unit();
      const auto k =
          static_cast<uint64_t>(at * at * at * (c == 0 ? keys_of_first : keys_of_second));
      rts += s.read(c, k, 200);
      ++views[c].gets;
      s.cache(c).resize_step(tuner.budget_bytes(c));
    }
    s.check();
    for (uint32_t c = 0; c < 2; ++c) {
      const WhatIf w = s.cache(c).stats().what_if;
      if (!w.known) continue;
      views[c].half_millirt = WhatIf::millirt(w.half);
      views[c].same_millirt = WhatIf::millirt(w.same);
      views[c].twice_millirt = WhatIf::millirt(w.twice);
    }
    tuner.decide(views);
    EXPECT_EQ(tuner.budget_bytes(0) + tuner.budget_bytes(1), 2 * kShareBytes);
    if (period >= kPeriods / 2) last_rts += rts;
  }
  constexpr uint32_t kReadsCounted = kReads * (kPeriods / 2);
  result.round_trips = static_cast<double>(last_rts) / kReadsCounted;
  for (uint32_t c = 0; c < 2; ++c) result.budget_bytes[c] = tuner.budget_bytes(c);
  return result;
}

TEST(Tuner, GivesTheMemoryToTheCacheThatIsRead) {
  if (kSanitized) GTEST_SKIP() << "a matter of policy, not of memory; runs without sanitizers";
  const Tuned even = tune(false, 9, 30'000, 30'000);
  const Tuned tuned = tune(true, 9, 30'000, 30'000);
  std::printf("9 of 10 reads go to the first: %.3f round trips evenly, %.3f tuned to %.2f MiB\n",
              even.round_trips, tuned.round_trips,
              static_cast<double>(tuned.budget_bytes[0]) / (1 << 20));
  EXPECT_EQ(even.budget_bytes[0], kShareBytes);
  EXPECT_GT(tuned.budget_bytes[0], kShareBytes * 5 / 4);
  EXPECT_LT(tuned.round_trips, even.round_trips * 0.97);
  // The same observations, the same division.
  EXPECT_EQ(tune(true, 9, 30'000, 30'000).budget_bytes, tuned.budget_bytes);
}

TEST(Tuner, TakesFromACacheThatNeedsNoMore) {
  if (kSanitized) GTEST_SKIP() << "a matter of policy, not of memory; runs without sanitizers";
  // Read as often as the other, but all it has fits into a quarter.
  const Tuned even = tune(false, 5, 1000, 30'000);
  const Tuned tuned = tune(true, 5, 1000, 30'000);
  EXPECT_GT(tuned.budget_bytes[1], kShareBytes * 5 / 4);
  EXPECT_LT(tuned.round_trips, even.round_trips * 0.97);
}

TEST(Tuner, LeavesEqualsAlone) {
  if (kSanitized) GTEST_SKIP() << "a matter of policy, not of memory; runs without sanitizers";
  const Tuned tuned = tune(true, 5, 30'000, 30'000);
  EXPECT_NEAR(static_cast<double>(tuned.budget_bytes[0]), kShareBytes,
              static_cast<double>(kShareBytes) / 8);
}

TEST(Tuner, KeepsTheLeastShareAndActsOnEvidenceOnly) {
  constexpr TunerView kHungry{
      .gets = 100'000, .half_millirt = 1900, .same_millirt = 1500, .twice_millirt = 500};
  Tuner tuner({.share_min_percent = 50}, kShareBytes, 3);
  const std::array<TunerView, 3> few = {TunerView{.gets = 9}, {}, {}};
  EXPECT_FALSE(tuner.decide(few));
  const std::array<TunerView, 3> unknown = {TunerView{.gets = 100'000}, {.gets = 100'000}, {}};
  EXPECT_FALSE(tuner.decide(unknown));
  const std::array<TunerView, 3> views = {kHungry, {}, {}};
  uint32_t moves = 0;
  while (tuner.decide(views)) ASSERT_LE(++moves, 16u);
  EXPECT_EQ(moves, 16u);
  EXPECT_EQ(tuner.budget_bytes(0), 2 * kShareBytes);
  for (const uint32_t c : {1U, 2U}) EXPECT_EQ(tuner.budget_bytes(c), kShareBytes / 2);
  // And back, when the load has moved.
  const std::array<TunerView, 3> later = {TunerView{}, kHungry, {}};
  for (uint32_t i = 0; i < 100; ++i) tuner.decide(later);
  EXPECT_EQ(tuner.budget_bytes(1), 2 * kShareBytes);
  Tuner off({.on = false}, kShareBytes, 3);
  EXPECT_FALSE(off.decide(views));
}

}  // namespace
}  // namespace dinomo::cache::test
