// SPDX-License-Identifier: BSD-3-Clause
// The ownership ring as the leader, KNs and their clients use it: a table of 4096 partitions -> KN
// slot, with a version, and the keys that are replicated. A ring is a value: made and changed by
// the control lcore, read by workers through RCU.
//
// A replicated key is written by the owner of its partition, as any key is, and read at any KN that
// its entry names, through the entry's indirection cell (kn/shared_keys.h has the protocol). Two
// rules bind whoever makes rings, or reads become stale:
//   - a key is listed with a cell that was installed for it (MailboxOpcode::kInstallCell);
//   - a ring that does not list a key any more comes into force only after the DPM has answered
//     that the key's cell is removed (kRemoveCell).
// The list of KNs may change with any ring.
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "common/bytes.h"
#include "common/hash.h"
#include "pool/format.h"
#include "wire/format.h"

namespace dinomo::ring {

static_assert(kPartitions == pool::kPartitionCount);

struct Ring {
  uint64_t version = 0;  // 0: none yet
  std::array<uint16_t, kPartitions> owner;
  std::bitset<kPartitions> moving;  // served by nobody now: between two owners
  std::bitset<kPartitions> pinned;  // somebody wants them at a certain KN (pool::PinTable)
  // By KN slot: the incarnation that serves what the slot owns. Another one of that slot does not.
  std::array<uint32_t, pool::kRingSlotsMax> incarnation{};
  uint64_t leader = 0;                            // LeaderLease::holder that wrote it
  std::vector<wire::KnRecord> kns{};              // members, for clients; not in the record
  std::vector<pool::ReplicatedKey> replicated{};  // at most kReplicatedKeysMax

  Ring() noexcept { owner.fill(pool::kNoOwner); }

  uint16_t owner_of(uint64_t routing_hash) const noexcept {
    return owner[partition_of(routing_hash)];
  }
  bool serves(uint16_t kn_slot, uint32_t partition) const noexcept {
    return owner[partition] == kn_slot && !moving[partition];
  }
  /// nullptr if the key is not replicated. Takes time by the number of those that are.
  const pool::ReplicatedKey* find_replicated(uint64_t routing_hash) const noexcept;
};

/// The entry of a key that `kns` may read; at most kReplicasMax of them count.
pool::ReplicatedKey make_replicated(uint64_t routing_hash, uint64_t cell,
                                    std::span<const uint16_t> kns) noexcept;

/// Record for the pool's directory; checksum set. Replicated keys beyond kReplicatedKeysMax are
/// left out.
pool::RingRecord to_record(const Ring& ring) noexcept;

/// False if the record was never written, its checksum does not fit, or it lists more than it can.
bool from_record(const pool::RingRecord& record, Ring* ring) noexcept;

/// The newer valid one of the two copies at `records`; version 0 if none is.
Ring newest_of(Bytes records) noexcept;
/// The same for coroutines: a ring is larger than their frames.
std::unique_ptr<Ring> newest_on_heap(Bytes records);

/// Writes a page of the ring for a RING reply: RingPage, KN records, owners, replicated keys, as
/// many as fit in `capacity` bytes of `out` (at least 128). Returns the bytes written.
size_t encode_page(const Ring& ring, const wire::RingExtras& wanted, std::byte* out,
                   size_t capacity) noexcept;

}  // namespace dinomo::ring
