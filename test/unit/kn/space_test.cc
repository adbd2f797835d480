// SPDX-License-Identifier: BSD-3-Clause
// A KN and a pool that is overwritten again and again, and one that is full.
//
//   SPACE_TIMES=20 unit_kn --gtest_filter='*Overwriting*'     as often as issue 3 demands, a minute
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <unordered_map>

#include "app/dinomo-bench/zipf.h"
#include "log/format.h"
#include "test/support/engine_world.h"

namespace dinomo::kn {
namespace {

using test::EngineOptions;
using test::EngineReply;
using test::EngineWorld;

constexpr uint64_t kValueBytes = 900;

std::string key_name(uint64_t n) { return "key" + std::to_string(n); }

std::string value_of(uint64_t n, uint64_t version) {
  std::string value = key_name(n) + "/" + std::to_string(version);
  value.resize(kValueBytes, '.');
  return value;
}

uint64_t times() {
  const char* text = std::getenv("SPACE_TIMES");
  return text != nullptr ? std::strtoull(text, nullptr, 10) : 3;
}

/// Puts with several under way, as a client does it: what is refused with BUSY is sent again.
class Writer {
 public:
  explicit Writer(EngineWorld* world) : world_(*world) {}

  /// Turns until everything is answered.
  void finish() {
    ASSERT_TRUE(world_.turn_until(
        [this] {
          take_replies();
          return under_way_.empty();
        },
        2'000'000));
  }
  void put(uint64_t n) {
    for (int i = 0; under_way_.size() >= kUnderWay || busy(n); ++i) {
      ASSERT_LT(i, 2'000'000) << "no progress";
      world_.turn();
      take_replies();
    }
    send(n, ++versions_[n]);
  }
  uint64_t version(uint64_t n) { return versions_[n]; }
  uint64_t busy_replies() const { return busy_; }
  uint64_t no_space_replies() const { return no_space_; }
  uint64_t other_replies() const { return other_; }

 private:
  static constexpr size_t kUnderWay = 32;
  struct Put {
    uint64_t n;
    uint64_t version;
  };
  bool busy(uint64_t n) const { return keys_under_way_.contains(n); }
  void send(uint64_t n, uint64_t version) {
    keys_under_way_[n] = true;
    under_way_[world_.send(wire::Opcode::kPut, key_name(n), value_of(n, version))] = {n, version};
  }
  void take_replies() {
    for (const EngineReply& r : world_.replies()) {
      const auto at = under_way_.find(r.sequence);
      if (at == under_way_.end()) continue;
      const Put p = at->second;
      under_way_.erase(at);
      keys_under_way_.erase(p.n);
      switch (r.status) {
        case wire::Status::kOk: break;
        case wire::Status::kBusy: ++busy_, send(p.n, p.version); break;
        case wire::Status::kNoSpace: ++no_space_, send(p.n, p.version); break;
        default: ++other_;
      }
    }
  }

