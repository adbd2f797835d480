// SPDX-License-Identifier: BSD-3-Clause
// A worker and a ring that changes under it.
#include <gtest/gtest.h>

#include "ring/ring.h"
#include "test/support/engine_world.h"

namespace dinomo::kn {
namespace {

using test::EngineWorld;

// Defect P8 of the published prototype: when a KN joins, all KNs forget their whole cache. Here a
// key that stays is served from it as before, and only one that goes is refused.
TEST(NewRing, KeepsTheCacheOfKeysThatStay) {
  EngineWorld world;
  world.wait_serving();
  world.hello();
  for (const char* key : {"stays", "goes"}) {
    ASSERT_EQ(world.put(key, "value").status, wire::Status::kOk);
    ASSERT_EQ(world.get(key).value, "value");
  }
  const ring::Ring* const before = world.shared().ring.load();
  ring::Ring after = *before;
  ++after.version;
  const uint64_t goes = routing_hash(as_bytes(std::string_view("goes")));
  ASSERT_NE(partition_of(goes), partition_of(routing_hash(as_bytes(std::string_view("stays")))));
  after.owner[partition_of(goes)] = 77;
  world.shared().ring.store(&after);
  world.turns(10);

  const uint64_t hits = world.worker().stats().value_hits.get();
  EXPECT_EQ(world.get("stays").value, "value");
  EXPECT_EQ(world.worker().stats().value_hits.get(), hits + 1);
  EXPECT_EQ(world.get("goes").status, wire::Status::kWrongOwner);
  world.shared().ring.store(before);
  world.turns(10);
}

}  // namespace
}  // namespace dinomo::kn
