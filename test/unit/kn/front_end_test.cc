// SPDX-License-Identifier: BSD-3-Clause
// Another protocol on the worker's lcore: the same operations, exactly one answer each.
#include "kn/front_end.h"

#include <gtest/gtest.h>

#include <deque>
#include <map>

#include "test/support/engine_world.h"

namespace dinomo::kn {
namespace {

using test::EngineOptions;
using test::EngineWorld;
using wire::Opcode;
using wire::Status;

/// Owns what it submits until it is answered, as a front end with datagrams would.
class Recorder final : public FrontEnd {
 public:
  struct Answer {
    Status status;
    std::string value;
    uint64_t version = 0;
    wire::HintExtras hint{};
  };
  struct Wanted {
    Opcode opcode;
    std::string key;
    std::string value = {};
    uint64_t delta = 0;
    uint64_t expiry_ms = 0;
    uint64_t expected_version = 0;
  };

  explicit Recorder(Worker* worker) : worker_(worker) {}

  uint64_t want(const Wanted& w) {
    const uint64_t tag = ++tags_;
    owned_[tag] = w;
    queue_.push_back(tag);
    return tag;
  }

  void take(const ingress::Datagram&) noexcept override {
    ADD_FAILURE() << "no port was asked for";
  }
  uint32_t receive() noexcept override {
    const auto n = static_cast<uint32_t>(queue_.size());
    while (!queue_.empty()) {
      const Wanted& w = owned_[queue_.front()];
      Operation op;
      op.opcode = w.opcode;
      op.flags = wire::kWantItem;
      op.key = as_bytes(w.key);
      op.value = as_bytes(w.value);
      op.delta = w.delta;
      op.expiry_ms = w.expiry_ms;
      op.expected_version = w.expected_version;
      const uint64_t tag = queue_.front();
      queue_.pop_front();
      worker_->submit(op, tag);
    }
    return n;
  }
  void on_reply(uint64_t tag, Status status, Bytes extras, Bytes value) noexcept override {
    EXPECT_EQ(owned_.erase(tag), 1u) << "answered twice: " << tag;
    Answer& a = answers[tag];
    a.status = status;
    a.value = as_text(value);
    if (extras.size() == sizeof(wire::ItemExtras)) {
      a.version = load<wire::ItemExtras>(extras.data()).version;
    } else if (status == Status::kOk && extras.size() == sizeof(wire::VersionExtras)) {
      a.version = load<wire::VersionExtras>(extras.data()).version;
    } else if (extras.size() == sizeof(wire::HintExtras)) {
      a.hint = load<wire::HintExtras>(extras.data());
    }
  }
  void flush() noexcept override { ++flushes; }
  bool waiting() const noexcept override { return !queue_.empty(); }

  size_t open() const { return owned_.size(); }
  std::map<uint64_t, Answer> answers;
  int flushes = 0;

