// SPDX-License-Identifier: BSD-3-Clause
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "client/random.h"
#include "test/unit/sim/history_fixture.h"

namespace dinomo::test {

namespace {

using sim::kNever;
using sim::Verdict;
using wire::Opcode;
using wire::Status;

TEST(Checker, AnEmptyHistoryIsLinearizable) { EXPECT_TRUE(HistoryBuilder().good()); }

TEST(Checker, ReadsSeeTheLastWrite) {
  HistoryBuilder h;
  h.absent(0, 1);
  h.put(2, 3, "a");
  h.get(4, 5, "a");
  h.put(6, 7, "b");
  h.get(8, 9, "b");
  EXPECT_TRUE(h.good());
}

TEST(Checker, AStaleReadIsFound) {
  HistoryBuilder h;
  h.put(0, 1, "a");
  h.put(2, 3, "b");
  h.get(4, 5, "a");
  const sim::CheckReport r = h.check();
  EXPECT_EQ(r.verdict, Verdict::kNotLinearizable);
  EXPECT_EQ(r.key, "k");
  EXPECT_NE(r.explanation.find("GET k [4..5 ns] OK result=a"), std::string::npos) << r.explanation;
}

TEST(Checker, AConcurrentReadMaySeeEitherValue) {
  for (const char* seen : {"a", "b"}) {
    HistoryBuilder h;
    h.put(0, 1, "a");
    h.put(2, 10, "b");
    h.get(3, 4, seen);
    EXPECT_TRUE(h.good()) << seen;
  }
}

TEST(Checker, TwoConcurrentReadsMustNotGoBack) {
  HistoryBuilder h;
  h.put(0, 1, "a");
  h.put(2, 10, "b");
  h.get(3, 4, "b");
  h.get(5, 6, "a");
  EXPECT_TRUE(h.bad());
}

TEST(Checker, AnUnansweredWriteMayHaveHappenedAtAnyLaterTimeOrNever) {
  HistoryBuilder h;
  h.put(0, 1, "a");
  h.put(2, kNever, "b");
  h.get(100, 101, "a");
  EXPECT_TRUE(h.good());
  h.get(200, 201, "b");
  EXPECT_TRUE(h.good());
  h.get(300, 301, "a");  // it happened once: no way back
  EXPECT_TRUE(h.bad());
}

TEST(Checker, AnUnansweredWriteDoesNotHappenBeforeItBegan) {
  HistoryBuilder h;
  h.get(0, 1, "b");
  h.put(2, kNever, "b");
  EXPECT_TRUE(h.bad());
}

TEST(Checker, AnInternalErrorLeavesTheOutcomeOpen) {
  HistoryBuilder h;
  h.put(0, 1, "a");
  h.put(2, 3, "b").status = Status::kInternal;
  h.get(4, 5, "b");
  EXPECT_TRUE(h.good());
}

TEST(Checker, ARefusedWriteHasNoEffect) {
  HistoryBuilder h;
  h.put(0, 1, "a");
  h.put(2, 3, "b").status = Status::kBusy;
  h.get(4, 5, "b");
  EXPECT_TRUE(h.bad());
}

TEST(Checker, ALostWriteIsFound) {
  HistoryBuilder h;
  h.put(0, 1, "a");
  h.absent(2, 3);
  EXPECT_TRUE(h.bad());
}

TEST(Checker, ADeletedKeyStaysDeleted) {
  HistoryBuilder h;
  h.put(0, 1, "a");
  h.erase(2, 3);
  h.absent(4, 5);
  EXPECT_TRUE(h.good());
  h.get(6, 7, "a");
  EXPECT_TRUE(h.bad());
}

TEST(Checker, DeleteKnowsWhetherTheKeyWasThere) {
  HistoryBuilder present;
  present.put(0, 1, "a");
  present.erase(2, 3, Status::kNotFound);
  EXPECT_TRUE(present.bad());
  HistoryBuilder gone;
  gone.erase(2, 3, Status::kOk);
  EXPECT_TRUE(gone.bad());
}

TEST(Checker, EveryIncrementCountsOnce) {
  HistoryBuilder once;
  once.incr(0, 5, 1, "0");
  once.incr(6, 10, 1, "2");
  EXPECT_TRUE(once.bad());  // the second was carried out twice
  HistoryBuilder together;
  together.incr(0, 1, 1, "0");
  together.incr(2, 9, 1, "2");
  together.incr(2, 9, 1, "1");
  together.get(10, 11, "2");
  EXPECT_TRUE(together.good());
  together.incr(12, kNever, 1, "");
  together.get(13, 14, "4");  // one increment without reply adds one, not two
  EXPECT_TRUE(together.bad());
}

TEST(Checker, DecrementStopsAtZeroAndIncrementWraps) {
  HistoryBuilder h;
  h.put(0, 1, "3");
  auto& down = h.add(Opcode::kDecr, 2, 3);
  down.delta = 5;
  down.result = "0";
  h.put(4, 5, "18446744073709551615");
  h.incr(6, 7, 2, "1");
  EXPECT_TRUE(h.good());
  h.put(8, 9, "x1");
  h.add(Opcode::kIncr, 10, 11, Status::kNotNumber).delta = 1;
  EXPECT_TRUE(h.good());
  h.put(12, 13, "7");
  h.add(Opcode::kIncr, 14, 15, Status::kNotNumber).delta = 1;
  EXPECT_TRUE(h.bad());
}

TEST(Checker, AddAndReplaceKnowWhetherTheKeyIsThere) {
  HistoryBuilder h;
  h.add(Opcode::kReplace, 0, 1, Status::kNotStored).value = "r";
  h.add(Opcode::kAdd, 2, 3).value = "a";
  h.add(Opcode::kAdd, 4, 5, Status::kExists).value = "b";
  h.add(Opcode::kReplace, 6, 7).value = "c";
  h.get(8, 9, "c");
  EXPECT_TRUE(h.good());
  HistoryBuilder twice;
  twice.add(Opcode::kAdd, 0, 9).value = "a";
  twice.add(Opcode::kAdd, 0, 9).value = "b";
  EXPECT_TRUE(twice.bad());  // only one of them can have added it
}

TEST(Checker, AppendAndPrependAreOrdered) {
  HistoryBuilder h;
  h.add(Opcode::kAppend, 0, 1, Status::kNotStored).value = "x";
  h.put(2, 3, "b");
  h.add(Opcode::kAppend, 4, 9).value = "c";
  h.add(Opcode::kPrepend, 4, 9).value = "a";
  h.get(10, 11, "abc");
  EXPECT_TRUE(h.good());
  h.add(Opcode::kAppend, 12, 13).value = "d";
  h.get(14, 15, "abcdd");
  EXPECT_TRUE(h.bad());
}

TEST(Checker, CasComparesVersions) {
  HistoryBuilder h;
  h.put(0, 1, "a").version = 7;
  auto& stale = h.add(Opcode::kCas, 2, 3, Status::kExists);
  stale.expected_version = 6;
  auto& fresh = h.add(Opcode::kCas, 4, 5);
  fresh.expected_version = 7;
  fresh.value = "b";
  fresh.version = 8;
  h.get(6, 7, "b");
  EXPECT_TRUE(h.good());
  auto& late = h.add(Opcode::kCas, 8, 9);
  late.expected_version = 7;
  late.value = "c";
  EXPECT_TRUE(h.bad());
}

TEST(Checker, OfTwoCasOfOneVersionOneFails) {
  HistoryBuilder h;
  h.put(0, 1, "a").version = 7;
  for (int i = 0; i < 2; ++i) {
    auto& cas = h.add(Opcode::kCas, 2, 9);
    cas.expected_version = 7;
    cas.value = "b";
    cas.version = 8 + static_cast<uint64_t>(i);
  }
  EXPECT_TRUE(h.bad());
}

TEST(Checker, ACasThatMatchedMustNotSayExists) {
  HistoryBuilder h;
  h.put(0, 1, "a").version = 7;
  h.add(Opcode::kCas, 2, 3, Status::kExists).expected_version = 7;
  EXPECT_TRUE(h.bad());
}

TEST(Checker, VersionsOfReadsAreThoseOfWrites) {
  HistoryBuilder h;
  h.put(0, 1, "a").version = 7;
  h.put(2, 3, "a").version = 8;
  auto& read = h.get(4, 5, "a");
  read.has_item = true;
  read.version = 8;
  EXPECT_TRUE(h.good());
  h.history.back().version = 7;
  EXPECT_TRUE(h.bad());
}

TEST(Checker, AnUnansweredWriteHasAVersionOfItsOwn) {
  HistoryBuilder h;
  h.put(0, 1, "a").version = 7;
  h.put(2, kNever, "b");
  auto& read = h.get(4, 5, "b");
  read.has_item = true;
  read.version = 7;  // that of "a"
  EXPECT_TRUE(h.bad());
  h.history.back().version = 9;
  EXPECT_TRUE(h.good());
}

TEST(Checker, ItemFlagsComeBack) {
  HistoryBuilder h;
  h.put(0, 1, "a").item_flags = 5;
  auto& read = h.get(2, 3, "a");
  read.has_item = true;
  read.result_flags = 5;
  EXPECT_TRUE(h.good());
  h.history.back().result_flags = 4;
  EXPECT_TRUE(h.bad());
}

TEST(Checker, AnItemExpiresInItsTime) {
  constexpr uint64_t kMs = 1'000'000;
  HistoryBuilder h;
  h.put(0, kMs, "a").ttl_ms = 10;
  h.absent(5 * kMs, 6 * kMs);
  EXPECT_TRUE(h.bad()) << "too early";
  h.history.back() = sim::Operation{};
  h.history.pop_back();
  h.absent(10 * kMs, 11 * kMs);
  EXPECT_TRUE(h.good());
  h.get(12 * kMs, 13 * kMs, "a");
  EXPECT_TRUE(h.bad()) << "it had expired";
  EXPECT_TRUE(h.good({.model = {.clock_skew_ns = 5 * kMs}, .configurations_max = 1000}));
  h.history.clear();
  h.put(0, kMs, "a").ttl_ms = 10;
  h.get(20 * kMs, 21 * kMs, "a");
  EXPECT_TRUE(h.bad()) << "too late";
}

TEST(Checker, TouchMovesTheExpiry) {
  constexpr uint64_t kMs = 1'000'000;
  HistoryBuilder h;
  h.add(Opcode::kTouch, 0, 1, Status::kNotFound).ttl_ms = 100;
  h.put(2, 3, "a").ttl_ms = 10;
  auto& gat = h.add(Opcode::kGetAndTouch, 4, 5);
  gat.ttl_ms = 100;
  gat.result = "a";
  h.get(50 * kMs, 51 * kMs, "a");
  EXPECT_TRUE(h.good());
  h.add(Opcode::kTouch, 60 * kMs, 61 * kMs).ttl_ms = 0;
  h.get(5000 * kMs, 5001 * kMs, "a");
  EXPECT_TRUE(h.good());
  h.absent(6000 * kMs, 6001 * kMs);
  EXPECT_TRUE(h.bad());
}

TEST(Checker, KeysAreJudgedAlone) {
  HistoryBuilder h;
  h.put(0, 1, "a");
  h.key = "other";
  h.put(0, 1, "b");
  h.get(2, 3, "b");
  h.key = "k";
  h.get(2, 3, "a");
  EXPECT_TRUE(h.good());
  EXPECT_EQ(h.check().keys, 2u);
  h.get(4, 5, "b");
  EXPECT_EQ(h.check().key, "k");
}

TEST(Checker, ManyWritesWithoutReplyStayCheap) {
  HistoryBuilder h;
  for (uint64_t i = 0; i < 200; ++i) {
    h.put(i * 10, kNever, "lost" + std::to_string(i));
    h.incr(i * 10, kNever, 1, "");
    h.put(i * 10 + 1, i * 10 + 5, "v" + std::to_string(i));
    h.get(i * 10 + 6, i * 10 + 7, "v" + std::to_string(i));
  }
  const sim::CheckReport r = h.check();
  EXPECT_EQ(r.verdict, Verdict::kLinearizable);
  EXPECT_EQ(r.unanswered, 400u);
  EXPECT_LT(r.configurations_max, 2000u);
}

TEST(Checker, WhatCannotBeDecidedIsSaid) {
  HistoryBuilder h;
  h.put(0, 1, "");
  for (int i = 0; i < 12; ++i)
    h.add(Opcode::kAppend, 2, 100).value = std::string(static_cast<size_t>(i) + 1, 'a');
  const sim::CheckReport r = h.check({.model = {}, .configurations_max = 1000});
  EXPECT_EQ(r.verdict, Verdict::kUndecided);
  EXPECT_FALSE(r.explanation.empty());
}

/// Serves a random load in a chosen order and tells the history; the seed decides everything.
sim::History random_history(uint64_t seed, uint64_t operations, bool corrupt) {
  client::Random random(seed);
  HistoryBuilder h;
  std::map<std::string, std::string> store;
  uint64_t version = 1;
  for (uint64_t i = 0; i < operations; ++i) {
    const uint64_t at = 100 * i + 300;  // takes effect here; up to six overlap
    const uint64_t from = at - random.below(300);
    const uint64_t to = random.below(20) == 0 ? kNever : at + random.below(300);
    h.key = "k" + std::to_string(random.below(3));
    const auto item = store.find(h.key);
    const bool there = item != store.end();
    switch (random.below(5)) {
      case 0:
      case 1:
        if (!there) {
          h.absent(from, to);
        } else {
          h.get(from, to, item->second);
        }
        break;
      case 2:
        h.erase(from, to, there ? Status::kOk : Status::kNotFound);
        store.erase(h.key);
        break;
      default:
        h.put(from, to, "v" + std::to_string(i)).version = version++;
        store[h.key] = "v" + std::to_string(i);
        break;
    }
  }
  if (corrupt) {  // the last read that saw something answers with a value long gone
    const auto read = std::ranges::find_if(h.history.rbegin(), h.history.rend(), [](const auto& o) {
      return o.opcode == Opcode::kGet && o.answered() && !o.result.empty();
    });
    read->result = "v1-never-written";
  }
  return h.history;
}

TEST(Checker, RandomSerialHistoriesPassAndCorruptedOnesFail) {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    EXPECT_EQ(sim::check_linearizable(random_history(seed, 60, false)).verdict,
              Verdict::kLinearizable)
        << seed;
    EXPECT_EQ(sim::check_linearizable(random_history(seed, 60, true)).verdict,
              Verdict::kNotLinearizable)
        << seed;
  }
}

TEST(Checker, LongHistoriesTakeLinearTime) {
  // 100,000 operations on three keys; quadratic time would be minutes, the test's limit.
  const sim::CheckReport r = sim::check_linearizable(random_history(7, 100'000, false));
  EXPECT_EQ(r.verdict, Verdict::kLinearizable);
  EXPECT_EQ(r.keys, 3u);
  EXPECT_GT(r.operations, 90'000u);
}

}  // namespace

}  // namespace dinomo::test
