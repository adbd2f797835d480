// SPDX-License-Identifier: BSD-3-Clause
// Indirection cells as both sides see them: the DPM gives them out, KNs read and write the address.
#pragma once

#include <array>

#include "common/bytes.h"
#include "common/hash.h"
#include "pool/address.h"
#include "pool/format.h"

namespace dinomo::pool {

/// Cells in the pool's object of type kCells. Twice what can be given out at a time, which is what
/// a ring can list, so that one that was taken back is not given out again soon.
inline constexpr uint32_t kCellCount = 2 * kReplicatedKeysMax;

inline uint64_t cell_checksum(const IndirectionCell& cell) noexcept {
  const std::array<uint64_t, 3> words{cell.key_hash, cell.generation, cell.routing_hash};
  return checksum64(object_bytes(words));
}

/// Whether what was read from `address` is the cell that it was given out as, for that key.
inline bool is_cell_of(const IndirectionCell& cell, GlobalAddress address,
                       uint64_t key_hash) noexcept {
  return cell.key_hash == key_hash &&
         static_cast<uint8_t>(cell.generation) == address.generation() &&
         cell.checksum == cell_checksum(cell);
}

}  // namespace dinomo::pool
