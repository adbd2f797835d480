// SPDX-License-Identifier: BSD-3-Clause
// The engine against a real DPM service: what clients are promised.
#include "kn/worker.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

#include "test/support/engine_world.h"

namespace dinomo::kn {
namespace {

using test::EngineOptions;
using test::EngineReply;
using test::EngineWorld;
using wire::Opcode;

class WorkerTest : public testing::Test {
 protected:
  explicit WorkerTest(const EngineOptions& options = {}) : world(options) {}
  void SetUp() override {
    world.wait_serving();
    world.hello();
  }
  const WorkerStats& stats() { return world.worker().stats(); }
  uint64_t trips(fabric::Purpose p) {
    world.turns(3);  // counters are published by the first idle turn
    return stats().round_trips[static_cast<size_t>(p)].get();
  }

  EngineWorld world;
};

TEST_F(WorkerTest, ReadsWhatWasWritten) {
  EXPECT_EQ(world.get("k").status, wire::Status::kNotFound);
  const EngineReply put = world.put("k", "value");
  EXPECT_EQ(put.status, wire::Status::kOk);
  EXPECT_NE(put.version, 0u);
  EXPECT_EQ(world.get("k").value, "value");
  EXPECT_GT(world.put("k", "other").version, put.version);
  EXPECT_EQ(world.get("k").value, "other");
  EXPECT_EQ(world.remove("k").status, wire::Status::kOk);
  EXPECT_EQ(world.get("k").status, wire::Status::kNotFound);
  EXPECT_EQ(world.remove("k").status, wire::Status::kNotFound);
}

TEST_F(WorkerTest, EmptyAndLargeValuesAndBinaryKeys) {
  const std::string key("\0\xff\n", 3);
  EXPECT_EQ(world.put(key, "").status, wire::Status::kOk);
  EXPECT_EQ(world.get(key).status, wire::Status::kOk);
  EXPECT_EQ(world.get(key).value, "");
  const std::string large(1300, 'x');
  EXPECT_EQ(world.put(std::string(100, 'k'), large).status, wire::Status::kOk);
  EXPECT_EQ(world.get(std::string(100, 'k')).value, large);
}

TEST_F(WorkerTest, ItemFlagsVersionAndExpiry) {
  const wire::PutExtras extras{5000, 77, 0};
  const EngineReply put = world.call(Opcode::kPut, "k", "v", 0, object_bytes(extras));
  const EngineReply get = world.call(Opcode::kGet, "k", "", wire::kWantItem);
  EXPECT_EQ(get.item.version, put.version);
  EXPECT_EQ(get.item.item_flags, 77u);
  EXPECT_NEAR(static_cast<double>(get.item.expiry_ms - world.clock.unix_ms()), 5000, 10);
  world.clock.now += uint64_t{6000} * 1'000'000;
  world.wait_serving();
  EXPECT_EQ(world.get("k").status, wire::Status::kNotFound);
}

TEST_F(WorkerTest, AWriteIsFoundBeforeAndAfterItsMerge) {
  world.put("first", "x");  // brings a segment
  world.hold_service = true;
  for (int i = 0; i < 50; ++i) world.put("k", "v" + std::to_string(i));
  world.put("gone", "v");
  world.remove("gone");
  EXPECT_EQ(world.get("k").value, "v49");
  EXPECT_EQ(world.get("gone").status, wire::Status::kNotFound);
  world.hold_service = false;
  ASSERT_TRUE(world.turn_until(
      [&] {
        world.turns(2000);
        return stats().unmerged_entries.get() == 0;
      },
      100));
  EXPECT_EQ(world.get("k").value, "v49");
  EXPECT_EQ(world.get("gone").status, wire::Status::kNotFound);
}

TEST_F(WorkerTest, ARetryIsNotExecutedAgain) {
  const EngineReply first = world.put("k", "one");
  world.put("k", "two");
  --world.next_sequence;
  --world.next_sequence;
  const EngineReply again = world.put("k", "one");  // the same sequence as the first
  EXPECT_EQ(again.status, wire::Status::kOk);
  EXPECT_EQ(again.version, first.version);
  ++world.next_sequence;
  EXPECT_EQ(world.get("k").value, "two");
  EXPECT_EQ(stats().duplicates.get(), 1u);
}

TEST_F(WorkerTest, WithoutAValidCookieNothingIsServed) {
  world.put("k", "v");
  ++world.cookie;
  EXPECT_EQ(world.get("k").status, wire::Status::kNoSession);
  EXPECT_EQ(world.put("k", "w").status, wire::Status::kNoSession);
  EXPECT_EQ(world.call(Opcode::kRing, "").status, wire::Status::kNoSession);
  EXPECT_EQ(world.call(Opcode::kStats, "").status, wire::Status::kNoSession);
  EXPECT_EQ(world.call(Opcode::kPing, "").status, wire::Status::kOk);
  --world.cookie;
  EXPECT_EQ(world.get("k").value, "v");
}

TEST_F(WorkerTest, AShortHelloIsRefused) {
  EXPECT_EQ(world.call(Opcode::kHello, "", "").status, wire::Status::kBadRequest);
}

TEST_F(WorkerTest, ARetriedDeleteGetsItsFirstAnswer) {
  world.put("k", "v");
  const EngineReply first = world.remove("k");
  ASSERT_EQ(first.status, wire::Status::kOk);
  ASSERT_NE(first.version, 0u);
  --world.next_sequence;
  const EngineReply again = world.remove("k");
  EXPECT_EQ(again.status, wire::Status::kOk);
  EXPECT_EQ(again.version, first.version);
}

TEST_F(WorkerTest, BadRequestsAreRefusedAndHarmNobody) {
  world.put("k", "v");
  EXPECT_EQ(world.get("").status, wire::Status::kBadRequest);
  EXPECT_EQ(world.call(static_cast<Opcode>(99), "k").status, wire::Status::kUnsupported);
  EXPECT_EQ(world.call(Opcode::kIncr, "k").status, wire::Status::kBadRequest);
  const uint64_t eight = 8;
  EXPECT_EQ(world.call(Opcode::kPut, "k", "w", 0, object_bytes(eight)).status,
            wire::Status::kBadRequest);
  world.next_sequence = 0;
  EXPECT_EQ(world.put("k", "w").status, wire::Status::kBadRequest);
  world.next_sequence = 1000;
  EXPECT_EQ(world.get("k").value, "v");
}

TEST_F(WorkerTest, GarbageIsCountedAndDropped) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 2000; ++i) {
    std::vector<std::byte> bytes(random() % 200);
    for (auto& b : bytes) b = static_cast<std::byte>(random());
    if (bytes.size() > 4 && i % 2 == 0) {  // gets past the first checks
      store(bytes.data(), wire::kMagic);
      bytes[2] = std::byte{wire::kVersion};
      bytes[3] = std::byte{0};
    }
    world.send_raw(bytes);
  }
  world.turns(100);
  uint64_t malformed = 0;
  for (const Counter& c : stats().malformed) malformed += c.get();
  EXPECT_GT(malformed, 1900u);
  EXPECT_EQ(world.network.held(), 0u);
  world.put("k", "v");
  EXPECT_EQ(world.get("k").value, "v");
}

