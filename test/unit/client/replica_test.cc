// SPDX-License-Identifier: BSD-3-Clause
// GETs of a replicated key: which KNs the client asks, and when it asks the owner.
#include <gtest/gtest.h>

#include <array>
#include <map>

#include "few_kns.h"
#include "steady_clock.h"

namespace dinomo::client {
namespace {

using fake::kKey;
using fake::kOwner;

class ReplicaTest : public ::testing::Test {
 protected:
  void start() {
    const Address seed = *parse_address("127.0.0.1:1", 1);
    client_ = *Client::create(&kns_, &clock_, {}, std::span(&seed, 1));
  }
  /// To its end, which comes within some polls.
  void get(wire::Opcode opcode = wire::Opcode::kGet) {
    Operation op;
    op.opcode = opcode;
    op.key = as_bytes(kKey);
    op.context = this;
    op.callback = [](void* context, const Completion& c) {
      auto* const test = static_cast<ReplicaTest*>(context);
      ++test->ended_;
      test->last_ = c.status;
    };
    const int before = ended_;
    ASSERT_EQ(client_->submit(op), Status::kOk);
    for (int i = 0; i < 100 && ended_ == before; ++i) {
      clock_.advance_ms(1);
      client_->flush();
      client_->poll();
    }
    ASSERT_EQ(ended_, before + 1);
    ASSERT_EQ(last_, Status::kNotFound);
  }

  fake::Kns kns_;
  test::HandClock clock_;
  std::unique_ptr<Client> client_;
  int ended_ = 0;
  Status last_ = Status::kOk;
};

TEST_F(ReplicaTest, GetsAreSpreadOverTheKnsOfTheList) {
  const std::array<uint16_t, 2> kns{kOwner, 2};
  kns_.replicate(kns);
  start();
  for (int i = 0; i < 200; ++i) get();
  EXPECT_GT(kns_.asked[kOwner], 50);
  EXPECT_GT(kns_.asked[2], 50);
  EXPECT_EQ(kns_.asked[1], 0);
}

TEST_F(ReplicaTest, MutationsGoToTheOwner) {
  const std::array<uint16_t, 2> kns{1, 2};
  kns_.replicate(kns);
  start();
  for (int i = 0; i < 20; ++i) get(wire::Opcode::kDelete);
  EXPECT_EQ(kns_.asked, (std::map<uint16_t, int>{{kOwner, 20}}));
}

TEST_F(ReplicaTest, OneThatCannotTellSendsToTheOwnerAndNoRingIsAskedFor) {
  const std::array<uint16_t, 1> kns{1};
  kns_.replicate(kns);
  kns_.sends_to[1] = kOwner;
  start();
  get();
  const int rings = kns_.rings;
  get();
  EXPECT_EQ(kns_.asked, (std::map<uint16_t, int>{{kOwner, 2}, {1, 2}}));
  EXPECT_EQ(kns_.rings, rings);
}

TEST_F(ReplicaTest, OneThatNamesAnotherOwnerThanTheRingIsReasonForANewRing) {
  const std::array<uint16_t, 1> kns{1};
  kns_.replicate(kns);
  start();
  get();
  const int rings = kns_.rings;
  kns_.sends_to[1] = 2;
  kns_.ring.version = 4;
  kns_.ring.owner.fill(2);
  kns_.ring.replicated.clear();
  get();
  EXPECT_GT(kns_.rings, rings);
  EXPECT_EQ(kns_.asked, (std::map<uint16_t, int>{{1, 2}, {2, 1}}));
}

}  // namespace
}  // namespace dinomo::client
