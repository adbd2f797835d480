// SPDX-License-Identifier: BSD-3-Clause
// What the tasks of a KN's control lcore share: time of the turn, frames, delays, and the way to
// the DPM. Owned by KnControl.
#pragma once

#include <cstdint>

#include "fabric/fabric.h"
#include "kn/delay.h"
#include "kn/task.h"
#include "pool/superblock.h"

namespace dinomo::cluster {

struct Lane {
  kn::FramePool frames{16, 4096};
  kn::DelayList delays;
  uint64_t now_ns = 0;
  uint32_t tasks = 0;   // coroutines under way; the queue stays until there is none
  bool losing = false;  // they are to end soon
  fabric::Fabric* fabric = nullptr;
  fabric::Queue* queue = nullptr;
  pool::Superblock superblock{};
  uint16_t kn_slot = 0;
  uint32_t incarnation = 0;  // of the last registration; 0: none in this process
};

}  // namespace dinomo::cluster
