// SPDX-License-Identifier: BSD-3-Clause
// The DPM's side of the index: changes P-CLHT in place, without log or undo (index/format.h says
// why every crash image is consistent). Readers, local and remote, never lock.
//
// Thread rule: any number of merge workers at once; writers of one chain exclude each other by the
// lock bit of its head bucket. Calls never block beyond that lock, also while a resize is under way
// (index/resizer.h): a chain is in the current table until its head is marked migrated, then in the
// next one.
// Durability: a call has flushed what it stored; it is durable after the caller's next
// Persist::drain(), so that a batch of updates pays for one drain. (Inserts drain in between, since
// the address must be durable before the hash that makes it valid.)
// Idempotent: storing the same address again and removing an absent key change nothing, so the
// merge may be replayed from any prefix. Errors: kCorrupt (a chain over kChainBucketsMax, or a link
// out of the pool), kNoSpace (no overflow bucket), kBusy (the lock was held for too long),
// kUnsupported (the key is shared through an indirection cell). Nothing was changed then.
#pragma once

#include <algorithm>

#include "common/bytes.h"
#include "common/status.h"
#include "index/chain.h"
#include "index/format.h"
#include "index/overflow_pool.h"
#include "index/sections.h"
#include "pool/address.h"
#include "pool/format.h"
#include "pool/persist.h"

namespace dinomo::index {

/// Finds the key that a slot's address refers to; two keys may have one hash. Any thread.
class KeySource {
 public:
  virtual ~KeySource() = default;
  /// Valid while the entry is in the index; an error if there is no entry at the address.
  virtual Result<Bytes> key_at(pool::GlobalAddress address) noexcept = 0;
};

/// A chain can be found moved at most once per resize that ends while we look for it.
inline constexpr uint32_t kMovesMax = 16;

class IndexWriter {
 public:
  /// `root` lies in the pool; its words are changed by the resizer only.
  IndexWriter(MutableBytes memory, pool::IndexRoot& root, pool::Persist& persist, KeySource& keys,
              OverflowPool& overflow) noexcept
      : memory_{memory, &persist, &overflow}, root_(root), keys_(keys) {}

  /// Makes `key` refer to `address`. Returns the address replaced: 0 if the key was absent,
  /// `address` itself if nothing changed.
  Result<pool::GlobalAddress> upsert(uint64_t hash, Bytes key,
                                     pool::GlobalAddress address) noexcept;

  /// Returns the address removed, 0 if the key was absent.
  Result<pool::GlobalAddress> remove(uint64_t hash, Bytes key) noexcept;

  /// Makes the slot that holds `from` hold `to`, which is a durable copy of the same entry
  /// (compaction). False if no slot of that hash holds `from` (any more): nothing was changed.
  Result<bool> relocate(uint64_t hash, pool::GlobalAddress from, pool::GlobalAddress to) noexcept;

  /// Removes the slot that holds `address` (expiry). False as for relocate().
  Result<bool> erase_if(uint64_t hash, pool::GlobalAddress address) noexcept;

  /// True if a slot of that hash holds `address`. Lock-free: while the chain moves to another table
  /// it may be missed, so false is a hint only.
  bool refers(uint64_t hash, pool::GlobalAddress address) noexcept;

  /// kNotFound if absent. Lock-free.
  Result<pool::GlobalAddress> find(uint64_t hash, Bytes key) noexcept;

  /// Every slot, for fsck and background work; lock-free, any number at once, and while a resize is
  /// under way. An item that stays in the index while the scan goes on is visited at least once.
  class Scan {
   public:
    explicit Scan(IndexWriter& index) noexcept;
    /// Chains are numbered [0, heads()); ranges may be visited in any order, by any threads.
    uint64_t heads() const noexcept { return current_.buckets(); }
    /// Calls visit(uint64_t hash, GlobalAddress). kCorrupt: a chain of the range is damaged; the
    /// others were visited.
    template <class Visit>
    Status visit(uint64_t begin, uint64_t end, Visit&& visit) noexcept;

