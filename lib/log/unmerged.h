// SPDX-License-Identifier: BSD-3-Clause
// Entries of one log that are durable but not yet in the index, findable by key hash, newest first.
// A read looks here before it looks into the index, so it never depends on the merge.
//
// Several entries may have one hash (versions of a key, or different keys): a cursor walks from the
// newest to the oldest and the reader compares keys in the entries. Tombstones are kept, too.
//
//   ring      [oldest .............. newest]   one record an entry, in LSN order
//   table     hash -> newest ring position      open addressing, backward-shift deletion
//
// Thread rule: the owning worker. No allocation after construction.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "pool/address.h"

namespace dinomo::log {

class Unmerged {
 public:
  struct Candidate {
    pool::GlobalAddress address;
    bool tombstone = false;
    uint64_t position = 0;  // cursor, 0 none
    explicit operator bool() const noexcept { return position != 0; }
  };

  /// Room for 2^capacity_log2 entries; 40 bytes each.
  explicit Unmerged(uint32_t capacity_log2);

  bool full() const noexcept { return newest_ - oldest_ == ring_.size(); }
  uint64_t size() const noexcept { return newest_ - oldest_; }

  /// `lsn` is larger than every one before. Not when full().
  void add(uint64_t hash, uint64_t lsn, pool::GlobalAddress address, bool tombstone) noexcept;

  Candidate newest(uint64_t hash) const noexcept;
  /// The next older candidate with the same hash.
  Candidate older(const Candidate& candidate) const noexcept;

  /// Starts loading what newest() will touch.
  void prefetch(uint64_t hash) const noexcept {
    if (newest_ != oldest_) __builtin_prefetch(&table_[home(hash)]);
  }

  /// Starts loading what add() will touch. The table is larger than a cache, its cells are random.
  void prefetch_add(uint64_t hash) const noexcept { __builtin_prefetch(&table_[home(hash)], 1); }

  /// Forgets every entry with an LSN up to `merged_lsn`: they are in the index.
  void forget(uint64_t merged_lsn) noexcept;
  void clear() noexcept;

 private:
  struct Record {
    uint64_t hash;
    uint64_t lsn;
    uint64_t address;
    uint64_t older : 63;  // position of the next older record with this hash, 0 none
    uint64_t tombstone : 1;
  };

  size_t home(uint64_t hash) const noexcept { return hash & (table_.size() - 1); }
  Record& record(uint64_t position) noexcept { return ring_[position & (ring_.size() - 1)]; }
  const Record& record(uint64_t position) const noexcept {
    return ring_[position & (ring_.size() - 1)];
  }
  /// Index of the table cell that holds `hash`, or of the empty cell where it would go.
  size_t find(uint64_t hash) const noexcept;
  void erase(size_t cell) noexcept;
  Candidate at(uint64_t position) const noexcept;

  std::vector<Record> ring_;
  std::vector<uint64_t> table_;  // ring position, 0 empty
  uint64_t oldest_ = 1;          // positions start at 1
  uint64_t newest_ = 1;          // next free
};

}  // namespace dinomo::log