  EngineWorld& world_;
  std::unordered_map<uint64_t, uint64_t> versions_;
  std::unordered_map<uint64_t, Put> under_way_;
  std::unordered_map<uint64_t, bool> keys_under_way_;
  uint64_t busy_ = 0;
  uint64_t no_space_ = 0;
  uint64_t other_ = 0;
};

EngineOptions small_world() {
  EngineOptions options;
  options.pool_bytes = uint64_t{48} << 20;
  options.segment_bytes = uint64_t{256} << 10;
  options.worker.cache.budget_bytes = uint64_t{1} << 20;
  // A turn takes up to 32 puts, and a twentieth of the pool must not be written in a grace.
  options.turn_ns = 20'000;
  options.service.reclaim_grace_ms = 1;
  return options;
}

class Space : public testing::TestWithParam<double> {};

// 70 % of the pool is data, which is overwritten so many times, uniformly or with Zipf's
// distribution.
TEST_P(Space, OverwritingNeverRunsOutAndDeletingGivesAllBack) {
  EngineWorld world(small_world());
  const uint64_t when_new = world.service().stats().free_bytes;
  world.wait_serving();
  world.hello();
  const uint64_t entry_bytes = log::entry_bytes(8, kValueBytes);
  const uint64_t keys = when_new * 7 / 10 / entry_bytes;
  Writer writer(&world);
  for (uint64_t n = 0; n < keys; ++n) ASSERT_NO_FATAL_FAILURE(writer.put(n));
  ASSERT_NO_FATAL_FAILURE(writer.finish());

  const uint64_t rounds = std::max<uint64_t>(1, times() * when_new / entry_bytes / 10);
  bench::Zipf zipf(keys, GetParam());
  const bench::Scramble scramble(keys);
  client::Random random(1);
  std::array<double, 10> per_second{};
  std::array<uint64_t, 10> turns_ns{};
  for (uint64_t tenth = 0; tenth < per_second.size(); ++tenth) {
    const auto began = std::chrono::steady_clock::now();
    const uint64_t began_ns = world.clock.now;
    for (uint64_t i = 0; i < rounds; ++i) {
      ASSERT_NO_FATAL_FAILURE(writer.put(scramble(zipf.sample(&random))));
    }
    ASSERT_NO_FATAL_FAILURE(writer.finish());
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
    per_second[tenth] = static_cast<double>(rounds) / took.count();
    turns_ns[tenth] = world.clock.now - began_ns;
  }
  const dpm::ServiceStats s = world.service().stats();
  std::printf(
      "theta %.2f: %lu keys, %lu puts, %lu busy; %.0f puts/s in the first tenth, %.0f in the last "
      "(%.2f; %.2f in turns); %.2f bytes copied a byte written\n",
      GetParam(), keys, 10 * rounds, writer.busy_replies(), per_second.front(), per_second.back(),
      per_second.back() / per_second.front(),
      static_cast<double>(turns_ns.front()) / static_cast<double>(turns_ns.back()),
      static_cast<double>(s.compacted_bytes) / static_cast<double>(10 * rounds * entry_bytes));
  EXPECT_EQ(writer.no_space_replies(), 0u);
  EXPECT_EQ(writer.other_replies(), 0u);
  EXPECT_GE(turns_ns.front() * 10, turns_ns.back() * 8) << "in turns, whatever the machine does";
  EXPECT_GT(s.compacted_entries, 0u);
  EXPECT_EQ(s.items, keys);

  for (uint64_t n = 0; n < keys; ++n) {
    const EngineReply r = world.get(key_name(n));
    ASSERT_EQ(r.status, wire::Status::kOk) << key_name(n);
    ASSERT_EQ(r.value, value_of(n, writer.version(n)));
  }
  EXPECT_EQ(world.worker().stats().fetch_errors.get(), 0u);
  for (uint64_t n = 0; n < keys; ++n) {
    EngineReply r = world.remove(key_name(n));
    for (int i = 0; r.status == wire::Status::kBusy && i < 1000; ++i) r = world.remove(key_name(n));
    ASSERT_EQ(r.status, wire::Status::kOk) << key_name(n);
  }
  world.control().stop();
  ASSERT_TRUE(world.turn_until([&] { return world.control().stopped(); }));
  for (int i = 0; i < 5000; ++i) {  // graces
    world.clock.now += 1'000'000;
    world.turn();
  }
  EXPECT_EQ(world.service().stats().items, 0u);
  EXPECT_EQ(world.service().stats().free_bytes, when_new);
}

INSTANTIATE_TEST_SUITE_P(UniformAndZipf, Space, testing::Values(0.0, 0.99));

// Puts are refused when only what is kept for deletes is left; reads and deletes go on, and with
// what they give back puts do, too.
TEST(FullPool, RefusesPutsUntilDeletesHaveMadeRoom) {
  EngineOptions options = small_world();
  options.pool_bytes = uint64_t{24} << 20;
  EngineWorld world(options);
  world.wait_serving();
  world.hello();
  const auto put = [&](uint64_t n) {
    EngineReply r = world.put(key_name(n), value_of(n, 1));
    for (int i = 0; r.status == wire::Status::kBusy && i < 2000; ++i) {
      r = world.put(key_name(n), value_of(n, 1));
    }
    return r.status;
  };
  uint64_t keys = 0;
  while (put(keys) == wire::Status::kOk) ASSERT_LT(++keys, 20'000u);
  ASSERT_GT(keys, 1000u);
  for (int again = 0; again < 50; ++again) {
    EXPECT_EQ(put(keys + 1), wire::Status::kNoSpace) << "what is kept is for deletes";
  }
  EXPECT_EQ(world.get(key_name(0)).value, value_of(0, 1));
  EXPECT_EQ(world.get(key_name(keys - 1)).value, value_of(keys - 1, 1));

  for (uint64_t n = 0; n < keys; n += 2) {
    ASSERT_EQ(world.remove(key_name(n)).status, wire::Status::kOk) << key_name(n);
  }
  wire::Status status = wire::Status::kNoSpace;
  for (int i = 0; i < 1000 && status != wire::Status::kOk; ++i) {
    world.turns(100);  // compaction
    status = put(keys + 1);
  }
  EXPECT_EQ(status, wire::Status::kOk);
  for (uint64_t n = 0; n < keys / 4; ++n) ASSERT_EQ(put(2 * n), wire::Status::kOk) << n;
  for (uint64_t n = 1; n < keys; n += 2) {
    ASSERT_EQ(world.get(key_name(n)).value, value_of(n, 1)) << key_name(n);
  }
}

// Nothing gives room here, and puts ask again and again: what is kept is for deletes alone.
TEST(FullPool, PutsLeaveToDeletesWhatIsKeptForThem) {
  EngineOptions options = small_world();
  options.pool_bytes = uint64_t{24} << 20;
  options.service.compact_below_percent = 0;
  EngineWorld world(options);
  world.wait_serving();
  world.hello();
  const auto put = [&](uint64_t n) {
    EngineReply r = world.put(key_name(n), value_of(n, 1));
    for (int i = 0; r.status == wire::Status::kBusy && i < 2000; ++i) {
      r = world.put(key_name(n), value_of(n, 1));
    }
    return r.status;
  };
  uint64_t keys = 0;
  while (put(keys) == wire::Status::kOk) ASSERT_LT(++keys, 20'000u);
  uint64_t tried = 0;
  for (uint64_t n = 0; n < keys; n += 200) {  // too few for compaction to gain by
    for (int again = 0; again < 30; ++again, ++tried) {
      ASSERT_NE(world.put(key_name(keys + n), value_of(n, 1)).status, wire::Status::kOk) << tried;
    }
    ASSERT_EQ(world.remove(key_name(n)).status, wire::Status::kOk) << key_name(n);
  }
  EXPECT_GT(tried, 600u) << "more than fit what is kept";
}

// The KN was away while the DPM merged, compacted and freed: what it still thinks unmerged is not
// there any more, and an older version of the key is.
TEST(UnmergedReads, AnOlderEntryIsNotTakenForOneThatWasCompacted) {
  EngineOptions options = small_world();
  options.worker.cache.policy = cache::Policy::kNone;
  EngineWorld world(options);
  world.wait_serving();
  world.hello();
  ASSERT_EQ(world.put("first", "x").status, wire::Status::kOk);
  world.hold_service = true;
  ASSERT_EQ(world.put("key", "old").status, wire::Status::kOk);
  ASSERT_EQ(world.put("key", "new").status, wire::Status::kOk);
  for (int i = 0; i < 100; ++i) world.service().poll();
  ASSERT_EQ(world.service().stats().merged_entries, 3u);

  // As compaction leaves it: the newest entry lies elsewhere, its old place is used again.
  dpm::PoolFile& pool = world.pool();
  const Bytes key = as_bytes(std::string_view("key"));
  const uint64_t hash = key_hash(key, pool.superblock().hash_seed);
  const auto from = world.service().index().find(hash, key);
  ASSERT_TRUE(from);
  dpm::SegmentTable& segments = world.service().segments();
  const auto segment = segments.grant_compacted(1, false);
  ASSERT_TRUE(segment);
  const uint64_t offset = segments.offset(*segment) + sizeof(pool::SegmentHeader);
  const uint32_t generation = segments.header(*segment).generation;
  std::memcpy(pool.at(offset), pool.at(from->offset_bytes()), from->length_bytes());
  log::move_entry(pool.at(offset), generation);
  const auto to =
      pool::GlobalAddress::direct(from->node(), offset, from->length_bytes(), generation);
  segments.add_live(*segment, to.length_bytes());
  ASSERT_TRUE(world.service().index().relocate(hash, *from, to).value());
  segments.sub_live(segments.find(from->offset_bytes()), from->length_bytes());
  std::memset(pool.at(from->offset_bytes()), 0, from->length_bytes());

  const EngineReply r = world.get("key");
  EXPECT_EQ(r.status, wire::Status::kOk);
  EXPECT_EQ(r.value, "new");
}

}  // namespace
}  // namespace dinomo::kn
