// SPDX-License-Identifier: BSD-3-Clause
// Every operation through the engine, on an item wherever it may be: value or shortcut in the
// cache, not yet merged, only in the index, expired, absent.
#include <gtest/gtest.h>

#include <array>
#include <map>
#include <set>

#include "test/support/engine_world.h"

namespace dinomo::kn {
namespace {

using test::EngineOptions;
using test::EngineReply;
using test::EngineWorld;
using wire::Opcode;
using wire::Status;

enum class Place { kValue, kShortcut, kUnmerged, kIndex, kExpired, kExpiredShortcut, kAbsent };
constexpr const char* kPlaceNames[] = {"Value",   "Shortcut",        "Unmerged", "Index",
                                       "Expired", "ExpiredShortcut", "Absent"};

struct Case {
  Opcode opcode;
  std::string value;  // of the request
  std::vector<std::byte> extras = {};
  Status if_present = Status::kOk;
  Status if_absent = Status::kOk;
  std::string stored = {};       // what an item that held "41" holds afterwards; "" with a status
  std::string made = {};         // what an absent one holds afterwards, "" nothing
  std::string result = {};       // value of the reply if it was present
  std::string result_made = {};  // and if it was made
};

template <class T>
std::vector<std::byte> bytes_of(const T& object) {
  const Bytes b = object_bytes(object);
  return {b.begin(), b.end()};
}

std::vector<Case> cases() {
  const auto put = bytes_of(wire::PutExtras{0, 8, 0});
  const auto add_two = bytes_of(wire::CounterExtras{2, 7, 0, 0, 0});
  const auto add_or_make = bytes_of(wire::CounterExtras{2, 7, 0, 1, 0});
  const auto much = bytes_of(wire::CounterExtras{100, 7, 0, 0, 0});
  const auto touch = bytes_of(wire::TouchExtras{100'000});
  const auto stale = bytes_of(wire::CasExtras{12345, {}});
  return {
      {Opcode::kPut, "n", put, Status::kOk, Status::kOk, "n", "n"},
      {Opcode::kDelete, "", {}, Status::kOk, Status::kNotFound},
      {Opcode::kAdd, "n", put, Status::kExists, Status::kOk, "41", "n"},
      {Opcode::kReplace, "n", put, Status::kOk, Status::kNotStored, "n"},
      {Opcode::kCas, "n", stale, Status::kExists, Status::kNotFound, "41"},
      {Opcode::kAppend, "n", {}, Status::kOk, Status::kNotStored, "41n"},
      {Opcode::kPrepend, "n", {}, Status::kOk, Status::kNotStored, "n41"},
      {Opcode::kIncr, "", add_two, Status::kOk, Status::kNotFound, "43", "", "43"},
      {Opcode::kIncr, "", add_or_make, Status::kOk, Status::kOk, "43", "7", "43", "7"},
      {Opcode::kDecr, "", add_two, Status::kOk, Status::kNotFound, "39", "", "39"},
      {Opcode::kDecr, "", much, Status::kOk, Status::kNotFound, "0", "", "0"},
      {Opcode::kTouch, "", touch, Status::kOk, Status::kNotFound, "41"},
      {Opcode::kGetAndTouch, "", touch, Status::kOk, Status::kNotFound, "41", "", "41"},
  };
}

EngineOptions options_for(Place place) {
  EngineOptions o;
  const bool shortcut = place == Place::kShortcut || place == Place::kExpiredShortcut;
  const bool value = place == Place::kValue || place == Place::kExpired;
  o.worker.cache.policy = value      ? cache::Policy::kDac
                          : shortcut ? cache::Policy::kShortcutOnly
                                     : cache::Policy::kNone;
  return o;
}

class Everywhere : public testing::TestWithParam<Place> {
 protected:
  Everywhere() : place(GetParam()), world(options_for(place)) {
    world.wait_serving();
    world.hello();
  }
  bool present() const { return place <= Place::kIndex; }
  const WorkerStats& stats() { return world.worker().stats(); }

  void prepare(const std::string& key) {
    if (place == Place::kAbsent) return;
    const bool expires = place == Place::kExpired || place == Place::kExpiredShortcut;
    const wire::PutExtras extras{expires ? 1000u : 0u, 5, 0};
    const EngineReply put = world.call(Opcode::kPut, key, "41", 0, object_bytes(extras));
    ASSERT_EQ(put.status, Status::kOk);
  }
  void bring_to_place() {
    if (place == Place::kUnmerged) {
      world.hold_service = true;
      return;
    }
    ASSERT_TRUE(world.turn_until(
        [&] {
          world.turns(2000);
          return stats().unmerged_entries.get() == 0;
        },
        100));
    if (place != Place::kExpired && place != Place::kExpiredShortcut) return;
    world.clock.now += uint64_t{2000} * 1'000'000;
    world.wait_serving();
  }

  Place place;
  EngineWorld world;
};

TEST_P(Everywhere, EveryOperationDecidesRightly) {
  const std::vector<Case> all = cases();
  if (place == Place::kUnmerged) world.put("first", "x");  // brings a segment
  for (size_t i = 0; i < all.size(); ++i) prepare("key" + std::to_string(i));
  bring_to_place();
  const std::array before{stats().shortcut_hits.get(), stats().unmerged_hits.get(),
                          stats().misses.get()};
  uint64_t conditional = 0;
  for (size_t i = 0; i < all.size(); ++i) {
    const Case& c = all[i];
    const std::string key = "key" + std::to_string(i);
    SCOPED_TRACE(std::string(wire::opcode_name(c.opcode)) + " " + std::to_string(i));
    conditional += c.opcode != Opcode::kPut ? 1 : 0;
    const EngineReply r = world.call(c.opcode, key, c.value, 0, c.extras);
    EXPECT_EQ(r.status, present() ? c.if_present : c.if_absent);
    EXPECT_EQ(r.value, present() ? c.result : c.result_made);
    const bool changed = r.status == Status::kOk;
    EXPECT_EQ(r.version != 0 || r.item.version != 0, changed);
  }
  const std::array after{stats().shortcut_hits.get(), stats().unmerged_hits.get(),
                         stats().misses.get()};
  const bool by_shortcut = place == Place::kShortcut || place == Place::kExpiredShortcut;
  EXPECT_EQ(after[0] - before[0], by_shortcut ? conditional : 0);
  EXPECT_EQ(after[1] - before[1], place == Place::kUnmerged ? conditional : 0);
  EXPECT_EQ(after[2] - before[2], place == Place::kIndex ? conditional : 0);
  for (size_t i = 0; i < all.size(); ++i) {
    const Case& c = all[i];
    SCOPED_TRACE(std::string(wire::opcode_name(c.opcode)) + " " + std::to_string(i));
    const EngineReply got =
        world.call(Opcode::kGet, "key" + std::to_string(i), "", wire::kWantItem);
    const std::string expected = present() ? c.stored : c.made;
    ASSERT_EQ(got.status, expected.empty() ? Status::kNotFound : Status::kOk);
    EXPECT_EQ(got.value, expected);
    if (expected.empty()) continue;
    const bool stores_flags = c.value == "n" && got.value == "n";
    const uint32_t kept = present() ? 5 : 0;
    EXPECT_EQ(got.item.item_flags, stores_flags ? 8u : kept);
    const bool touched = c.opcode == Opcode::kTouch || c.opcode == Opcode::kGetAndTouch;
    EXPECT_EQ(got.item.expiry_ms != 0, touched);
  }
  world.turns(10);
  EXPECT_EQ(world.network.held(), 0u);
}

class WhereItIs : public Everywhere {};

TEST_P(WhereItIs, CasStoresIfTheVersionIsTheItems) {
  if (place == Place::kUnmerged) world.put("first", "x");
  prepare("k");
  bring_to_place();
  const EngineReply seen = world.call(Opcode::kGet, "k", "", wire::kWantItem);
  const wire::CasExtras right{seen.item.version, {0, 6, 0}};
  const EngineReply first = world.call(Opcode::kCas, "k", "mine", 0, object_bytes(right));
  EXPECT_EQ(first.status, Status::kOk);
  EXPECT_NE(first.version, seen.item.version);
  EXPECT_EQ(world.call(Opcode::kCas, "k", "theirs", 0, object_bytes(right)).status,
            Status::kExists);
  EXPECT_EQ(world.get("k").value, "mine");
}

TEST_P(WhereItIs, NoNumberIsToldAndKept) {
  world.put("k", "forty");
  bring_to_place();
  const wire::CounterExtras extras{1, 0, 0, 1, 0};
  EXPECT_EQ(world.call(Opcode::kIncr, "k", "", 0, object_bytes(extras)).status, Status::kNotNumber);
  EXPECT_EQ(world.get("k").value, "forty");
}

std::string place_name(const testing::TestParamInfo<Place>& info) {
  return kPlaceNames[static_cast<size_t>(info.param)];
}

INSTANTIATE_TEST_SUITE_P(Places, Everywhere,
                         testing::Values(Place::kValue, Place::kShortcut, Place::kUnmerged,
                                         Place::kIndex, Place::kExpired, Place::kExpiredShortcut,
                                         Place::kAbsent),
                         place_name);
INSTANTIATE_TEST_SUITE_P(Places, WhereItIs,
                         testing::Values(Place::kValue, Place::kShortcut, Place::kUnmerged,
                                         Place::kIndex),
                         place_name);

class OperationsTest : public testing::Test {
 protected:
  explicit OperationsTest(const EngineOptions& options = {}) : world(options) {}
  void SetUp() override {
    world.wait_serving();
    world.hello();
  }
  std::map<uint64_t, EngineReply> collect(size_t count) {
    std::map<uint64_t, EngineReply> all;
    world.turn_until([&] {
      for (const EngineReply& r : world.replies()) all[r.sequence] = r;
      return all.size() == count;
    });
    return all;
  }
  uint64_t send_incr(const std::string& key, uint64_t delta = 1) {
    const wire::CounterExtras extras{delta, 1, 0, 1, 0};
    return world.send(Opcode::kIncr, key, "", 0, object_bytes(extras));
  }
  EngineReply again(Opcode opcode, const std::string& key, const std::string& value, Bytes extras) {
    --world.next_sequence;
    return world.call(opcode, key, value, 0, extras);
  }
  EngineWorld world;
};

TEST_F(OperationsTest, ManyCountsOfOneKeyAreAllCounted) {
  for (int i = 0; i < 200; ++i) send_incr("n");
  std::set<std::string> numbers;
  for (const auto& [sequence, r] : collect(200)) {
    EXPECT_EQ(r.status, Status::kOk);
    EXPECT_TRUE(numbers.insert(r.value).second) << r.value << " was given twice";
  }
  EXPECT_EQ(world.get("n").value, "200");
  world.turns(5);
  EXPECT_EQ(world.network.held(), 0u);
}

TEST_F(OperationsTest, OneOfManyAddsWins) {
  std::set<uint64_t> sequences;
  for (int i = 0; i < 40; ++i) sequences.insert(world.send(Opcode::kAdd, "k", std::to_string(i)));
  uint64_t winner = 0;
  for (const auto& [sequence, r] : collect(40)) {
    if (r.status == Status::kOk) {
      EXPECT_EQ(winner, 0u);
      winner = sequence;
    } else {
      EXPECT_EQ(r.status, Status::kExists);
    }
  }
  EXPECT_EQ(world.get("k").value, std::to_string(winner - *sequences.begin()));
}

TEST_F(OperationsTest, AWriteBeforeIsSeenAndAWriteBehindWaits) {
  world.put("k", "x");
  world.send(Opcode::kPut, "k", "first");
  const uint64_t append = world.send(Opcode::kAppend, "k", "+");
  const uint64_t put = world.send(Opcode::kPut, "k", "last");
  const auto all = collect(3);
  EXPECT_EQ(all.at(append).status, Status::kOk);
  EXPECT_GT(all.at(put).version, all.at(append).version);
  EXPECT_EQ(world.get("k").value, "last");
}

TEST_F(OperationsTest, ManyKeysAtOnceAreMoreThanCanBeHeld) {
  for (int i = 0; i < 600; ++i) send_incr("n" + std::to_string(i));
  const auto all = collect(600);
  ASSERT_EQ(all.size(), 600u);
  for (const auto& [sequence, r] : all) {
    if (r.status != Status::kOk) {
      EXPECT_EQ(r.status, Status::kBusy);
    }
  }
  world.turns(5);
  EXPECT_EQ(world.network.held(), 0u);
}

TEST_F(OperationsTest, ARetryGetsTheFirstOutcome) {
  const wire::CounterExtras add{5, 1, 0, 1, 0};
  const EngineReply made = world.call(Opcode::kIncr, "n", "", 0, object_bytes(add));
  EXPECT_EQ(made.value, "1");
  const EngineReply first = world.call(Opcode::kIncr, "n", "", 0, object_bytes(add));
  const EngineReply second = again(Opcode::kIncr, "n", "", object_bytes(add));
  EXPECT_EQ(second.status, Status::kOk);
  EXPECT_EQ(second.value, "6");
  EXPECT_EQ(second.version, first.version);
  EXPECT_EQ(world.get("n").value, "6");
  // What failed stays failed, though it would succeed now.
  EXPECT_EQ(world.call(Opcode::kAdd, "n", "x").status, Status::kExists);
  const uint64_t add_sequence = world.next_sequence - 1;
  world.remove("n");
  world.next_sequence = add_sequence + 1;
  EXPECT_EQ(again(Opcode::kAdd, "n", "x", {}).status, Status::kExists);
  world.next_sequence += 10;
  EXPECT_EQ(world.get("n").status, Status::kNotFound);
}

TEST_F(OperationsTest, AGetAndTouchIsAnsweredAgainAsLongAsItsValueIsThere) {
  const wire::TouchExtras touch{60'000};
  world.put("k", "value");
  const EngineReply first = world.call(Opcode::kGetAndTouch, "k", "", 0, object_bytes(touch));
  EXPECT_EQ(first.value, "value");
  const EngineReply second = again(Opcode::kGetAndTouch, "k", "", object_bytes(touch));
  EXPECT_EQ(second.value, "value");
  EXPECT_EQ(second.item.version, first.item.version);
  EXPECT_EQ(second.item.expiry_ms, first.item.expiry_ms);
  world.put("k", "other");
  --world.next_sequence;
  EXPECT_EQ(again(Opcode::kGetAndTouch, "k", "", object_bytes(touch)).status, Status::kTooOld);
}

TEST_F(OperationsTest, ASequenceThatLeftTheWindowIsForgottenAndNotRun) {
  world.put("k", "v");
  const uint64_t old = world.next_sequence - 1;
  world.next_sequence = old + EngineOptions{}.worker.session_window;
  world.put("k", "w");
  world.next_sequence = old;
  EXPECT_EQ(world.put("k", "v").status, Status::kTooOld);
  world.next_sequence = 10'000;
  EXPECT_EQ(world.get("k").value, "w");
}

TEST_F(OperationsTest, AnExpiredItemIsAbsentForGetAndMayBeAdded) {
  const wire::PutExtras soon{1000, 0, 0};
  world.call(Opcode::kPut, "k", "old", 0, object_bytes(soon));
  EXPECT_EQ(world.call(Opcode::kAdd, "k", "new").status, Status::kExists);
  world.clock.now += uint64_t{1100} * 1'000'000;
  world.wait_serving();
  EXPECT_EQ(world.get("k").status, Status::kNotFound);
  EXPECT_EQ(world.call(Opcode::kAdd, "k", "new").status, Status::kOk);
  EXPECT_EQ(world.get("k").value, "new");
}

TEST_F(OperationsTest, ADpmThatRestartsLosesNoCount) {
  for (int i = 0; i < 50; ++i) send_incr("n");
  ASSERT_EQ(collect(50).size(), 50u);
  world.crash_dpm();
  world.turns(2000);
  world.wait_serving();
  world.next_sequence += 1000;
  const wire::CounterExtras add{1, 1, 0, 1, 0};
  EXPECT_EQ(world.call(Opcode::kIncr, "n", "", 0, object_bytes(add)).value, "51");
}

}  // namespace
}  // namespace dinomo::kn
