// SPDX-License-Identifier: BSD-3-Clause
// A simulated lcore: runs turns of its owner, each of which takes time, and sleeps in between.
#pragma once

#include <algorithm>
#include <functional>

#include "drivers/fabric/sim/sim_network.h"
#include "sim/event_loop.h"
#include "sim/waker.h"

namespace dinomo::world {

struct LcoreCosts {
  uint64_t turn_ns = 300;  // of an empty turn
  uint64_t work_ns = 150;  // more, for each unit of work that the turn reports
};

class Lcore final : public sim::Handler, public sim::Waker {
 public:
  using Turn = std::function<uint32_t()>;
  /// How long to sleep after a turn that found nothing to do.
  using Idle = std::function<uint64_t()>;

  Lcore(sim::EventLoop* loop, fabric::sim::SimNetwork* fabric, LcoreCosts costs, Turn turn,
        Idle idle)
      : loop_(loop),
        fabric_(fabric),
        costs_(costs),
        turn_(std::move(turn)),
        idle_(std::move(idle)),
        timer_(loop, this) {
    wake();
  }

  void wake() override { timer_.arm(std::max(loop_->now_ns(), free_at_ns_)); }
  /// Takes no turn until `until_ns`: the process was stopped.
  void pause(uint64_t until_ns) noexcept { free_at_ns_ = std::max(free_at_ns_, until_ns); }

  void on_event(uint64_t argument) override {
    if (!timer_.fired(argument)) return;
    const uint64_t now = loop_->now_ns();
    if (now < free_at_ns_) {
      timer_.arm(free_at_ns_);
      return;
    }
    fabric_->set_actor(this);
    const uint32_t work = turn_();
    fabric_->set_actor(nullptr);
    const uint64_t turn_ns = costs_.turn_ns + work * costs_.work_ns;
    free_at_ns_ = now + turn_ns;
    timer_.arm(work != 0 ? free_at_ns_ : now + std::max(turn_ns, idle_()));
  }

 private:
  sim::EventLoop* loop_;
  fabric::sim::SimNetwork* fabric_;
  const LcoreCosts costs_;
  const Turn turn_;
  const Idle idle_;
  sim::Timer timer_;
  uint64_t free_at_ns_ = 0;
};

}  // namespace dinomo::world
