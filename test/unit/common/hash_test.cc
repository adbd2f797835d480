// SPDX-License-Identifier: BSD-3-Clause
#include "common/hash.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string>

#include "common/bytes.h"

namespace dinomo {
namespace {

constexpr uint64_t kKeys = 400'000;
constexpr uint32_t kWorkers = 8;
constexpr uint32_t kBuckets = 1u << 16;

struct Spread {
  std::array<uint32_t, kPartitions> partitions{};
  std::array<uint32_t, kWorkers> workers{};
  std::array<uint32_t, kBuckets> buckets{};

  void add(Bytes key) {
    const uint64_t routing = routing_hash(key);
    ++partitions[partition_of(routing)];
    ++workers[worker_of(routing, kWorkers)];
    ++buckets[key_hash(key, 7) % kBuckets];
  }
};

/// Six standard deviations of a fair throw of all keys.
template <class Counts>
void expect_even(const Counts& counts, const std::string& what) {
  const double mean = static_cast<double>(kKeys) / static_cast<double>(counts.size());
  const double slack = 6 * std::sqrt(mean) + 1;
  const auto [least, most] = std::ranges::minmax(counts);
  EXPECT_GT(least, mean - slack) << what;
  EXPECT_LT(most, mean + slack) << what;
}

void expect_even(const Spread& s, const std::string& what) {
  expect_even(s.partitions, what + ", partitions");
  expect_even(s.workers, what + ", workers");
  // A bucket has 6 keys on average: what matters is that none overflows far.
  EXPECT_LT(std::ranges::max(s.buckets), 32u) << what;
}

// dinomo-facts P5: the prototype's identity hash was perfect for keys 1..N and terrible for others.
TEST(Hash, StridedKeysSpreadAsEvenlyAsAnyOthers) {
  for (const uint64_t stride : {uint64_t{1}, uint64_t{8}, uint64_t{64}, uint64_t{4096},
                                uint64_t{1} << 20, uint64_t{1} << 32, uint64_t{1} << 44}) {
    Spread binary;
    Spread text;
    for (uint64_t i = 0; i < kKeys; ++i) {
      const uint64_t number = i * stride;
      binary.add(object_bytes(number));
      text.add(as_bytes("user" + std::to_string(number)));
    }
    expect_even(binary, "binary keys, stride " + std::to_string(stride));
    expect_even(text, "text keys, stride " + std::to_string(stride));
  }
}

// The second level must not use the bits of the first: a partition's keys use all workers.
TEST(Hash, TheKeysOfOnePartitionUseAllWorkers) {
  std::array<uint32_t, kWorkers> workers{};
  uint32_t found = 0;
  for (uint64_t i = 0; found < 4000; ++i) {
    const uint64_t routing = routing_hash(object_bytes(i));
    if (partition_of(routing) != 17) continue;
    ++found;
    ++workers[worker_of(routing, kWorkers)];
  }
  EXPECT_GT(std::ranges::min(workers), 350u);
  EXPECT_LT(std::ranges::max(workers), 650u);
}

}  // namespace
}  // namespace dinomo