 private:
  Worker* worker_;
  uint64_t tags_ = 0;
  std::map<uint64_t, Wanted> owned_;
  std::deque<uint64_t> queue_;
};

class FrontEndTest : public testing::Test {
 protected:
  explicit FrontEndTest(const EngineOptions& options = {})
      : world(options), front(&world.worker()) {}
  void SetUp() override {
    world.worker().set_front_end(&front);
    world.wait_serving();
    world.hello();
  }
  Recorder::Answer call(const Recorder::Wanted& w) {
    const uint64_t tag = front.want(w);
    EXPECT_TRUE(world.turn_until([&] { return front.answers.contains(tag); }));
    return front.answers[tag];
  }
  EngineWorld world;
  Recorder front;
};

TEST_F(FrontEndTest, SharesItemsWithNativeClients) {
  world.put("k", "native");
  EXPECT_EQ(call({Opcode::kGet, "k"}).value, "native");
  const auto put = call({Opcode::kPut, "k", "other"});
  EXPECT_EQ(put.status, Status::kOk);
  EXPECT_NE(put.version, 0u);
  EXPECT_EQ(call({Opcode::kGet, "k"}).version, put.version);
  EXPECT_EQ(world.get("k").value, "other");
  EXPECT_EQ(call({Opcode::kAdd, "k", "x"}).status, Status::kExists);
  EXPECT_EQ(call({Opcode::kDelete, "k", "", 0, 0, put.version + 1}).status, Status::kExists);
  EXPECT_EQ(call({Opcode::kDelete, "k", "", 0, 0, put.version}).status, Status::kOk);
  EXPECT_EQ(call({Opcode::kDelete, "k"}).status, Status::kNotFound);
  EXPECT_GT(front.flushes, 0);
}

TEST_F(FrontEndTest, OneKeyHasOneOrderWhoeverAsks) {
  world.put("n", "0");
  const wire::CounterExtras one{1, 0, 0, 0, 0};
  for (int i = 0; i < 100; ++i) {
    front.want({Opcode::kIncr, "n", "", 1});
    world.send(Opcode::kIncr, "n", "", 0, object_bytes(one));
  }
  ASSERT_TRUE(world.turn_until([&] { return front.open() == 0; }));
  world.turns(500);
  EXPECT_EQ(world.get("n").value, "200");
}

TEST_F(FrontEndTest, MoreThanATurnsWorthIsAnsweredOnceEach) {
  for (int i = 0; i < 1500; ++i) front.want({Opcode::kPut, "k" + std::to_string(i % 700), "v"});
  for (int i = 0; i < 1500; ++i) front.want({Opcode::kGet, "k" + std::to_string(i % 700)});
  ASSERT_TRUE(world.turn_until([&] { return front.open() == 0; }));
  EXPECT_EQ(front.answers.size(), 3000u);
}

TEST_F(FrontEndTest, AnExpiryInThePastIsTheEndOfAnItem) {
  EXPECT_EQ(call({Opcode::kPut, "k", "v", 0, 1}).status, Status::kOk);
  EXPECT_EQ(call({Opcode::kGet, "k"}).status, Status::kNotFound);
}

TEST_F(FrontEndTest, WhatIsNoOperationOnAKeyIsRefused) {
  EXPECT_EQ(call({Opcode::kGet, ""}).status, Status::kBadRequest);
  EXPECT_EQ(call({Opcode::kGet, std::string(251, 'k')}).status, Status::kTooLarge);
  EXPECT_EQ(call({Opcode::kPut, "k", std::string(61'441, 'v')}).status, Status::kTooLarge);
  EXPECT_EQ(call({Opcode::kHello, "k"}).status, Status::kUnsupported);
  EXPECT_EQ(call({static_cast<Opcode>(99), "k"}).status, Status::kUnsupported);
}

TEST_F(FrontEndTest, WithoutALeaseNothingIsPromised) {
  call({Opcode::kPut, "k", "v"});
  world.shared().lease_deadline_ns = world.clock.now + 1500;
  world.clock.step = 1000;
  const uint64_t tag = front.want({Opcode::kPut, "k", "w"});
  world.worker().poll();
  world.clock.step = 0;
  ASSERT_TRUE(front.answers.contains(tag));
  EXPECT_EQ(front.answers[tag].status, Status::kInternal);
  EXPECT_EQ(front.open(), 0u);
}

TEST_F(FrontEndTest, ALostDpmLeavesNothingUnanswered) {
  for (int i = 0; i < 20; ++i) call({Opcode::kPut, "k" + std::to_string(i), "v"});
  for (int round = 0; round < 5; ++round) {
    for (int i = 0; i < 200; ++i) {
      const std::string key = "k" + std::to_string(i % 40);
      front.want({i % 2 == 0 ? Opcode::kPut : Opcode::kAppend, key, "w"});
    }
    for (int i = 0; i < round; ++i) world.worker().poll();
    world.crash_dpm();
    world.turns(2000);
    world.wait_serving();
    ASSERT_TRUE(world.turn_until([&] { return front.open() == 0; })) << "round " << round;
  }
}

class FrontEndOfTwoWorkers : public FrontEndTest {
 protected:
  FrontEndOfTwoWorkers() : FrontEndTest(EngineOptions{.workers = 2}) {}
};

TEST_F(FrontEndOfTwoWorkers, ARelayIsToldWhereTo) {
  int others = 0;
  for (int i = 0; i < 32; ++i) {
    const std::string key = "key" + std::to_string(i);
    const auto a = call({Opcode::kPut, key, "v"});
    const uint32_t worker = worker_of(routing_hash(as_bytes(key)), 2);
    EXPECT_EQ(a.status, worker == 0 ? Status::kOk : Status::kWrongOwner);
    if (worker == 0) continue;
    ++others;
    EXPECT_EQ(a.hint.worker, 1);
  }
  EXPECT_GT(others, 5);
}

}  // namespace
}  // namespace dinomo::kn