   private:
    template <class Visit>
    Status visit_head(pool::TableRef table, uint64_t head, uint64_t wanted, uint32_t moves,
                      Visit& visit) noexcept;
    IndexWriter& index_;
    Sections::Section section_;  // the tables are not freed while the scan lives: keep it short
    const pool::TableRef current_;
  };

  /// Hints for batches: first the bucket, a little later the entries that its slots with this hash
  /// refer to.
  void prefetch_bucket(uint64_t hash) noexcept;
  void prefetch_entries(uint64_t hash) noexcept;

  pool::TableRef table() const noexcept { return pool::TableRef(get(root_.current)); }
  /// Being filled by a resize; 0 none.
  pool::TableRef next_table() const noexcept { return pool::TableRef(get(root_.next)); }
  Bucket* head(uint64_t hash) noexcept { return memory_.head_of(table(), hash); }
  Bucket* bucket_at(uint64_t offset) noexcept { return memory_.bucket_at(offset); }
  const Memory& memory() const noexcept { return memory_; }
  pool::IndexRoot& root() noexcept { return root_; }
  Sections& sections() noexcept { return sections_; }

 private:
  struct Found {
    Slot* slot = nullptr;
    Bucket* bucket = nullptr;
    Bucket* previous = nullptr;
    Place place;
  };
  struct Chain {
    HeadLock lock;
    Bucket* head = nullptr;
    uint64_t header = 0;
  };
  Status lock_chain(uint64_t hash, Chain* out) noexcept;
  Status find_key(Bucket* head, uint64_t hash, Bytes key, Found* out) noexcept;
  Status find_address(Bucket* head, uint64_t hash, pool::GlobalAddress address,
                      Found* out) noexcept;

  Memory memory_;
  pool::IndexRoot& root_;
  KeySource& keys_;
  Sections sections_;
};

/// Writes empty heads [begin, end) of a table that nobody can reach yet; durable after a drain.
void format_heads(MutableBytes memory, pool::TableRef table, uint64_t begin, uint64_t end,
                  pool::Persist& persist) noexcept;

template <class Visit>
Status IndexWriter::Scan::visit(uint64_t begin, uint64_t end, Visit&& visit) noexcept {
  Status status = Status::kOk;
  for (uint64_t i = begin; i < std::min(end, heads()); ++i) {
    const Status s = visit_head(current_, i, i, kMovesMax, visit);
    if (!ok(s)) status = s;
  }
  return status;
}

/// Visits of chain `head` of `table` what belongs to chain `wanted` of the scan's table. A marked
/// chain's items are by now in the root's table, or in the next one.
template <class Visit>
Status IndexWriter::Scan::visit_head(pool::TableRef table, uint64_t head, uint64_t wanted,
                                     uint32_t moves, Visit& visit) noexcept {
  Bucket* first = index_.memory_.head(table, head);
  if ((get(first->header) & kMigratedBit) == 0) {
    return walk_chain(index_.memory_, first, [&](Bucket* bucket, Bucket*) {
      for (Slot& slot : bucket->slots) {
        const uint64_t hash = get(slot.hash);
        const pool::GlobalAddress address(get(slot.address));
        if (hash == 0 || get(slot.hash) != hash) continue;
        if (bucket_index(hash, current_.buckets_log2()) == wanted) visit(hash, address);
      }
      return false;
    });
  }
  if (moves == 0) return Status::kBusy;
  // In this order: the next table becomes the current one before it stops to be the next one.
  const pool::TableRef next = index_.next_table();
  const pool::TableRef current = index_.table();
  const pool::TableRef to = current != table || !next ? current : next;
  const HeadRange heads = heads_over(table, head, to);
  Status status = Status::kOk;
  for (uint64_t n = heads.begin; n < heads.end; ++n) {
    const Status s = visit_head(to, n, wanted, moves - 1, visit);
    if (!ok(s)) status = s;
  }
  return status;
}

}  // namespace dinomo::index