TEST_F(WorkerTest, AnotherVersionIsToldOurs) {
  wire::DatagramHeader h = world.header();
  h.version = 9;
  std::vector<std::byte> bytes(64);
  store(bytes.data(), h);
  world.send_raw(bytes);
  world.turns(2);
  const auto replies = world.replies();
  ASSERT_EQ(replies.size(), 1u);
  EXPECT_EQ(replies[0].status, wire::Status::kBadVersion);
}

TEST_F(WorkerTest, RoundTripsEqualTheCostTable) {
  world.put("k", "v");
  world.turns(5000);  // merged
  const uint64_t index = trips(fabric::Purpose::kIndex);
  const uint64_t value = trips(fabric::Purpose::kValue);
  world.get("k");  // value hit: 0
  EXPECT_EQ(trips(fabric::Purpose::kIndex), index);
  EXPECT_EQ(trips(fabric::Purpose::kValue), value);
  world.get("nobody");  // absent: 1
  EXPECT_EQ(trips(fabric::Purpose::kIndex), index + 1);
  EXPECT_EQ(trips(fabric::Purpose::kValue), value);
  const uint64_t log = trips(fabric::Purpose::kLog);
  for (int i = 0; i < 20; ++i) world.send(Opcode::kPut, "k" + std::to_string(i), "v");
  world.turns(10);
  EXPECT_EQ(world.replies().size(), 20u);
  EXPECT_EQ(trips(fabric::Purpose::kLog), log + 1);  // one burst, one batch, one round trip
}

