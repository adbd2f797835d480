// SPDX-License-Identifier: BSD-3-Clause
// What waits for a KN that has lost the partition meanwhile.
#include <gtest/gtest.h>

#include <map>

#include "few_kns.h"
#include "steady_clock.h"

namespace dinomo::client {
namespace {

using fake::kKey;
using fake::kOwner;

constexpr uint16_t kHeir = 2;

class FollowRingTest : public ::testing::Test {
 protected:
  FollowRingTest() {
    const Address seed = *parse_address("127.0.0.1:2", 1);  // KN 1: owns nothing
    Options options;
    options.retry_min_ms = 200;  // so that every time-out is further away than a test lasts
    client_ = *Client::create(&kns_, &clock_, options, std::span(&seed, 1));
  }
  /// Each KN has been asked something.
  void warm_up() {
    ping();
    submit(wire::Opcode::kGet, kKey);
    run_ms(15);
    ASSERT_EQ(ended_, 2);
    ended_ = 0;
    kns_.asked.clear();
  }
  void submit(wire::Opcode opcode, std::string_view key) {
    Operation op;
    op.opcode = opcode;
    op.key = as_bytes(key);
    op.context = this;
    op.callback = [](void* context, const Completion&) {
      ++static_cast<FollowRingTest*>(context)->ended_;
    };
    ASSERT_EQ(client_->submit(op), Status::kOk);
    client_->flush();
  }
  /// KN 1 answers, and so tells of the ring that there is.
  void ping() { submit(wire::Opcode::kPing, {}); }
  void run_ms(int ms) {
    for (int i = 0; i < ms; ++i) {
      clock_.advance_ms(1);
      client_->flush();
      client_->poll();
    }
  }
  void hand_over() {
    ++kns_.ring.version;
    kns_.ring.owner.fill(kHeir);
  }
  /// And the client hears of it, long before any time-out or hint is over.
  void hand_over_and_tell() {
    hand_over();
    ping();
    run_ms(15);
  }

  fake::Kns kns_;
  test::HandClock clock_;
  std::unique_ptr<Client> client_;
  int ended_ = 0;
};

TEST_F(FollowRingTest, WhatADeadKnDoesNotAnswerGoesToTheNewOwnerAtOnce) {
  warm_up();
  kns_.silent.insert(kOwner);
  submit(wire::Opcode::kDelete, kKey);
  run_ms(15);
  hand_over_and_tell();
  EXPECT_EQ(kns_.asked[kOwner], 1);
  EXPECT_EQ(kns_.asked[kHeir], 1);
  EXPECT_EQ(ended_, 2);
  EXPECT_EQ(client_->counters().followed, 1u);
  EXPECT_EQ(client_->counters().timeouts, 0u);
}

TEST_F(FollowRingTest, WhatWasPutOffGoesToTheNewOwnerAtOnce) {
  warm_up();
  kns_.moves.insert(kOwner);
  submit(wire::Opcode::kGet, kKey);
  run_ms(15);
  hand_over_and_tell();
  EXPECT_EQ(kns_.asked[kOwner], 1);
  EXPECT_EQ(kns_.asked[kHeir], 1);
  EXPECT_EQ(ended_, 2);
}

TEST_F(FollowRingTest, OncePerRingAndOnlyWhatHasMoved) {
  warm_up();
  kns_.silent = {kOwner};
  kns_.moves = {kHeir};
  submit(wire::Opcode::kGet, kKey);
  run_ms(15);
  hand_over();
  ping();
  run_ms(30);
  EXPECT_EQ(kns_.asked[kHeir], 1);
  ++kns_.ring.version;  // the same owners
  ping();
  run_ms(30);
  EXPECT_EQ(client_->ring().version, kns_.ring.version);
  EXPECT_EQ(kns_.asked[kHeir], 1);
  EXPECT_EQ(client_->counters().followed, 1u);
}

TEST_F(FollowRingTest, ARingThatAReplyTellsOfIsFetchedAtOnce) {
  warm_up();
  kns_.sends_to = {{kOwner, kHeir}};  // which is not what the ring says
  submit(wire::Opcode::kGet, kKey);
  run_ms(1500);  // the ring was fetched again and again, was the same, and has a long rest now
  int rings = -1;
  for (int look = 0; look < 100 && rings != kns_.rings; ++look) {
    rings = kns_.rings;
    run_ms(10);
  }
  ASSERT_EQ(kns_.rings, rings) << "it does not rest";
  ASSERT_EQ(kns_.asked[kHeir], 0);
  hand_over_and_tell();
  EXPECT_GT(kns_.rings, rings);
  EXPECT_EQ(kns_.asked[kHeir], 1);
}

TEST_F(FollowRingTest, WhatWaitsForTheCookieOfADeadKnGoesToTheNewOwner) {
  kns_.silent.insert(kOwner);
  submit(wire::Opcode::kGet, kKey);
  run_ms(15);
  hand_over_and_tell();
  EXPECT_EQ(kns_.asked[kHeir], 1);
  EXPECT_EQ(ended_, 2);
}

}  // namespace
}  // namespace dinomo::client
