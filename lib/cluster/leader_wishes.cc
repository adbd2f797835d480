// SPDX-License-Identifier: BSD-3-Clause
// What operators want of the ring, and what of it the ring has: replicated keys, pinned partitions.
#include "cluster/leader.h"

namespace dinomo::cluster {

/// The one that is written next: that which decide() wants, or one of its own.
ring::Ring& Leader::next_ring() noexcept {
  if (!next_ring_) {
    next_ring_ = ring_;
    ++next_ring_->version;
  }
  return *next_ring_;
}

/// The version was read first: whatever is changed from then on has a later one.
void Leader::take_cells(Bytes cells, uint64_t offset, uint64_t version) noexcept {
  const auto node_id = static_cast<uint8_t>(lane_.superblock.node_id);
  auto keys = wanted_keys(offset == 0 ? Bytes() : cells, offset, node_id);
  if (!keys) return;
  wanted_keys_ = std::move(*keys);
  cells_version_ = version;
}

void Leader::list_keys() noexcept {
  const ring::Ring& base = next_ring_ ? *next_ring_ : ring_;
  if (!cells_version_ || base.version == 0) return;
  std::vector<pool::ReplicatedKey> list = list_replicated(wanted_keys_, base, placed_);
  if (list == base.replicated) return;
  next_ring().replicated = std::move(list);
}

/// Of a `table` that is being changed a part can be new already: the change ends with a new
/// version.
void Leader::take_pins(Bytes table, uint64_t version) noexcept {
  pins_.fill(pool::kNoOwner);
  for (size_t p = 0; p < table.size() / sizeof(uint16_t); ++p) {
    const auto target = load<uint16_t>(table.data() + p * sizeof(uint16_t));
    if (target != 0) pins_[p] = static_cast<uint16_t>(target - 1);
  }
  pins_version_ = version;
  placed_.clear();  // so that decide() places anew
}

/// Tells whoever waits that this leader goes by the table as it is.
void Leader::list_pins() noexcept {
  const ring::Ring& base = next_ring_ ? *next_ring_ : ring_;
  if (base.version == 0) return;
  std::bitset<kPartitions> pinned;
  for (uint32_t p = 0; p < kPartitions; ++p) pinned[p] = pins_[p] != pool::kNoOwner;
  if (pinned == base.pinned) return;
  next_ring().pinned = pinned;
}

}  // namespace dinomo::cluster