TEST_F(WorkerTest, AReadUnderWayWhenAWriteLandsNeverFillsTheCache) {
  world.put("k", "old");
  world.turns(5000);
  // A new world of the cache: the key has to be fetched.
  world.crash_dpm();
  world.turns(2000);
  world.wait_serving();
  world.put("other", "x");  // brings a segment, so that the write below is not held up
  const uint64_t get = world.send(Opcode::kGet, "k");
  const uint64_t put = world.send(Opcode::kPut, "k", "new");
  std::map<uint64_t, EngineReply> answers;
  for (int i = 0; i < 5000 && answers.size() < 2; ++i) {
    world.turn();
    for (const EngineReply& r : world.replies()) answers[r.sequence] = r;
  }
  ASSERT_EQ(answers.size(), 2u);
  EXPECT_EQ(answers[put].status, wire::Status::kOk);
  EXPECT_TRUE(answers[get].value == "old" || answers[get].value == "new");
  for (int i = 0; i < 3; ++i) EXPECT_EQ(world.get("k").value, "new");
}

TEST_F(WorkerTest, WithoutALeaseNothingIsServedOrAcknowledged) {
  world.put("k", "v");
  // The control lcore stalls: no heartbeat, the lease runs out.
  world.clock.now += 3'000'000'000;
  const uint64_t get = world.send(Opcode::kGet, "k");
  world.worker().poll();
  const auto replies = world.replies();
  ASSERT_EQ(replies.size(), 1u);
  EXPECT_EQ(replies[0].sequence, get);
  EXPECT_EQ(replies[0].status, wire::Status::kBusy);
  world.wait_serving();
  EXPECT_EQ(world.get("k").value, "v");
}

TEST_F(WorkerTest, ALeaseLostBeforeTheCommitIsNotAcknowledged) {
  world.put("k", "v");
  world.shared().lease_deadline_ns = world.clock.now + 1500;
  world.clock.step = 1000;
  world.send(Opcode::kPut, "k", "w");
  world.worker().poll();  // appended within the lease, durable after it
  world.clock.step = 0;
  for (const EngineReply& r : world.replies()) EXPECT_NE(r.status, wire::Status::kOk);
}

TEST_F(WorkerTest, AcknowledgedWritesSurviveACrashOfTheDpm) {
  for (int i = 0; i < 200; ++i) world.put("key" + std::to_string(i), "v" + std::to_string(i));
  world.hold_service = true;
  for (int i = 0; i < 100; ++i) world.put("key" + std::to_string(i), "w" + std::to_string(i));
  for (int i = 0; i < 20; ++i) world.remove("key" + std::to_string(i));
  world.crash_dpm();
  world.hold_service = false;
  world.turns(2000);
  world.wait_serving();
  for (int i = 0; i < 200; ++i) {
    const EngineReply r = world.get("key" + std::to_string(i));
    if (i < 20) {
      EXPECT_EQ(r.status, wire::Status::kNotFound) << i;
    } else {
      EXPECT_EQ(r.value, (i < 100 ? "w" : "v") + std::to_string(i));
    }
  }
}

TEST_F(WorkerTest, StatsAreOneJsonObject) {
  const EngineReply r = world.call(Opcode::kStats, "");
  EXPECT_EQ(r.status, wire::Status::kOk);
  EXPECT_EQ(r.value.front(), '{');
  EXPECT_EQ(r.value.back(), '}');
  EXPECT_NE(r.value.find("\"round_trips\":{"), std::string::npos);
}

class TwoWorkers : public WorkerTest {
 protected:
  TwoWorkers() : WorkerTest(EngineOptions{.workers = 2}) {}
};

