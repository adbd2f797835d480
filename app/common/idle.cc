// SPDX-License-Identifier: BSD-3-Clause
#include "app/common/idle.h"

#include <rte_pause.h>
#include <sched.h>

#include <algorithm>
#include <chrono>
#include <ctime>

namespace dinomo::app {

void IdlePolicy::found_work() noexcept {
  if (armed_) hooks_.disarm();
  armed_ = false;
  empty_turns_ = 0;
  vain_blocks_ = 0;
}

void IdlePolicy::found_nothing() noexcept {
  ++counters_.turns;
  if (config_.mode == IdleMode::kBusy) {
    hooks_.pause();
    return;
  }
  if (armed_) {
    block();
    return;
  }
  if (empty_turns_ <= config_.pauses + config_.yields) ++empty_turns_;
  if (empty_turns_ <= config_.pauses) {
    hooks_.pause();
  } else if (empty_turns_ <= config_.pauses + config_.yields && may_yield()) {
    yield();
  } else {
    armed_ = hooks_.arm();
    if (!armed_) hooks_.pause();
  }
}

bool IdlePolicy::may_yield() noexcept {
  return yields_banned_until_ns_ == 0 || hooks_.now_ns() >= yields_banned_until_ns_;
}

void IdlePolicy::yield() noexcept {
  const uint64_t before_ns = hooks_.now_ns();
  hooks_.yield();
  const uint64_t after_ns = hooks_.now_ns();
  ++counters_.yields;
  yields_banned_until_ns_ = 0;
  if (after_ns - before_ns > config_.slow_yield_ns) {
    yields_banned_until_ns_ = after_ns + config_.yield_ban_ns;
    ++counters_.yield_bans;
  }
}

uint32_t IdlePolicy::timeout_us() const noexcept {
  if (!hooks_.blind()) return config_.block_us;
  const uint32_t doublings = std::min(vain_blocks_ / std::max(config_.blind_patience, 1u), 16u);
  return std::min(config_.block_blind_us << doublings, config_.block_blind_us_max);
}

void IdlePolicy::block() noexcept {
  ++counters_.blocks;
  const bool woken = hooks_.block(timeout_us());
  hooks_.disarm();
  armed_ = false;
  if (woken) {
    ++counters_.wake_ups;
    empty_turns_ = 0;
    vain_blocks_ = 0;
  } else {
    ++vain_blocks_;  // empty_turns_ stays: after a timeout one empty turn arms again
  }
}

void SystemIdleHooks::add(ingress::WaitSource* source) {
  sources_.push_back(source);
  if (source->descriptor() >= 0) {
    add(source->descriptor());
  } else {
    add_blind();
  }
}

void SystemIdleHooks::add(int descriptor) {
  descriptors_.push_back({.fd = descriptor, .events = POLLIN, .revents = 0});
}

void SystemIdleHooks::pause() noexcept { rte_pause(); }

void SystemIdleHooks::yield() noexcept { sched_yield(); }

uint64_t SystemIdleHooks::now_ns() noexcept {
  return static_cast<uint64_t>(
      std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count());
}

bool SystemIdleHooks::arm() noexcept {
  for (size_t i = 0; i < sources_.size(); ++i) {
    if (sources_[i]->arm()) continue;
    while (i-- != 0) sources_[i]->disarm();
    return false;
  }
  return true;
}

void SystemIdleHooks::disarm() noexcept {
  for (ingress::WaitSource* s : sources_) s->disarm();
}

bool SystemIdleHooks::block(uint32_t timeout_us) noexcept {
  const timespec timeout{.tv_sec = timeout_us / 1'000'000,
                         .tv_nsec = static_cast<long>(timeout_us % 1'000'000) * 1000};
  return ppoll(descriptors_.data(), descriptors_.size(), &timeout, nullptr) > 0;
}

}  // namespace dinomo::app
