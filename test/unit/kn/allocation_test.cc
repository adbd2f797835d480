// SPDX-License-Identifier: BSD-3-Clause
// Defect P2 of the published prototype: several allocations for every operation. Here a worker that
// is warm allocates nothing, whatever the cache answers.
#include <gtest/gtest.h>

#include <cstdlib>
#include <new>

#include "test/support/allocations.h"
#include "test/support/engine_world.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define DINOMO_ALLOCATIONS_OF_A_SANITIZER
#endif
#endif

#ifndef DINOMO_ALLOCATIONS_OF_A_SANITIZER
// For the whole program; counts only where a test asks for it.
void* operator new(size_t bytes) {
  dinomo::test::note_allocation();
  void* memory = std::malloc(bytes == 0 ? 1 : bytes);
  if (memory == nullptr) std::abort();
  return memory;
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
#endif

namespace dinomo::kn {
namespace {

using test::EngineWorld;
using wire::Opcode;

constexpr int kKeys = 300;
constexpr int kOperations = 4000;

std::string key_of(int i) { return "key" + std::to_string(i % kKeys); }

class AllocationTest : public testing::TestWithParam<cache::Policy> {
 protected:
  /// Runs the worker until it has answered; what it allocates on the way counts.
  void answer(EngineWorld& world, Opcode opcode, const std::string& key, const std::string& value) {
    world.send(opcode, key, value);
    for (int i = 0; i < 8; ++i) {
      const test::Counting all(true);
      world.worker().poll();
    }
    world.turn();
    static_cast<void>(world.replies());
  }
  void run(EngineWorld& world) {
    const std::string value(100, 'v');
    for (int i = 0; i < kOperations; ++i) {
      const Opcode opcode = i % 3 == 0    ? Opcode::kPut
                            : i % 50 == 1 ? Opcode::kDelete
                                          : Opcode::kGet;
      answer(world, opcode, key_of(i * 7), opcode == Opcode::kPut ? value : std::string());
    }
  }
};

TEST_P(AllocationTest, AWarmWorkerAllocatesNothing) {
  test::EngineOptions options;
  options.worker.cache.policy = GetParam();
  EngineWorld world(options);
  world.wait_serving();
  world.hello();
  run(world);
  const kn::WorkerStats& stats = world.worker().stats();
  const uint64_t puts = stats.puts.get();
  test::allocations.count = 0;
  run(world);
  EXPECT_EQ(test::allocations.count, 0u);
  EXPECT_GT(stats.puts.get(), puts) << "nothing was done";
}

TEST(AllocationCounter, Counts) {
#ifdef DINOMO_ALLOCATIONS_OF_A_SANITIZER
  GTEST_SKIP() << "the sanitizer has operator new";
#endif
  test::allocations.count = 0;
  {
    // Called by name: the compiler may leave out a pair of new and delete.
    const test::Counting all(true);
    ::operator delete(::operator new(1));
    const test::Counting none(false);
    ::operator delete(::operator new(1));
  }
  EXPECT_EQ(test::allocations.count, 1u);
}

INSTANTIATE_TEST_SUITE_P(Policies, AllocationTest,
                         testing::Values(cache::Policy::kDac, cache::Policy::kNone,
                                         cache::Policy::kShortcutOnly));

}  // namespace
}  // namespace dinomo::kn
