// SPDX-License-Identifier: BSD-3-Clause
// Which keys the ring lists as replicated: those that have a cell (pool::IndirectionCell), which
// the DPM gives out and takes back, for an operator. So the wish lies in the pool, outlives
// leaders, and a key is never listed with a cell that is not its own; and as the DPM takes a cell
// back before any leader can see that it did, no ring without a key comes into force while readers
// believe its cell (the two rules of ring/ring.h).
//
// Pure. Thread rule: control lcore.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "common/bytes.h"
#include "ring/placement.h"
#include "ring/ring.h"

namespace dinomo::cluster {

struct WantedKey {
  uint64_t routing_hash = 0;
  uint64_t cell = 0;        // global address
  uint64_t kns_wanted = 0;  // 0: all there are
};

/// From the bytes of the pool's kCellCount cells, which lie at `offset` of node `node_id`, by
/// routing hash. Nothing if the DPM is just changing one: look again.
std::optional<std::vector<WantedKey>> wanted_keys(Bytes cells, uint64_t offset, uint8_t node_id);

/// The list for `ring`: of each key the owner of its partition, then KNs by slot number from there
/// on, as many as are wanted and there are. Every key that has a cell is listed, if only one KN
/// serves it, too: what nobody writes into a cell meanwhile nobody may believe later.
std::vector<pool::ReplicatedKey> list_replicated(std::span<const WantedKey> keys,
                                                 const ring::Ring& ring,
                                                 std::span<const ring::Member> members);

}  // namespace dinomo::cluster
