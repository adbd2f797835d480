// SPDX-License-Identifier: BSD-3-Clause
// Checks and layout of the pool's root object. Pure functions; used by the DPM, which writes it,
// and by every KN, which reads it one-sidedly when it attaches.
#pragma once

#include <string>

#include "common/bytes.h"
#include "common/status.h"
#include "pool/format.h"

namespace dinomo::pool {

/// What the creator of a pool chooses; the rest of the superblock follows from it.
struct PoolGeometry {
  uint16_t node_id = 0;
  uint16_t kn_slots = 16;
  uint16_t workers_per_kn = 16;
  uint16_t mailbox_cells = 4;
  uint32_t session_count = 1024;
  uint32_t session_window = 256;
  uint64_t segment_bytes = uint64_t{8} << 20;
};

/// Bytes that the root object takes, superblock included.
uint64_t root_bytes(const PoolGeometry& geometry) noexcept;

/// Superblock for a pool whose root object starts at `root_offset` (multiple of 64); checksum set.
Superblock make_superblock(const PoolGeometry& geometry, uint64_t root_offset, uint64_t pool_bytes,
                           const std::array<uint8_t, 16>& uuid, uint64_t hash_seed,
                           uint64_t unix_ms) noexcept;

/// kOk, or what is wrong: kInvalid (magic: not a Dinomo pool), kVersion, kCorrupt (checksum or
/// offsets outside of the pool). `why`, if given, gets a sentence for people that says what to do.
Status check_superblock(const Superblock& superblock, uint64_t pool_bytes,
                        std::string* why) noexcept;

inline constexpr uint32_t log_count(const Superblock& s) noexcept {
  return uint32_t{s.kn_slots} * s.workers_per_kn;
}
inline constexpr uint16_t log_id_of(const Superblock& s, uint32_t kn_slot,
                                    uint32_t worker) noexcept {
  return static_cast<uint16_t>(kn_slot * s.workers_per_kn + worker);
}
inline constexpr uint64_t kn_slot_offset(const Superblock& s, uint32_t kn_slot) noexcept {
  return s.directory_offset + uint64_t{kn_slot} * sizeof(KnSlot);
}
inline constexpr uint64_t log_record_offset(const Superblock& s, uint32_t log_id) noexcept {
  return s.logs_offset + uint64_t{log_id} * sizeof(LogRecord);
}
/// `worker` = workers_per_kn names the control lcore's cells.
inline constexpr uint64_t mailbox_offset(const Superblock& s, uint32_t kn_slot, uint32_t worker,
                                         uint32_t cell) noexcept {
  return s.mailboxes_offset +
         ((uint64_t{kn_slot} * (s.workers_per_kn + 1u) + worker) * s.mailbox_cells + cell) *
             sizeof(MailboxCell);
}

}  // namespace dinomo::pool
