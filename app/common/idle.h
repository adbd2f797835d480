// SPDX-License-Identifier: BSD-3-Clause
// What an lcore does when it found nothing to do.
//
//   busy      pause and look again: for lcores with a CPU of their own
//   adaptive  some pauses, some yields, then block until something happens; a yield that took long
//             (somebody else's thread got the CPU for a whole tick) bans yields for a while
//
// Use, by workers and the control lcore alike:
//   for (;;) { const bool worked = one_turn(); idle.turn(worked); }
//
// Before it blocks, the policy arms what it will wait for and lets the loop make one more turn;
// only if that found nothing does it block. So whatever looks for work is also the re-check, and no
// wake-up can be lost. Owner thread only.
#pragma once

#include <poll.h>

#include <cstdint>
#include <vector>

#include "ingress/driver.h"

namespace dinomo::app {

enum class IdleMode : uint8_t { kBusy, kAdaptive };

struct IdleConfig {
  IdleMode mode = IdleMode::kAdaptive;
  uint32_t pauses = 40;
  uint32_t yields = 200;
  uint32_t block_us = 5000;
  /// Where something must be polled because nothing announces it; doubles up to block_blind_us_max
  /// after each blind_patience naps that brought nothing.
  uint32_t block_blind_us = 50;
  uint32_t block_blind_us_max = 1000;
  uint32_t blind_patience = 256;
  uint64_t slow_yield_ns = 60'000;
  uint64_t yield_ban_ns = 20'000'000;
};

struct IdleCounters {
  uint64_t turns = 0;  // that found nothing
  uint64_t yields = 0;
  uint64_t yield_bans = 0;
  uint64_t blocks = 0;
  uint64_t wake_ups = 0;  // blocks that ended before their time
};

/// The world, as far as the policy needs it; a test has its own.
class IdleHooks {
 public:
  virtual ~IdleHooks() = default;
  virtual void pause() noexcept = 0;
  virtual void yield() noexcept = 0;
  virtual uint64_t now_ns() noexcept = 0;
  /// True if something has to be polled for: blocking must be short.
  virtual bool blind() const noexcept = 0;
  /// False: do not block, work is pending.
  virtual bool arm() noexcept = 0;
  virtual void disarm() noexcept = 0;
  /// True if woken, false after the timeout.
  virtual bool block(uint32_t timeout_us) noexcept = 0;
};

class IdlePolicy {
 public:
  IdlePolicy(const IdleConfig& config, IdleHooks* hooks) noexcept
      : config_(config), hooks_(*hooks) {}

  /// After every turn of the loop. Two instructions when the turn found work.
  void turn(bool worked) noexcept {
    if (!worked) {
      found_nothing();
    } else if (empty_turns_ != 0) {
      found_work();
    }
  }

  const IdleCounters& counters() const noexcept { return counters_; }

 private:
  void found_work() noexcept;
  void found_nothing() noexcept;
  void block() noexcept;
  void yield() noexcept;
  bool may_yield() noexcept;
  uint32_t timeout_us() const noexcept;

  IdleConfig config_;
  IdleHooks& hooks_;
  IdleCounters counters_;
  uint64_t yields_banned_until_ns_ = 0;
  uint32_t empty_turns_ = 0;  // since the last work or wake-up
  uint32_t vain_blocks_ = 0;  // timeouts in a row
  bool armed_ = false;
};

/// The machine's own: rte_pause, sched_yield, poll over wait sources. To do something around the
/// sleep (such as going offline for RCU), derive and override block().
class SystemIdleHooks : public IdleHooks {
 public:
  /// Before the first turn.
  void add(ingress::WaitSource* source);
  /// A descriptor whose readability stands for work and that needs no arming.
  void add(int descriptor);
  /// Something has to be polled for: blocks are short from now on.
  void add_blind() noexcept { blind_ = true; }

  void pause() noexcept override;
  void yield() noexcept override;
  uint64_t now_ns() noexcept override;
  bool blind() const noexcept override { return blind_; }
  bool arm() noexcept override;
  void disarm() noexcept override;
  bool block(uint32_t timeout_us) noexcept override;

 private:
  std::vector<ingress::WaitSource*> sources_;
  std::vector<pollfd> descriptors_;
  bool blind_ = false;
};

}  // namespace dinomo::app
