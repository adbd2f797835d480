// SPDX-License-Identifier: BSD-3-Clause
// The leader's part in a fail-over, as a node of its own: has the memory node fence a KN, by the
// mailbox, as a registered KN does. (The leader itself: lib/cluster, once KNs elect one.)
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "fabric/fabric.h"
#include "kn/delay.h"
#include "kn/task.h"
#include "pool/mailbox.h"
#include "pool/superblock.h"
#include "world/environment.h"
#include "world/lcore.h"

namespace dinomo::world {

class Fencer {
 public:
  /// Registers with `dpm` at `own_slot` each time that it has something to do.
  Fencer(Environment* environment, std::string dpm, uint16_t own_slot);
  ~Fencer();

  /// Calls `done(true)` once `victim` is locked out, `done(false)` if that could not be had.
  /// Ignored while another one is under way.
  void fence(uint16_t victim, std::function<void(bool fenced)> done);
  bool busy() const noexcept { return done_ != nullptr; }

  kn::FramePool& frames() noexcept { return frames_; }

 private:
  uint32_t turn();
  bool connect();
  kn::Task run();
  void end(bool fenced);
  Bytes request(pool::MailboxOpcode opcode, uint32_t incarnation,
                const std::array<uint64_t, 5>& args);

  Environment* environment_;
  const std::string dpm_;
  const uint16_t own_slot_;
  kn::FramePool frames_;
  kn::DelayList delays_;
  std::unique_ptr<fabric::Fabric> fabric_;
  std::unique_ptr<fabric::Queue> queue_;
  std::unique_ptr<Lcore> lcore_;
  std::function<void(bool)> done_;
  std::vector<std::byte> memory_;
  pool::Superblock superblock_{};
  uint64_t sequence_ = 0;
  uint16_t victim_ = 0;
  bool running_ = false;
  bool ended_ = false;
  bool fenced_ = false;
};

}  // namespace dinomo::world
