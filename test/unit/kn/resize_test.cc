// SPDX-License-Identifier: BSD-3-Clause
// A KN's reads while the DPM changes the size of the index.
#include <gtest/gtest.h>

#include <cstring>

#include "test/support/engine_world.h"

namespace dinomo::kn {
namespace {

using test::EngineOptions;
using test::EngineReply;
using test::EngineWorld;

/// A KN without a cache, so that every read walks the index.
EngineOptions uncached() {
  EngineOptions options;
  options.index_buckets = 4096;
  options.worker.cache.policy = cache::Policy::kNone;
  return options;
}

TEST(IndexResize, ReadsAreRightInEveryStateOfIt) {
  EngineWorld world(uncached());
  world.wait_serving();
  world.hello();
  const auto key = [](int i) { return "key" + std::to_string(i); };
  for (int i = 0; i < 400; ++i) {
    ASSERT_EQ(world.put(key(i), "v" + std::to_string(i)).status, wire::Status::kOk);
  }
  world.turns(5000);  // all merged, and forgotten by the KN
  const auto read_all = [&](int step) {
    for (int i = step % 13; i < 400; i += 13) {
      const EngineReply r = world.get(key(i));
      ASSERT_EQ(r.status, wire::Status::kOk) << key(i);
      ASSERT_EQ(r.value, "v" + std::to_string(i));
    }
    ASSERT_EQ(world.get("absent" + std::to_string(step)).status, wire::Status::kNotFound);
  };
  for (const uint32_t log2 : {14u, 12u}) {  // up, and down again
    world.service().resizer().force(log2);
    int moving = 0;
    int step = 0;
    world.hold_service = true;
    do {
      world.service().poll();  // one slice at most
      moving += world.service().index().next_table() ? 1 : 0;
      ASSERT_NO_FATAL_FAILURE(read_all(step));
      ASSERT_LT(++step, 1000);
    } while (!world.service().resizer().idle());
    EXPECT_GT(moving, 10);
    EXPECT_EQ(world.service().index().table().buckets_log2(), log2);
    for (int i = 0; i < 13; ++i) ASSERT_NO_FATAL_FAILURE(read_all(i));
  }
  EXPECT_GT(world.worker().stats().index_retries.get(), 0u);
  EXPECT_EQ(world.worker().stats().fetch_errors.get(), 0u);
}

TEST(IndexResize, AnIdleKnLearnsOfTheNewTableBeforeTheOldOneIsGone) {
  EngineWorld world(uncached());
  world.wait_serving();
  world.hello();
  ASSERT_EQ(world.put("key", "value").status, wire::Status::kOk);
  world.turns(5000);
  const pool::TableRef old = world.service().index().table();
  world.service().resizer().force(13);
  world.hold_service = true;
  for (int i = 0; i < 1000 && (i < 2 || !world.service().resizer().idle()); ++i) {
    world.service().poll();
  }
  ASSERT_NE(world.service().index().table(), old);
  world.turns(300'000);  // more than a renewal of the lease
  EXPECT_EQ(world.shared().index_table.load(), world.service().index().table().word());
  // The old table's memory is something else by now: reads that went there would find nothing.
  const auto before = world.worker().stats().index_retries.get();
  for (uint64_t i = 0; i < old.buckets(); ++i) {
    index::Bucket* bucket = world.service().index().memory().head(old, i);
    std::memset(static_cast<void*>(bucket), 0x5a, sizeof *bucket);
  }
  const EngineReply r = world.get("key");
  EXPECT_EQ(r.status, wire::Status::kOk);
  EXPECT_EQ(r.value, "value");
  EXPECT_EQ(world.worker().stats().index_retries.get(), before);
}

TEST(IndexResize, AKnThatMissedItTellsAnotherTableByItsBuckets) {
  EngineWorld world(uncached());
  world.wait_serving();
  world.hello();
  ASSERT_EQ(world.put("key", "value").status, wire::Status::kOk);
  world.turns(5000);
  const pool::TableRef old = world.service().index().table();
  world.service().resizer().force(13);
  world.hold_service = true;
  for (int i = 0; i < 1000 && (i < 2 || !world.service().resizer().idle()); ++i) {
    world.service().poll();
  }
  ASSERT_NE(world.service().index().table(), old);
  // At once, so before the KN looks at the root again: empty buckets of a later table.
  index::format_heads(world.service().index().memory().bytes,
                      pool::TableRef(old.offset_bytes(), old.buckets_log2(), 77), 0, old.buckets(),
                      *world.service().index().memory().persist);
  const EngineReply r = world.get("key");
  EXPECT_EQ(r.status, wire::Status::kOk);
  EXPECT_EQ(r.value, "value");
  EXPECT_EQ(world.worker().stats().index_retries.get(), 1u);
}

}  // namespace
}  // namespace dinomo::kn
