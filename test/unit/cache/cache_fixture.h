// SPDX-License-Identifier: BSD-3-Clause
// A cache in front of a reference store: every read is checked against the store, every miss and
// shortcut hit is served from it as the engine would.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cache/dac.h"

namespace dinomo::cache::test {

/// Sanitizers look at each step, so fewer steps have to do for them.
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif

inline std::unique_ptr<Dac> make_cache(uint64_t budget_bytes, Policy policy, double fraction = 0.5,
                                       double miss_rt = 2) {
  auto made = Dac::create({.budget_bytes = budget_bytes,
                           .policy = policy,
                           .static_value_fraction = fraction,
                           .initial_miss_rt = miss_rt});
  return made ? std::move(*made) : nullptr;
}

/// splitmix64: test randomness that is the same everywhere.
struct Random {
  uint64_t state;
  uint64_t next() {
    uint64_t z = state += 0x9e37'79b9'7f4a'7c15;
    z = (z ^ z >> 30) * 0xbf58'476d'1ce4'e5b9;
    z = (z ^ z >> 27) * 0x94d0'49bb'1331'11eb;
    return z ^ z >> 31;
  }
  uint64_t below(uint64_t n) { return next() % n; }
  double unit() { return static_cast<double>(next() >> 11) * 0x1p-53; }
};

inline uint64_t hash_of(uint64_t key_number) { return Random{key_number}.next() | 1; }

inline pool::GlobalAddress address_of(uint64_t n) {
  return pool::GlobalAddress::direct(1, (n + 1) * 64, 64, 0);
}

inline std::string key_of(uint64_t n) {
  std::string key(8, '\0');
  std::memcpy(key.data(), &n, 8);
  return key;
}

inline void check_accounting(const Dac& cache) {
  const DacStats s = cache.stats();
  ASSERT_LE(s.used_bytes, s.allocated_bytes);
  ASSERT_LE(s.allocated_bytes, s.budget_bytes);
  ASSERT_LE(s.value_bytes, s.used_bytes);
  ASSERT_GE(s.average_miss_rt, 1.0);
}

}  // namespace dinomo::cache::test
