// SPDX-License-Identifier: BSD-3-Clause
// Errands between three threads that take requests and one worker.
#include "kn/handover.h"

#include <gtest/gtest.h>

#include <deque>
#include <string>

#include "test/support/engine_world.h"

namespace dinomo::kn {
namespace {

using test::EngineWorld;
using wire::Opcode;
using wire::Status;

constexpr uint32_t kErrandsMax = 4;
constexpr uint16_t kDesks = 3;

struct CountingWaker final : Waker {
  void wake() noexcept override { ++count; }
  int count = 0;
};

/// An errand and what came of it.
struct Trip : Errand {
  Trip(Opcode opcode, std::string k, std::string v = {}) : key(std::move(k)), sent(std::move(v)) {
    operation.opcode = opcode;
    operation.flags = wire::kWantItem;
    operation.key = as_bytes(key);
    operation.value = as_bytes(sent);
    room = memory;
    done = [](Errand* e) noexcept {
      auto* const t = static_cast<Trip*>(e);
      ++t->answers;
      t->keep_value();
    };
  }
  std::string key, sent;
  std::vector<std::byte> memory = std::vector<std::byte>(pool::kValueBytesMax);
  int answers = 0;
};

class HandOverTest : public ::testing::Test {
 protected:
  HandOverTest()
      : hand_over(HandOver::create(1, 1 + kDesks, kErrandsMax)),
        desk(hand_over.get(), 0, &world.worker()) {
    for (uint16_t d = 0; d < kDesks; ++d) {
      const auto place = static_cast<uint16_t>(1 + d);
      desks.emplace_back(hand_over.get(), place, &world.clock);
      hand_over->set_waker(place, &wakers[d]);
    }
    hand_over->set_waker(0, &worker_waker);
    world.worker().set_front_end(&desk);
  }
  void SetUp() override { world.wait_serving(); }
  void TearDown() override { world.worker().set_front_end(nullptr); }

  void turns(int n) {
    for (int i = 0; i < n; ++i) {
      world.turn();
      for (ErrandDesk& d : desks) d.poll();
    }
  }
  Trip& go(uint16_t from, Opcode opcode, const std::string& key, const std::string& value = {}) {
    Trip& t = trips.emplace_back(opcode, key, value);
    desks[from].start(&t);
    return t;
  }

  EngineWorld world;
  std::unique_ptr<HandOver> hand_over;
  ErrandDesk desk;
  std::deque<ErrandDesk> desks;
  std::array<CountingWaker, kDesks> wakers;
  CountingWaker worker_waker;
  std::deque<Trip> trips;
};

TEST_F(HandOverTest, AnErrandComesBackWithItsOutcome) {
  Trip& put = go(0, Opcode::kPut, "k", "value");
  EXPECT_EQ(worker_waker.count, 1);
  EXPECT_EQ(put.answers, 0);
  EXPECT_FALSE(hand_over->empty(0));
  turns(200);
  EXPECT_EQ(put.answers, 1);
  EXPECT_EQ(put.status, Status::kOk);
  EXPECT_EQ(wakers[0].count, 1);
  Trip& get = go(1, Opcode::kGet, "k");
  Trip& none = go(2, Opcode::kGet, "none");
  turns(200);
  EXPECT_EQ(as_text(get.value), "value");
  EXPECT_EQ(get.extra_bytes, sizeof(wire::ItemExtras));
  EXPECT_EQ(load<wire::ItemExtras>(get.extras.data()).version,
            load<wire::ItemExtras>(put.extras.data()).version);
  EXPECT_EQ(none.status, Status::kNotFound);
  EXPECT_EQ(wakers[1].count, 1);
  EXPECT_EQ(wakers[2].count, 1);
}

TEST_F(HandOverTest, AValueThatCameBackStaysWhateverBecomesOfTheItem) {
  go(0, Opcode::kPut, "k", std::string(61'440, 'a'));
  turns(300);
  Trip& get = go(0, Opcode::kGet, "k");
  turns(100);
  go(1, Opcode::kPut, "k", std::string(61'440, 'b'));
  turns(300);
  EXPECT_EQ(as_text(get.value), std::string(61'440, 'a'));
}

// Until the origin takes it, the worker goes on and uses the memory of the reply for others.
TEST_F(HandOverTest, AValueIsKeptOnItsWayBack) {
  const std::string value(50'000, 'a');
  go(0, Opcode::kPut, "k", value);
  go(1, Opcode::kPut, "other", std::string(50'000, 'b'));
  turns(300);
  Trip& get = go(0, Opcode::kGet, "k");
  for (int i = 0; i < 200; ++i) world.turn();
  for (int n = 0; n < 3; ++n) {
    go(1, Opcode::kGet, "other");
    for (int i = 0; i < 200; ++i) world.turn();
    desks[1].poll();
  }
  EXPECT_EQ(get.answers, 0);
  desks[0].poll();
  EXPECT_EQ(get.answers, 1);
  EXPECT_EQ(as_text(get.value), value);
}

TEST_F(HandOverTest, AWorkerWithTooMuchToDoIsBusy) {
  // A ring to a worker holds 7 here, and three desks may have 4 out each.
  for (uint32_t i = 0; i < kErrandsMax; ++i) {
    for (uint16_t d = 0; d < kDesks; ++d) go(d, Opcode::kPut, "k" + std::to_string(i), "v");
  }
  size_t busy = 0;
  for (const Trip& t : trips) busy += t.answers == 1 && t.status == Status::kBusy ? 1 : 0;
  EXPECT_EQ(busy, trips.size() - (2 * kErrandsMax - 1));
  turns(300);
  size_t good = 0;
  for (const Trip& t : trips) {
    EXPECT_EQ(t.answers, 1);
    good += t.status == Status::kOk ? 1 : 0;
  }
  EXPECT_EQ(good, 2 * kErrandsMax - 1);
}

TEST_F(HandOverTest, EveryDeskGetsItsOwnBackUnderLoad) {
  for (int round = 0; round < 300; ++round) {
    for (uint16_t d = 0; d < kDesks; ++d) {
      const std::string key = "k" + std::to_string((round * kDesks + d) % 50);
      go(d, round % 3 == 0 ? Opcode::kPut : Opcode::kGet, key, round % 3 == 0 ? key : "");
    }
    turns(4);
    if (round % 10 == 9) turns(100);
  }
  turns(300);
  for (const Trip& t : trips) {
    ASSERT_EQ(t.answers, 1);
    if (t.status == Status::kOk && t.operation.opcode == Opcode::kGet) {
      EXPECT_EQ(as_text(t.value), t.key);
    }
  }
}

}  // namespace
}  // namespace dinomo::kn
