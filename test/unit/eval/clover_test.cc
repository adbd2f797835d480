// SPDX-License-Identifier: BSD-3-Clause
// Clover against the costs that were read in its source, and what it promises: histories are
// linearizable, however short of buffers it is and however many KNs want one key.
#include "app/dinomo-eval/clover/cluster.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>

#include "app/dinomo-eval/load.h"
#include "sim/checker.h"
#include "world/environment.h"

namespace dinomo::eval::clover {
namespace {

constexpr uint64_t kMs = 1'000'000;

ClusterConfig small(const Variant& variant, uint32_t kns, uint64_t keys, uint64_t buffers) {
  ClusterConfig c;
  c.variant = variant;
  c.kns = kns;
  c.keys = keys;
  c.buffers = buffers;
  c.kn = {.get_ns = 500, .put_ns = 600, .verb_ns = 30, .idle_sleep_ns = 60'000};
  c.ms = {.query_ns = 300,
          .alloc_ns = 300,
          .gc_entry_ns = 1000,
          .call_ns = 50,
          .recycle_ns = 100,
          .gc_sleep_ns = 4000};
  return c;
}

/// Operations by hand, one at a time.
struct Script final : Source {
  bool next(Operation* o) override {
    if (ahead.empty()) return false;
    *o = ahead.front();
    ahead.pop_front();
    return true;
  }
  void done(const Operation& o) override { ended.push_back(o); }

  std::deque<Operation> ahead;
  std::vector<Operation> ended;
};

class CloverCosts : public testing::Test {
 protected:
  CloverCosts() : cluster_(&environment_.loop, small(kPublished, 2, 4, 200)) {
    // Which of the two KNs has loaded key 0?
    owner_ = run(0, {.key = 0}).calls == 0 ? 0 : 1;
    other_ = 1 - owner_;
    if (owner_ == 1) run(1, {.key = 0});
  }

  /// `settle`: until shortcuts and MS know of everything.
  Operation run(uint32_t kn, const Operation& o, bool settle = true) {
    Script script;
    script.ahead.push_back(o);
    Step step = drive(session(kn), &script);
    step.start();
    while (script.ended.empty() && environment_.loop.step(1'000 * kMs)) {
    }
    if (settle) environment_.loop.run_until(environment_.loop.now_ns() + kMs);
    EXPECT_EQ(script.ended.size(), 1u);
    return script.ended.at(0);
  }
  Session* session(uint32_t kn) { return cluster_.kns()[kn]->sessions()[0].get(); }
  uint64_t verbs(uint32_t kn) {
    uint64_t all = 0;
    for (const auto& p : cluster_.kns()[kn]->verbs(0).by_purpose) all += p.verbs;
    return all;
  }
  uint64_t bytes(uint32_t kn) {
    uint64_t all = 0;
    for (const auto& p : cluster_.kns()[kn]->verbs(0).by_purpose) all += p.bytes;
    return all;
  }

  world::Environment environment_{1};
  Cluster cluster_;
  uint32_t owner_ = 0;
  uint32_t other_ = 1;
};

TEST_F(CloverCosts, AFreshGetIsOneRoundTripOfTwoReads) {
  const uint64_t verbs_before = verbs(owner_);
  const uint64_t bytes_before = bytes(owner_);
  const Operation o = run(owner_, {.key = 0});
  EXPECT_EQ(o.status, Status::kOk);
  EXPECT_EQ(o.answer, Answer::kFresh);
  EXPECT_EQ(o.round_trips, 1u);
  EXPECT_EQ(o.calls, 0u);
  EXPECT_EQ(verbs(owner_) - verbs_before, 2u);
  EXPECT_EQ(bytes(owner_) - bytes_before, 1032u);
}

TEST_F(CloverCosts, AKeyThatSomebodyElseLoadedIsAskedForOnce) {
  uint64_t cold = 0;
  for (uint32_t kn : {0u, 1u}) {
    for (uint64_t key : {1u, 2u, 3u}) {
      const Operation first = run(kn, {.key = key});
      EXPECT_EQ(first.calls, first.answer == Answer::kCold ? 1u : 0u);
      EXPECT_EQ(first.round_trips, 1u);
      cold += first.calls;
      EXPECT_EQ(run(kn, {.key = key}).answer, Answer::kFresh);
    }
  }
  EXPECT_EQ(cold, 3u);  // each key by the KN that has not loaded it
}

TEST_F(CloverCosts, APutIsTwoRoundTripsAndACallForSixteenBuffers) {
  uint64_t calls = 0;
  for (uint64_t value = 1; value <= 32; ++value) {
    const uint64_t verbs_before = verbs(owner_);
    const Operation o = run(owner_, {.put = true, .key = 0, .value = value});
    EXPECT_EQ(o.status, Status::kOk);
    EXPECT_EQ(o.round_trips, 2u);
    EXPECT_EQ(verbs(owner_) - verbs_before, 2u);
    calls += o.calls;
  }
  EXPECT_EQ(calls, 2u);
  EXPECT_EQ(run(owner_, {.key = 0}).value, 32u);
  const MsCounters ms = cluster_.ms().counters();
  EXPECT_EQ(ms.gc_entries, 32u);
  EXPECT_EQ(ms.gc_calls, 32u);  // at this load nothing is there to be put together
}

TEST_F(CloverCosts, AStaleGetIsTwoRoundTripsAndThreeReads) {
  run(other_, {.key = 0});
  run(owner_, {.put = true, .key = 0, .value = 7});
  const uint64_t verbs_before = verbs(other_);
  const Operation stale = run(other_, {.key = 0});
  EXPECT_EQ(stale.answer, Answer::kStale);
  EXPECT_EQ(stale.value, 7u);
  EXPECT_EQ(stale.round_trips, 2u);
  EXPECT_EQ(verbs(other_) - verbs_before, 3u);
  EXPECT_EQ(run(other_, {.key = 0}).round_trips, 1u);
}

TEST_F(CloverCosts, EachVersionThatTheShortcutLagsBehindIsARoundTrip) {
  run(other_, {.key = 0});
  for (uint64_t value = 1; value <= 5; ++value) {
    run(owner_, {.put = true, .key = 0, .value = value}, false);
  }
  // Nothing of it has reached the shortcut: pointer and shortcut agree, and the walk is 5 long.
  const Operation stale = run(other_, {.key = 0}, false);
  EXPECT_EQ(stale.value, 5u);
  EXPECT_EQ(stale.round_trips, 6u);
}

TEST_F(CloverCosts, AStalePutFindsTheNewestVersionAndSwapsAgain) {
  run(other_, {.key = 0});
  run(owner_, {.put = true, .key = 0, .value = 7});
  const Operation o = run(other_, {.put = true, .key = 0, .value = 8});
  EXPECT_EQ(o.status, Status::kOk);
  // Write, swap in vain, header and shortcut, header of the newest, swap.
  EXPECT_EQ(o.round_trips, 5u);
  EXPECT_EQ(run(owner_, {.key = 0}).value, 8u);
}

/// Several KNs at few keys, with hardly a buffer to spare, so that pointers lead to buffers that
/// were used again. `judged`: by the checker, for which few operations may be under way at once.
void contend(Variant variant, uint64_t seed, bool judged) {
  constexpr uint64_t kKeys = 5;
  if (judged) variant.kn.threads = variant.kn.coroutines == 1 ? 2 : 1;
  if (judged) variant.kn.coroutines = std::min(variant.kn.coroutines, 2u);
  const uint32_t kns = 3;
  const uint64_t buffers = 1 + kKeys + kns * variant.kn.threads * 40;
  world::Environment environment(seed);
  Cluster cluster(&environment.loop, small(variant, kns, kKeys, buffers));
  sim::History history;
  for (uint64_t key = 0; key < kKeys; ++key) {
    sim::Operation loaded;
    loaded.opcode = wire::Opcode::kPut;
    loaded.key = "key" + std::to_string(key);
    loaded.value = "0";
    loaded.return_ns = 0;
    history.push_back(loaded);
  }
  Load load(&environment.loop, {.keys = kKeys,
                                .zipf = 0.5,
                                .read_percent = 50,
                                .counted = 20'000,
                                .seed = seed,
                                .history = &history});
  std::vector<Step> clients;
  for (const auto& kn : cluster.kns()) {
    for (const auto& s : kn->sessions()) clients.push_back(drive(s.get(), &load));
  }
  for (Step& c : clients) c.start();
  while (!load.finished()) ASSERT_TRUE(environment.loop.step(10'000 * kMs));
  EXPECT_EQ(load.failed(), 0u) << status_name(load.first_failure());
  environment.loop.run_until(environment.loop.now_ns() + 100 * kMs);

  if (judged) {
    const sim::CheckReport report = sim::check_linearizable(history);
    EXPECT_EQ(report.verdict, sim::Verdict::kLinearizable) << report.explanation;
    EXPECT_EQ(report.operations, 20'000 + kKeys);
  }

  // The MS has heard of everything, and every buffer is somewhere.
  const MsCounters ms = cluster.ms().counters();
  EXPECT_GT(ms.recycled, buffers);
  EXPECT_GT(ms.parked, 0u);
  EXPECT_EQ(ms.gc_entries, load.counted().answered(Answer::kPut));
  uint64_t found = kKeys + cluster.ms().free_buffers();
  for (const auto& kn : cluster.kns()) found += kn->free_buffers() + kn->gc_backlog();
  EXPECT_EQ(found, buffers - 1);
  for (uint64_t key = 0; key < kKeys; ++key) {
    const Pointer newest = cluster.ms().current(key);
    const std::byte* at = cluster.memory().data() + cluster.layout().buffer(newest.buffer());
    const auto buffer = dinomo::load<Buffer>(at);
    EXPECT_EQ(buffer.key, key);
    EXPECT_TRUE(buffer.header.tail());
    EXPECT_EQ(buffer.header.entry_version(), newest.version());
  }
}

TEST(Clover, HistoriesAreLinearizableAndNothingLeaks) {
  for (uint64_t seed = 1; seed <= 4; ++seed) contend(kPublished, seed, true);
}

TEST(Clover, HistoriesOfUpstreamAreLinearizableAndNothingLeaks) {
  for (uint64_t seed = 1; seed <= 4; ++seed) contend(kUpstream, seed, true);
}

TEST(Clover, NothingLeaksWhereMoreContendThanCanBeJudged) {
  contend(kPublished, 5, false);
  contend(kUpstream, 5, false);
}

}  // namespace
}  // namespace dinomo::eval::clover
