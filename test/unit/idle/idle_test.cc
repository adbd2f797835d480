// SPDX-License-Identifier: BSD-3-Clause
#include "app/common/idle.h"

#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <string>

namespace dinomo::app {
namespace {

/// Writes down what the policy does: p pause, y yield, a arm, d disarm, b block.
class FakeHooks : public IdleHooks {
 public:
  void pause() noexcept override { log += 'p'; }
  void yield() noexcept override {
    log += 'y';
    now += yield_ns;
  }
  uint64_t now_ns() noexcept override { return now; }
  bool blind() const noexcept override { return is_blind; }
  bool arm() noexcept override {
    log += 'a';
    return may_arm;
  }
  void disarm() noexcept override { log += 'd'; }
  bool block(uint32_t timeout_us) noexcept override {
    log += 'b';
    last_timeout_us = timeout_us;
    now += timeout_us * uint64_t{1000};
    return wakes;
  }
  std::string taken() { return std::exchange(log, {}); }

  std::string log;
  uint64_t now = 1'000'000'000;
  uint64_t yield_ns = 300;
  uint32_t last_timeout_us = 0;
  bool is_blind = false;
  bool may_arm = true;
  bool wakes = false;
};

IdleConfig small() {
  IdleConfig c;
  c.pauses = 2;
  c.yields = 3;
  return c;
}

void empty_turns(IdlePolicy* p, int n) {
  for (int i = 0; i < n; ++i) p->turn(false);
}

TEST(Idle, GoesFromPausesToYieldsToBlocking) {
  FakeHooks hooks;
  IdlePolicy policy(small(), &hooks);
  empty_turns(&policy, 7);
  EXPECT_EQ(hooks.taken(), "ppyyyabd");
  EXPECT_EQ(hooks.last_timeout_us, 5000u);
  empty_turns(&policy, 2);
  EXPECT_EQ(hooks.taken(), "abd") << "after a timeout it blocks again without ado";
  EXPECT_EQ(policy.counters().blocks, 2u);
  EXPECT_EQ(policy.counters().wake_ups, 0u);
}

TEST(Idle, WorkBetweenArmingAndBlockingPreventsTheBlock) {
  FakeHooks hooks;
  IdlePolicy policy(small(), &hooks);
  empty_turns(&policy, 6);
  policy.turn(true);
  EXPECT_EQ(hooks.taken(), "ppyyyad");
  empty_turns(&policy, 1);
  EXPECT_EQ(hooks.taken(), "p") << "and the ladder starts anew";
}

TEST(Idle, WakeUpStartsTheLadderAnew) {
  FakeHooks hooks;
  hooks.wakes = true;
  IdlePolicy policy(small(), &hooks);
  empty_turns(&policy, 8);
  EXPECT_EQ(hooks.taken(), "ppyyyabdp");
  EXPECT_EQ(policy.counters().wake_ups, 1u);
}

TEST(Idle, PendingWorkForbidsBlocking) {
  FakeHooks hooks;
  hooks.may_arm = false;
  IdlePolicy policy(small(), &hooks);
  empty_turns(&policy, 8);
  EXPECT_EQ(hooks.taken(), "ppyyyapapap");
}

TEST(Idle, SlowYieldBansYieldsForAWhile) {
  FakeHooks hooks;
  hooks.yield_ns = 4'000'000;
  IdlePolicy policy(small(), &hooks);
  empty_turns(&policy, 5);
  EXPECT_EQ(hooks.taken(), "ppyabd");
  EXPECT_EQ(policy.counters().yield_bans, 1u);
  policy.turn(true);
  empty_turns(&policy, 4);
  EXPECT_EQ(hooks.taken(), "ppabd") << "banned";
  policy.turn(true);
  hooks.now += 20'000'000;
  hooks.yield_ns = 300;
  empty_turns(&policy, 5);
  EXPECT_EQ(hooks.taken(), "ppyyy") << "the ban is over";
}

TEST(Idle, BlindBlocksAreShortAndGrow) {
  FakeHooks hooks;
  hooks.is_blind = true;
  IdleConfig config = small();
  config.blind_patience = 4;
  IdlePolicy policy(config, &hooks);
  empty_turns(&policy, 7);
  EXPECT_EQ(hooks.last_timeout_us, 50u);
  empty_turns(&policy, 2 * 4);
  EXPECT_EQ(hooks.last_timeout_us, 100u);
  empty_turns(&policy, 2 * 400);
  EXPECT_EQ(hooks.last_timeout_us, 1000u);
  policy.turn(true);
  empty_turns(&policy, 7);
  EXPECT_EQ(hooks.last_timeout_us, 50u);
}

TEST(Idle, BusyOnlyPauses) {
  FakeHooks hooks;
  IdleConfig config = small();
  config.mode = IdleMode::kBusy;
  IdlePolicy policy(config, &hooks);
  empty_turns(&policy, 20);
  EXPECT_EQ(hooks.taken(), std::string(20, 'p'));
}

class FakeSource : public ingress::WaitSource {
 public:
  int descriptor() const noexcept override { return fd; }
  bool arm() noexcept override {
    ++arms;
    return willing;
  }
  void disarm() noexcept override { ++disarms; }

  int fd = -1;
  int arms = 0;
  int disarms = 0;
  bool willing = true;
};

TEST(SystemIdleHooks, ArmsAllOrNone) {
  FakeSource first;
  FakeSource second;
  second.willing = false;
  SystemIdleHooks hooks;
  hooks.add(&first);
  hooks.add(&second);
  EXPECT_FALSE(hooks.arm());
  EXPECT_EQ(first.disarms, 1);
  EXPECT_EQ(second.disarms, 0);
  second.willing = true;
  EXPECT_TRUE(hooks.arm());
  EXPECT_TRUE(hooks.blind()) << "a source without a descriptor has to be polled for";
}

TEST(SystemIdleHooks, BlockEndsWhenADescriptorIsReadable) {
  const int event = eventfd(0, EFD_NONBLOCK);
  ASSERT_GE(event, 0);
  FakeSource source;
  source.fd = event;
  SystemIdleHooks hooks;
  hooks.add(&source);
  EXPECT_FALSE(hooks.blind());
  EXPECT_FALSE(hooks.block(1));
  eventfd_write(event, 1);
  EXPECT_TRUE(hooks.block(60'000'000)) << "does not wait for the timeout";
  close(event);
}

}  // namespace
}  // namespace dinomo::app
