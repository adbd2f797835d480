// SPDX-License-Identifier: BSD-3-Clause
// What a cache may answer, whatever its policy: checked against a plain map under random
// operations.
#include <algorithm>
#include <array>
#include <cmath>

#include "cache_fixture.h"

namespace dinomo::cache::test {
namespace {

struct Case {
  const char* name;
  Policy policy;
  double fraction;
  uint64_t budget_bytes;
  uint32_t keys;
  uint32_t hashes;  // fewer than keys: many keys share a hash
  uint32_t value_bytes_max;
  uint32_t operations;
};

std::ostream& operator<<(std::ostream& os, const Case& c) { return os << c.name; }

// The store: each key has a version (0: deleted); value, size and address follow from (key,
// version).
class Model {
 public:
  explicit Model(const Case& c)
      : case_(c),
        cache_(make_cache(c.budget_bytes, c.policy, c.fraction)),
        versions_(c.keys),
        buffer_(c.value_bytes_max + 1) {}

  uint64_t false_shortcuts() const { return false_shortcuts_; }
  bool created() const { return cache_ != nullptr; }
  const Dac& cache() const { return *cache_; }

  void step() {
    const uint32_t k = pick();
    const uint64_t what = random_.below(100);
    if (what < 70) {
      read(k);
    } else if (what < 92) {
      write(k);
    } else if (what < 97) {
      erase(k);
    } else if (what < 98) {
      cache_->decay();
    } else {
      burst();
    }
  }

  void read(uint32_t k) {
    const uint64_t hash = hash_for(k);
    const std::string key = long_key(k);
    const Found found = cache_->find(hash, as_bytes(key));
    const uint32_t version = versions_[k];
    if (found.kind == Found::Kind::kMiss) {
      if (version == 0) return;
      const Bytes value = value_for(k, version);
      cache_->fill_miss(hash, as_bytes(key), value, meta_for(k, version), address(k, version),
                        static_cast<uint32_t>(random_.below(4)));
      return;
    }
    if (found.kind == Found::Kind::kValue) {
      ASSERT_NE(version, 0u) << "a deleted key was found, key " << k;
      const ItemMeta meta = meta_for(k, version);
      ASSERT_EQ(found.address, address(k, version)) << "key " << k;
      ASSERT_EQ(found.meta.version, meta.version);
      ASSERT_EQ(found.meta.expiry_ms, meta.expiry_ms);
      ASSERT_EQ(found.meta.item_flags, meta.item_flags);
      ASSERT_TRUE(equal(found.value, value_for(k, version))) << "key " << k;
      return;
    }
    const uint32_t owner = owner_of(found.address);
    if (owner != k) {
      if (hash_for(owner) != hash) ++false_shortcuts_;  // fingerprints of two hashes were equal
      ASSERT_EQ(found.address, address(owner, versions_[owner])) << "stale shortcut";
      cache_->drop_shortcut(hash, found.address);
      const Found again = cache_->find(hash, as_bytes(key));
      ASSERT_FALSE(again.kind == Found::Kind::kShortcut && again.address == found.address);
      return;
    }
    ASSERT_NE(version, 0u) << "a deleted key was found, key " << k;
    ASSERT_EQ(found.address, address(k, version)) << "stale shortcut, key " << k;
    cache_->fill_shortcut_hit(hash, as_bytes(key), value_for(k, version), meta_for(k, version),
                              found.address);
  }

  void write(uint32_t k) {
    const uint32_t version = versions_[k] = ++clock_;
    cache_->update(hash_for(k), as_bytes(long_key(k)), value_for(k, version), meta_for(k, version),
                   address(k, version));
    expect_at_most_one_record(k);
  }

  void erase(uint32_t k) {
    versions_[k] = 0;
    const std::string key = long_key(k);
    cache_->remove(hash_for(k), as_bytes(key));
    const Found found = cache_->find(hash_for(k), as_bytes(key));
    if (found.kind == Found::Kind::kMiss) return;
    ASSERT_EQ(found.kind, Found::Kind::kShortcut);
    const uint32_t owner = owner_of(found.address);
    ASSERT_NE(owner, k);
  }

  void burst() {
    std::array<uint32_t, 32> keys{};
    for (uint32_t& k : keys) {
      k = pick();
      cache_->prefetch(hash_for(k));
    }
    for (const uint32_t k : keys) read(k);
  }

  void check_all() {
    for (uint32_t k = 0; k < case_.keys; ++k) read(k);
    for (uint32_t k = 0; k < case_.keys; ++k) erase(k);
    const DacStats empty = cache_->stats();
    EXPECT_EQ(empty.values, 0u);
    EXPECT_EQ(empty.shortcuts, 0u);
    EXPECT_EQ(empty.value_bytes, 0u);
    for (uint32_t k = 0; k < case_.keys; ++k) write(k);
    cache_->clear();
    for (uint32_t k = 0; k < case_.keys; ++k) {
      ASSERT_EQ(cache_->find(hash_for(k), as_bytes(long_key(k))).kind, Found::Kind::kMiss);
    }
  }

