// SPDX-License-Identifier: BSD-3-Clause
// The indirection cells of replicated keys (kn/shared_keys.h has the protocol): given out and taken
// back for the leader, and kept right where the DPM moves entries.
//
// A cell lies beside the index, which goes on to refer to the newest merged entry: merge, recovery,
// fsck, expiry and the count of live bytes know nothing of cells. A cell's address is a hint that
// its key's writer keeps; whatever it says, 0 is safe. So all are set to 0 at start, and a cell
// that a crash left half-given is free.
//
// Thread rule: start(), install(), remove(), given() by the service thread; relocate() by any
// worker.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <vector>

#include "common/status.h"
#include "pool/cells.h"
#include "pool/space.h"

namespace dinomo::dpm {

class CellTable {
 public:
  explicit CellTable(pool::Space& space) noexcept;

  /// Finds the cells that the pool has. After the boot count was raised, before any KN can reach
  /// them.
  void start();

  /// A cell for the key, which says 0; the one that it has if it has one, unchanged but for the KNs
  /// wanted. kInvalid: hash 0, or another key has this routing hash, by which the ring would mix
  /// them up; kNoResource: kReplicatedKeysMax are given out; kNoSpace: there is no room in the pool
  /// for cells.
  Result<pool::GlobalAddress> install(uint64_t key_hash, uint64_t routing_hash,
                                      uint64_t kns_wanted);

  /// Takes the key's cell back if it is `cell`, or whichever it is if `cell` is 0. Readers do not
  /// believe it any more when this returns. kOk also if the key has no such cell.
  Status remove(uint64_t key_hash, pool::GlobalAddress cell) noexcept;

  /// The entry at `from` lies at `to`, too, and the index refers to it there.
  void relocate(uint64_t key_hash, pool::GlobalAddress from, pool::GlobalAddress to) noexcept;

  /// Of keys that have one, as they are in the pool.
  std::vector<pool::IndirectionCell> given() noexcept;
  uint32_t installed() const noexcept { return installed_.load(std::memory_order_relaxed); }

 private:
  static constexpr uint32_t kNone = UINT32_MAX;
  pool::IndirectionCell& cell(uint32_t number) noexcept;
  pool::GlobalAddress address_of(uint32_t number) noexcept;
  uint32_t find(uint64_t key_hash) const noexcept;
  bool make_room();
  void give(uint32_t number, uint64_t key_hash, uint64_t routing_hash = 0,
            uint64_t kns_wanted = 0) noexcept;
  bool is_routed(uint64_t routing_hash) noexcept;
  void want_kns(uint32_t number, uint64_t kns_wanted) noexcept;
  void tell_change() noexcept;

  pool::Space& space_;
  uint64_t offset_ = 0;  // of the first cell, 0: the pool has none yet
  uint64_t version_ = 0;
  uint32_t next_ = 0;  // where the search for a free one begins
  std::array<std::atomic<uint64_t>, pool::kCellCount> key_hashes_{};  // 0 free
  std::atomic<uint32_t> installed_{0};
};

}  // namespace dinomo::dpm
