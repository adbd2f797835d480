// SPDX-License-Identifier: BSD-3-Clause
// Round trips an operation on Zipf 0.99: the adaptive policy against the best fixed division of
// the same memory. Deterministic: same trace, same seeds.
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "cache_fixture.h"

namespace dinomo::cache::test {
namespace {

class Zipf {
 public:
  Zipf(uint32_t n, double theta) : cumulative_(n) {
    double sum = 0;
    for (uint32_t i = 0; i < n; ++i) cumulative_[i] = sum += std::pow(i + 1, -theta);
  }
  uint32_t next(Random& random) const {
    const double at = random.unit() * cumulative_.back();
    const auto it = std::lower_bound(cumulative_.begin(), cumulative_.end(), at);
    return static_cast<uint32_t>(it - cumulative_.begin());
  }

 private:
  std::vector<double> cumulative_;
};

struct Load {
  uint32_t keys;
  uint32_t value_bytes;
  uint32_t memory_divisor;  // of keys * value_bytes
  double theta = 0.99;
};

std::vector<uint32_t> trace_of(const Load& load, uint32_t accesses) {
  const Zipf zipf(load.keys, load.theta);
  Random random{7};
  std::vector<uint32_t> trace(accesses);
  for (uint32_t& k : trace) k = zipf.next(random);
  return trace;
}

// Value hit 0, shortcut hit 1, miss 2, over the second half of the trace.
double round_trips(const Load& load, const std::vector<uint32_t>& trace, Policy policy,
                   double fraction) {
  const uint64_t data_bytes = uint64_t{load.keys} * load.value_bytes;
  const auto cache = make_cache(data_bytes / load.memory_divisor, policy, fraction);
  if (cache == nullptr) return 2;
  const std::vector<std::byte> value(load.value_bytes);
  uint64_t total = 0;
  for (size_t i = 0; i < trace.size(); ++i) {
    const uint32_t k = trace[i];
    const uint64_t hash = hash_of(k);
    const std::string key = key_of(k);
    const Found found = cache->find(hash, as_bytes(key));
    uint64_t cost = 0;
    if (found.kind == Found::Kind::kMiss) {
      cost = 2;
      cache->fill_miss(hash, as_bytes(key), value, {}, address_of(k), 2);
    } else if (found.kind == Found::Kind::kShortcut) {
      cost = 1;
      cache->fill_shortcut_hit(hash, as_bytes(key), value, {}, address_of(k));
    }
    if (i >= trace.size() / 2) total += cost;
  }
  const size_t measured = trace.size() - trace.size() / 2;
  return static_cast<double>(total) / static_cast<double>(measured);
}

class NearOptimal : public ::testing::TestWithParam<Load> {};

TEST_P(NearOptimal, AdaptiveIsWithinFivePercentOfTheBestFixedDivision) {
  if (kSanitized) GTEST_SKIP() << "a matter of policy, not of memory; runs without sanitizers";
  const Load load = GetParam();
  const auto trace = trace_of(load, 12 * load.keys);
  double best = std::min(round_trips(load, trace, Policy::kValueOnly, 0),
                         round_trips(load, trace, Policy::kShortcutOnly, 0));
  for (int tenth = 0; tenth <= 10; ++tenth) {
    best = std::min(best, round_trips(load, trace, Policy::kStatic, tenth / 10.0));
  }
  const double adaptive = round_trips(load, trace, Policy::kDac, 0);
  std::printf("%u keys of %u B, memory 1/%u: DAC %.4f RTs/op, best fixed %.4f (%.3f)\n", load.keys,
              load.value_bytes, load.memory_divisor, adaptive, best,
              best > 0 ? adaptive / best : 1.0);
  EXPECT_LE(adaptive, 1.05 * best);
}

INSTANTIATE_TEST_SUITE_P(Zipf, NearOptimal,
                         ::testing::Values(Load{50'000, 64, 16}, Load{50'000, 64, 4},
                                           Load{50'000, 64, 1}, Load{30'000, 256, 16},
                                           Load{30'000, 256, 4}, Load{30'000, 256, 1},
                                           Load{20'000, 1024, 16}, Load{20'000, 1024, 4},
                                           Load{20'000, 1024, 1}));

}  // namespace
}  // namespace dinomo::cache::test
