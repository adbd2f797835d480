// SPDX-License-Identifier: BSD-3-Clause
#include "app/dinomo-eval/machine.h"

#include <gtest/gtest.h>

#include <vector>

namespace dinomo::eval {
namespace {

struct Machine {
  sim::EventLoop loop;
  SimThread thread{&loop};
  std::vector<uint64_t> ended_ns;
};

Step work(Machine* m, uint64_t ns) {
  co_await m->thread.spend(ns);
  m->ended_ns.push_back(m->loop.now_ns());
}

Step work_twice(Machine* m) {
  co_await work(m, 100);
  co_await work(m, 50);
  m->ended_ns.push_back(m->loop.now_ns());
}

Step wait_at(Machine* m, Gate* gate, uint64_t number) {
  co_await *gate;
  m->ended_ns.push_back(number);
}

Step nap(Machine* m, uint64_t ns) {
  co_await m->thread.sleep(ns);
  m->ended_ns.push_back(m->loop.now_ns());
}

TEST(Machine, CoroutinesOfAThreadTakeTurns) {
  Machine m;
  Step first = work(&m, 300);
  Step second = work(&m, 200);
  first.start();
  second.start();
  m.loop.run_until(10'000);
  EXPECT_EQ(m.ended_ns, (std::vector<uint64_t>{300, 500}));
  EXPECT_EQ(m.thread.busy_ns(), 500u);
}

TEST(Machine, AStepGoesOnWhenTheOneThatItAwaitsHasEnded) {
  Machine m;
  Step step = work_twice(&m);
  step.start();
  m.loop.run_until(10'000);
  EXPECT_EQ(m.ended_ns, (std::vector<uint64_t>{100, 150, 150}));
}

TEST(Machine, SleepLeavesTheCpuToOthers) {
  Machine m;
  Step sleeper = nap(&m, 1000);
  Step worker = work(&m, 400);
  sleeper.start();
  worker.start();
  m.loop.run_until(10'000);
  EXPECT_EQ(m.ended_ns, (std::vector<uint64_t>{400, 1000}));
  EXPECT_EQ(m.thread.busy_ns(), 400u);
}

TEST(Machine, AGateLetsTheLongestWaitingThrough) {
  Machine m;
  Gate gate;
  Step first = wait_at(&m, &gate, 1);
  Step second = wait_at(&m, &gate, 2);
  first.start();
  second.start();
  gate.open_one();
  EXPECT_EQ(m.ended_ns, (std::vector<uint64_t>{1}));
  gate.open_one();
  gate.open_one();  // nobody waits: nothing happens
  EXPECT_EQ(m.ended_ns, (std::vector<uint64_t>{1, 2}));
}

/// Frames that wait are given back, those that they wait for included (the sanitizers look).
TEST(Machine, AStepMayBeDestroyedWhileItWaits) {
  Machine m;
  {
    Step step = work_twice(&m);
    step.start();
  }
  EXPECT_TRUE(m.ended_ns.empty());
}

}  // namespace
}  // namespace dinomo::eval