 private:
  // Removing once must be enough: a second record of the key would now come to light.
  void expect_at_most_one_record(uint32_t k) {
    if (random_.below(16) != 0) return;
    const std::string key = long_key(k);
    cache_->remove(hash_for(k), as_bytes(key));
    const Found found = cache_->find(hash_for(k), as_bytes(key));
    ASSERT_NE(found.kind, Found::Kind::kValue);
    if (found.kind == Found::Kind::kMiss) return;
    ASSERT_NE(owner_of(found.address), k);
  }

  uint32_t pick() {  // skewed: the lower of three
    return static_cast<uint32_t>(std::min(
        {random_.below(case_.keys), random_.below(case_.keys), random_.below(case_.keys)}));
  }
  uint64_t hash_for(uint32_t k) const { return hash_of(k % case_.hashes); }
  static std::string long_key(uint32_t k) {
    std::string key(4 + hash_of(k) % 247, 'k');
    std::memcpy(key.data(), &k, 4);
    return key;
  }
  uint32_t owner_of(pool::GlobalAddress address) const {
    return static_cast<uint32_t>((address.offset_bytes() / 64 - 1) % case_.keys);
  }
  pool::GlobalAddress address(uint32_t k, uint32_t version) const {
    return address_of(uint64_t{version} * case_.keys + k);
  }
  static ItemMeta meta_for(uint32_t k, uint32_t version) {
    return {.version = version, .expiry_ms = hash_of(k + version), .item_flags = k ^ version};
  }
  Bytes value_for(uint32_t k, uint32_t version) {
    // Sizes from 0 to the maximum, small ones more often; every third write keeps the size.
    Random r{uint64_t{k} << 32 | version / 3};
    const uint64_t limit = 1 + (case_.value_bytes_max >> r.below(10));
    const size_t bytes = std::min<uint64_t>(r.below(limit + 1), case_.value_bytes_max);
    Random fill{uint64_t{version} << 32 | k};
    for (size_t i = 0; i < bytes; i += 8) {
      const uint64_t word = fill.next();
      std::memcpy(buffer_.data() + i, &word, std::min<size_t>(8, bytes - i));
    }
    return {buffer_.data(), bytes};
  }