TEST_F(TwoWorkers, KeysOfTheOtherWorkerAreSentThere) {
  int mine = 0;
  int others = 0;
  for (int i = 0; i < 64; ++i) {
    const std::string key = "key" + std::to_string(i);
    const EngineReply r = world.put(key, "v");
    const bool ours = worker_of(routing_hash(as_bytes(key)), 2) == 0;
    EXPECT_EQ(r.status, ours ? wire::Status::kOk : wire::Status::kWrongOwner);
    ++(ours ? mine : others);
  }
  EXPECT_GT(mine, 10);
  EXPECT_GT(others, 10);
}

class SlowMerge : public WorkerTest {
 protected:
  SlowMerge() : WorkerTest(EngineOptions{.segment_bytes = 96 * 1024}) {}
};

TEST_F(SlowMerge, WritesAreRefusedReadsGoOnAndEverythingRecovers) {
  world.put("k", "v");
  world.hold_service = true;
  const std::string value(1000, 'x');
  int refused = 0;
  std::map<std::string, std::string> stored;
  for (int i = 0; i < 600; ++i) {
    const std::string key = "key" + std::to_string(i);
    const EngineReply r = world.put(key, value);
    if (r.status == wire::Status::kOk) stored[key] = value;
    refused += r.status == wire::Status::kBusy ? 1 : 0;
    if (refused == 3) break;
  }
  EXPECT_EQ(refused, 3);
  EXPECT_EQ(world.get("k").value, "v");
  for (const auto& [key, expected] : stored) EXPECT_EQ(world.get(key).value, expected);
  world.hold_service = false;
  world.turns(20'000);
  EXPECT_EQ(world.put("after", "x").status, wire::Status::kOk);
  EXPECT_EQ(world.remove("k").status, wire::Status::kOk);
}

/// Random operations on few keys with everything small, several in flight, the merge at random
/// times, and crashes of the DPM: every read must be explained by the acknowledged state.
class Model : public testing::TestWithParam<std::tuple<cache::Policy, int>> {};

TEST_P(Model, EveryReadIsExplained) {
  const auto [policy, seed] = GetParam();
  EngineOptions options;
  options.segment_bytes = 128 * 1024;
  options.index_buckets = 1024;
  options.worker.cache.policy = policy;
  options.worker.cache.budget_bytes = 512 * 1024;
  EngineWorld world(options);
  world.wait_serving();
  world.hello();
  std::mt19937_64 random(static_cast<uint64_t>(seed));
  std::map<std::string, std::string> state;  // acknowledged; absent keys are not in it
  for (int step = 0; step < 2500; ++step) {
    world.hold_service = random() % 3 != 0;
    const std::string key = "key" + std::to_string(random() % 2000);
    const std::string tag = key + " step " + std::to_string(step) + " seed " + std::to_string(seed);
    EngineReply r;
    switch (random() % 8) {
      case 0:
        r = world.remove(key);
        if (r.status == wire::Status::kBusy) break;
        EXPECT_EQ(r.status, state.erase(key) != 0 ? wire::Status::kOk : wire::Status::kNotFound)
            << tag;
        break;
      case 1:
      case 2:
      case 3: {
        const std::string value =
            key + ":" + std::to_string(step) + std::string(random() % 1200, '.');
        r = world.put(key, value);
        if (r.status == wire::Status::kBusy) {
          world.hold_service = false;
          world.turns(3000);
          break;
        }
        ASSERT_EQ(r.status, wire::Status::kOk) << tag;
        state[key] = value;
        break;
      }
      default:
        r = world.get(key);
        if (state.contains(key)) {
          ASSERT_EQ(r.status, wire::Status::kOk) << tag;
          ASSERT_EQ(r.value, state[key]) << tag;
        } else {
          ASSERT_EQ(r.status, wire::Status::kNotFound) << tag;
        }
    }
    if (random() % 800 == 0) {
      world.crash_dpm();
      world.hold_service = false;
      world.turns(2000);
      world.wait_serving();
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Policies, Model,
    testing::Combine(testing::Values(cache::Policy::kDac, cache::Policy::kShortcutOnly,
                                     cache::Policy::kValueOnly, cache::Policy::kNone),
                     testing::Values(1, 2)));

}  // namespace
}  // namespace dinomo::kn
