// SPDX-License-Identifier: BSD-3-Clause
// The tuner of the control lcore over whole workers: memory follows the load, and never exceeds
// what the KN was given.
#include <gtest/gtest.h>

#include <array>
#include <random>

#include "common/hash.h"
#include "test/support/engine_world.h"

namespace dinomo::kn {
namespace {

using test::EngineOptions;
using test::EngineWorld;

constexpr uint64_t kShareBytes = uint64_t{512} << 10;
constexpr size_t kKeys = 6000;

using Budgets = std::array<uint64_t, 2>;

Budgets budgets(EngineWorld& world) {
  return {world.worker().stats().cache_budget_bytes.get(),
          world.other_worker(1).stats().cache_budget_bytes.get()};
}

/// All reads go to worker 0, whose keys are several times its share.
Budgets read_from_the_first(bool tuned) {
  EngineOptions options;
  options.workers = 2;
  options.divides_cache = true;
  options.tuner.on = tuned;
  options.worker.cache.budget_bytes = kShareBytes;
  EngineWorld world(options);
  world.wait_serving();
  world.hello();
  std::vector<std::string> keys;
  for (int n = 0; keys.size() < kKeys; ++n) {
    std::string key = "key" + std::to_string(n);
    if (worker_of(routing_hash(as_bytes(key)), 2) == 0) keys.push_back(std::move(key));
  }
  for (const std::string& key : keys) {
    EXPECT_EQ(world.put(key, std::string(300, key.back())).status, wire::Status::kOk);
  }
  std::mt19937 random(3);
  for (int i = 0; i < 60'000 && !testing::Test::HasFailure(); ++i) {
    const double at = static_cast<double>(random()) / 4294967296.0;
    const std::string& key = keys[static_cast<size_t>(at * at * kKeys)];
    EXPECT_EQ(world.get(key).value, std::string(300, key.back()));
    const Budgets b = budgets(world);
    EXPECT_LE(b[0] + b[1], 2 * kShareBytes);
  }
  world.turns(5000);
  return budgets(world);
}

TEST(CacheTuning, MemoryGoesToTheWorkerThatIsRead) {
  const Budgets tuned = read_from_the_first(true);
  EXPECT_GT(tuned[0], kShareBytes * 5 / 4);
  EXPECT_LT(tuned[1], kShareBytes * 3 / 4);
  EXPECT_EQ(read_from_the_first(true), tuned);  // nothing but the load decides
}

TEST(CacheTuning, OffLeavesEqualShares) {
  EXPECT_EQ(read_from_the_first(false), (Budgets{kShareBytes, kShareBytes}));
}

}  // namespace
}  // namespace dinomo::kn