  Case case_;
  std::unique_ptr<Dac> cache_;
  std::vector<uint32_t> versions_;
  std::vector<std::byte> buffer_;
  Random random_{42};
  uint32_t clock_ = 0;
  uint64_t false_shortcuts_ = 0;
};

class Contract : public ::testing::TestWithParam<Case> {};

TEST_P(Contract, NeverAnswersAnythingOld) {
  Model model(GetParam());
  ASSERT_TRUE(model.created());
  const uint32_t operations = GetParam().operations / (kSanitized ? 20 : 2);
  for (uint32_t i = 0; i < operations && !HasFatalFailure(); ++i) {
    model.step();
    if (i % 256 == 0) check_accounting(model.cache());
  }
  if (HasFatalFailure()) return;
  EXPECT_LE(model.false_shortcuts() * 1000, model.cache().stats().shortcut_hits);
  model.check_all();
  check_accounting(model.cache());
}

constexpr uint64_t kKiB = 1024;
constexpr Case kCases[] = {
    {"dac_tiny", Policy::kDac, 0, 48 * kKiB, 3000, 3000, 400, 600'000},
    {"dac_small_values", Policy::kDac, 0, 512 * kKiB, 20'000, 20'000, 100, 800'000},
    {"dac_collisions", Policy::kDac, 0, 128 * kKiB, 4000, 1500, 600, 600'000},
    {"dac_collisions_dense", Policy::kDac, 0, 64 * kKiB, 4000, 800, 1000, 400'000},
    {"dac_collisions_tiny", Policy::kDac, 0, 40 * kKiB, 400, 60, 1500, 400'000},
    {"static_collisions_tiny", Policy::kStatic, 0.5, 40 * kKiB, 400, 60, 1500, 200'000},
    {"dac_one_hash", Policy::kDac, 0, 64 * kKiB, 40, 1, 200, 200'000},
    {"dac_shortcuts_mostly", Policy::kDac, 0, 256 * kKiB, 60'000, 60'000, 2000, 600'000},
    {"dac_large_values", Policy::kDac, 0, 6144 * kKiB, 3000, 2500, 60 * 1024, 150'000},
    {"dac_all_fits", Policy::kDac, 0, 4096 * kKiB, 2000, 2000, 500, 200'000},
    {"value_only_tiny", Policy::kValueOnly, 0, 48 * kKiB, 3000, 3000, 400, 300'000},
    {"value_only_collisions", Policy::kValueOnly, 0, 256 * kKiB, 2000, 100, 800, 300'000},
    {"value_only_large", Policy::kValueOnly, 0, 6144 * kKiB, 2000, 2000, 60 * 1024, 100'000},
    {"shortcut_only", Policy::kShortcutOnly, 0, 64 * kKiB, 30'000, 30'000, 100, 400'000},
    {"shortcut_only_collisions", Policy::kShortcutOnly, 0, 64 * kKiB, 2000, 100, 100, 200'000},
    {"static_half", Policy::kStatic, 0.5, 128 * kKiB, 10'000, 10'000, 300, 400'000},
    {"static_collisions", Policy::kStatic, 0.3, 128 * kKiB, 2000, 100, 300, 300'000},
    {"static_large", Policy::kStatic, 0.9, 6144 * kKiB, 2000, 2000, 60 * 1024, 100'000},
    {"none", Policy::kNone, 0, 0, 100, 100, 100, 20'000},
};
INSTANTIATE_TEST_SUITE_P(Policies, Contract, ::testing::ValuesIn(kCases),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(Create, RefusesWhatCannotHoldAnything) {
  for (const Policy policy : {Policy::kDac, Policy::kValueOnly, Policy::kShortcutOnly}) {
    for (const uint64_t bytes : {uint64_t{0}, uint64_t{1}, uint64_t{1000}, 16 * kKiB}) {
      auto made = Dac::create({.budget_bytes = bytes, .policy = policy});
      ASSERT_FALSE(made);
      EXPECT_EQ(made.error(), Status::kInvalid);
    }
    EXPECT_NE(make_cache(64 * kKiB, policy), nullptr);
  }
  EXPECT_EQ(make_cache(kKiB * kKiB, Policy::kStatic, -0.1), nullptr);
  EXPECT_EQ(make_cache(kKiB * kKiB, Policy::kStatic, 1.1), nullptr);
  EXPECT_EQ(make_cache(kKiB * kKiB, Policy::kStatic, NAN), nullptr);
  EXPECT_EQ(make_cache(uint64_t{1} << 60, Policy::kDac), nullptr);
}

TEST(Create, EveryBudgetIsKept) {
  for (uint64_t bytes = 30 * kKiB; bytes < 40 * kKiB * kKiB; bytes += bytes / 7 + 13) {
    const auto cache = make_cache(bytes, Policy::kDac);
    if (cache != nullptr) check_accounting(*cache);
  }
}

TEST(Contract, StaleFillOfAShortcutIsIgnored) {
  const auto cache = make_cache(64 * kKiB, Policy::kShortcutOnly);
  const std::string key = key_of(1);
  cache->update(hash_of(1), as_bytes(key), as_bytes("old"), {}, address_of(1));
  cache->update(hash_of(1), as_bytes(key), as_bytes("new"), {}, address_of(2));
  // The read that was under way when the key was updated comes back.
  cache->fill_shortcut_hit(hash_of(1), as_bytes(key), as_bytes("old"), {}, address_of(1));
  const Found found = cache->find(hash_of(1), as_bytes(key));
  ASSERT_EQ(found.kind, Found::Kind::kShortcut);
  EXPECT_EQ(found.address, address_of(2));
}

TEST(Contract, DropShortcutOfAnOldAddressDoesNothing) {
  const auto cache = make_cache(64 * kKiB, Policy::kShortcutOnly);
  const std::string key = key_of(1);
  cache->update(hash_of(1), as_bytes(key), {}, {}, address_of(2));
  cache->drop_shortcut(hash_of(1), address_of(1));
  EXPECT_EQ(cache->find(hash_of(1), as_bytes(key)).kind, Found::Kind::kShortcut);
  cache->drop_shortcut(hash_of(1), address_of(2));
  EXPECT_EQ(cache->find(hash_of(1), as_bytes(key)).kind, Found::Kind::kMiss);
}

TEST(Contract, ValueFoundMayBeHandedBack) {
  const auto cache = make_cache(256 * kKiB, Policy::kDac);
  const std::string key = key_of(1);
  cache->update(hash_of(1), as_bytes(key), as_bytes("as it was"), {}, address_of(1));
  const Found found = cache->find(hash_of(1), as_bytes(key));
  ASSERT_EQ(found.kind, Found::Kind::kValue);
  cache->update(hash_of(1), as_bytes(key), found.value, {.expiry_ms = 7}, address_of(2));
  const Found touched = cache->find(hash_of(1), as_bytes(key));
  ASSERT_EQ(touched.kind, Found::Kind::kValue);
  EXPECT_EQ(as_text(touched.value), "as it was");
  EXPECT_EQ(touched.meta.expiry_ms, 7u);
  EXPECT_EQ(touched.address, address_of(2));
}

TEST(Contract, NoAddressMeansNotCached) {
  const auto cache = make_cache(256 * kKiB, Policy::kDac);
  const std::string key = key_of(1);
  cache->update(hash_of(1), as_bytes(key), as_bytes("v"), {}, address_of(1));
  cache->update(hash_of(1), as_bytes(key), as_bytes("w"), {}, pool::GlobalAddress());
  EXPECT_EQ(cache->find(hash_of(1), as_bytes(key)).kind, Found::Kind::kMiss);
  EXPECT_EQ(cache->stats().values + cache->stats().shortcuts, 0u);
}

}  // namespace
}  // namespace dinomo::cache::test
