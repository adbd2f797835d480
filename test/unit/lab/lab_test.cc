// SPDX-License-Identifier: BSD-3-Clause
// The laboratory's own arithmetic, on streams whose costs are known, and the bound that DAC has to
// hold on a few points of the grid. The whole grid: dinomo-lab --check.
#include <gtest/gtest.h>

#include <map>

#include "app/dinomo-lab/grid.h"

namespace dinomo::lab {
namespace {

#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

KeyStreamRecord record(uint64_t key, StreamOp op, uint32_t value_bytes, bool absent = false) {
  return {.key_hash = key_hash(object_bytes(key), 0),
          .value_bytes = value_bytes,
          .key_bytes = 8,
          .op = static_cast<uint8_t>(op),
          .flags = absent ? KeyStreamRecord::kAbsent : uint8_t{0},
          .reserved = 0};
}

Stream stream_of(std::vector<KeyStreamRecord> accesses) {
  return {.name = "test", .accesses = std::move(accesses), .keys = 1, .data_bytes = 1};
}

ReplaySetup setup_of(cache::Policy policy, uint64_t budget_bytes, double warm_up = 0) {
  return {
      .policy = {.policy = policy}, .budget_bytes = budget_bytes, .miss_rt = 2, .warm_up = warm_up};
}

constexpr uint64_t kRoomy = uint64_t{1} << 20;

TEST(Replay, CountsWhatReadsCost) {
  // Miss, hit; after a PUT a hit; after a DELETE a miss (nothing there); absent keys always miss.
  const Stream s =
      stream_of({record(1, StreamOp::kGet, 100), record(1, StreamOp::kGet, 100),
                 record(1, StreamOp::kPut, 50), record(1, StreamOp::kGet, 50),
                 record(1, StreamOp::kDelete, 0), record(1, StreamOp::kGet, 0, true),
                 record(2, StreamOp::kGet, 0, true), record(2, StreamOp::kGet, 0, true)});
  const ReplayResult r = replay(s, setup_of(cache::Policy::kDac, kRoomy));
  EXPECT_EQ(r.reads, 6u);
  EXPECT_DOUBLE_EQ(r.rts_per_read, (2 + 0 + 0 + 2 + 2 + 2) / 6.0);
  EXPECT_EQ(r.wrong, 0u);
  EXPECT_DOUBLE_EQ(replay(s, setup_of(cache::Policy::kNone, kRoomy)).rts_per_read, 2);
  const ReplayResult shortcuts = replay(s, setup_of(cache::Policy::kShortcutOnly, kRoomy));
  EXPECT_DOUBLE_EQ(shortcuts.rts_per_read, (2 + 1 + 1 + 2 + 2 + 2) / 6.0);
}

TEST(Replay, TheWarmUpIsNotCounted) {
  const Stream s = stream_of({record(1, StreamOp::kGet, 9), record(2, StreamOp::kGet, 9),
                              record(1, StreamOp::kGet, 9), record(2, StreamOp::kGet, 9)});
  const ReplayResult r = replay(s, setup_of(cache::Policy::kDac, kRoomy, 0.5));
  EXPECT_EQ(r.reads, 2u);
  EXPECT_DOUBLE_EQ(r.rts_per_read, 0);
  EXPECT_DOUBLE_EQ(r.value_hit_share, 1);
}

TEST(Replay, SaysThatThereIsTooLittleMemory) {
  const Stream s = stream_of({record(1, StreamOp::kGet, 9)});
  EXPECT_FALSE(replay(s, setup_of(cache::Policy::kDac, 1000)).created);
}

TEST(FixedContents, AreTheBestForABudget) {
  // Key 1 is read 6 times, key 2 twice, key 3 once; items of 160 bytes, slots of 13.5.
  std::vector<KeyStreamRecord> accesses;
  for (const uint64_t key : {1, 1, 1, 1, 1, 1, 2, 2, 3}) {
    accesses.push_back(record(key, StreamOp::kGet, 112));
  }
  const Stream s = stream_of(std::move(accesses));
  const auto cost = [&](double bytes) {
    return best_fixed_contents(s, setup_of(cache::Policy::kDac, static_cast<uint64_t>(bytes)));
  };
  EXPECT_DOUBLE_EQ(cost(0), 2);
  EXPECT_NEAR(cost(13.5), (6 * 1 + 2 * 2 + 2) / 9.0, 0.03);  // a shortcut of key 1
  EXPECT_NEAR(cost(40.5), 1, 0.03);                          // shortcuts of all
  EXPECT_NEAR(cost(40.5 + 160), (0 + 2 + 1) / 9.0, 0.03);    // and the value of key 1
  EXPECT_NEAR(cost(40.5 + 480), 0, 0.03);
}

TEST(Streams, AreAsTheySay) {
  const StreamSize size{.keys = 2000, .accesses_per_key = 10, .value_bytes = 100};
  for (const StreamKind& kind : stream_kinds()) {
    const Stream s = make_stream(kind.name, size);
    ASSERT_EQ(s.accesses.size(), 20'000u) << kind.name;
    EXPECT_LE(s.keys, 2000u);
    EXPECT_GT(s.keys, 500u) << kind.name;
    std::map<uint64_t, uint32_t> uses;
    uint64_t puts = 0;
    uint32_t largest = 0;
    for (const KeyStreamRecord& r : s.accesses) {
      ++uses[r.key_hash];
      puts += r.op == static_cast<uint8_t>(StreamOp::kPut) ? 1 : 0;
      largest = std::max(largest, r.value_bytes);
    }
    uint32_t most = 0;
    for (const auto& [hash, n] : uses) most = std::max(most, n);
    const std::string name = kind.name;
    if (name == "loop") EXPECT_EQ(most, 10u);
    if (name == "uniform") EXPECT_LT(most, 40u);
    if (name == "zipf-0.99") EXPECT_NEAR(most, 20'000 / 8.2, 400);
    if (name == "zipf-1.2") EXPECT_GT(most, 4000u);
    if (name == "shifting") EXPECT_LT(most, 1200u);  // no key is the hottest for long
    if (name == "updates") EXPECT_NEAR(static_cast<double>(puts), 10'000, 500);
    if (name != "updates") EXPECT_EQ(puts, 0u);
    if (name == "mixed-sizes") {
      EXPECT_GT(largest, 50'000u);
      EXPECT_LE(largest, 61'440u);
      EXPECT_NEAR(static_cast<double>(s.data_bytes) / static_cast<double>(s.keys), 5600, 1200);
    }
  }
  EXPECT_EQ(make_stream("scans", size).accesses[777].key_hash,
            make_stream("scans", size).accesses[777].key_hash);
  EXPECT_THROW(make_stream("nonsense", size), std::invalid_argument);
}

TEST(Violations, AreNoticed) {
  Point p;
  p.divisor = 4;
  p.budget_bytes = 1000;
  for (ReplayResult* r : {&p.dac, &p.none, &p.value_only, &p.shortcut_only}) {
    r->created = true;
    r->rts_per_read = 1;
    r->held_most_bytes = 1000;
  }
  p.splits.push_back({.fraction = 0.5, .result = p.dac});
  Curve curve{.stream = "s", .points = {p}};
  EXPECT_TRUE(violations(curve, 1.05).empty());
  curve.points[0].dac.rts_per_read = 1.06;
  EXPECT_EQ(violations(curve, 1.05).size(), 1u);
  curve.points[0] = p;
  curve.points[0].value_only.rts_per_read = 0.9;
  EXPECT_EQ(violations(curve, 1.05).size(), 1u);
  curve.points[0] = p;
  curve.points[0].splits[0].result.rts_per_read = 0.9;
  EXPECT_EQ(violations(curve, 1.05).size(), 1u);
  curve.points[0] = p;
  curve.points[0].dac.held_most_bytes = 1001;
  EXPECT_EQ(violations(curve, 1.05).size(), 1u);
  curve.points[0] = p;
  curve.points[0].dac.wrong = 1;
  EXPECT_EQ(violations(curve, 1.05).size(), 1u);
  curve.points[0].dac.created = false;
  EXPECT_EQ(violations(curve, 1.05).size(), 1u);
}

class Bound : public ::testing::TestWithParam<const char*> {};

TEST_P(Bound, DacIsWithinFivePercentOfTheBestBaseline) {
  if (kSanitized) GTEST_SKIP() << "a matter of policy, not of memory; runs without sanitizers";
  const Stream s = make_stream(GetParam(), {.keys = 20'000, .accesses_per_key = 12});
  const Curve curve = run_grid(s, {.divisors = {16, 4, 1}, .splits = 5});
  for (const std::string& line : violations(curve, 1.05)) ADD_FAILURE() << line;
  ASSERT_EQ(curve.points.size(), 3u);
  std::fputs(table(curve).c_str(), stdout);
}

INSTANTIATE_TEST_SUITE_P(Streams, Bound,
                         ::testing::Values("uniform", "zipf-0.99", "zipf-1.2", "shifting", "scans",
                                           "loop"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::erase_if(name, [](char c) { return c == '-' || c == '.'; });
                           return name;
                         });

TEST(Grid, IsTheSameWithMoreThreads) {
  const Stream s = make_stream("zipf-0.8", {.keys = 3000, .accesses_per_key = 6});
  const Curve one = run_grid(s, {.divisors = {4, 1}, .splits = 2, .threads = 1});
  const Curve three = run_grid(s, {.divisors = {4, 1}, .splits = 2, .threads = 3});
  EXPECT_EQ(to_json(one), to_json(three));
}

}  // namespace
}  // namespace dinomo::lab
