// SPDX-License-Identifier: BSD-3-Clause
// Where partitions are wanted (pool::PinTable): an operator's wish, which outlives every process.
// The leader follows it (cluster/leader.h); a wish for a KN that is not there, or is drained, waits
// until it is.
//
// Thread rule: service thread.
#pragma once

#include <vector>

#include "common/status.h"
#include "pool/space.h"

namespace dinomo::dpm {

/// A run of partitions that are pinned to one KN slot.
struct Pin {
  uint32_t first = 0;
  uint32_t count = 0;
  uint16_t kn_slot = 0;

  bool operator==(const Pin&) const noexcept = default;
};

class PinTable {
 public:
  explicit PinTable(pool::Space& space) noexcept : space_(space) {}

  /// Finds the table that the pool has. After the boot count was raised, before any KN can reach
  /// it.
  void start();

  /// `target`: KN slot + 1, 0: pinned no longer. Durable when this returns; again is no harm, and a
  /// crash leaves a part of it. kInvalid: no such partitions or KN slot; kNoSpace: there is no room
  /// in the pool for the table.
  Status pin(uint64_t first, uint64_t count, uint64_t target);

  /// By partition.
  std::vector<Pin> pinned() const;

 private:
  pool::PinTable& table() const noexcept { return *space_.record<pool::PinTable>(offset_); }
  bool make_room();
  void tell_change() noexcept;

  pool::Space& space_;
  uint64_t offset_ = 0;  // 0: the pool has none yet
  uint64_t version_ = 0;
};

}  // namespace dinomo::dpm
