// SPDX-License-Identifier: BSD-3-Clause
// The DPM's side of the index: changes P-CLHT in place, without log or undo (index/format.h says
// why every crash image is consistent). Readers, local and remote, never lock.
//
// Thread rule: any number of merge workers at once; writers of one chain exclude each other by the
// lock bit of its head bucket. Calls never block beyond that lock.
// Durability: a call has flushed what it stored; it is durable after the caller's next
// Persist::drain(), so that a batch of updates pays for one drain. (Inserts drain in between, since
// the address must be durable before the hash that makes it valid.)
// Idempotent: storing the same address again and removing an absent key change nothing, so the
// merge may be replayed from any prefix. Errors: kCorrupt (a chain over kChainBucketsMax, or a link
// out of the pool), kNoSpace (no overflow bucket), kBusy (the lock was held for too long),
// kUnsupported (the key is shared through an indirection cell). Nothing was changed then.
#pragma once

#include "common/bytes.h"
#include "common/status.h"
#include "index/format.h"
#include "index/overflow_pool.h"
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

class IndexWriter {
 public:
  IndexWriter(MutableBytes memory, pool::TableRef table, pool::Persist& persist, KeySource& keys,
              OverflowPool& overflow) noexcept
      : memory_(memory), table_(table), persist_(persist), keys_(keys), overflow_(overflow) {}

  /// Makes `key` refer to `address`. Returns the address replaced: 0 if the key was absent,
  /// `address` itself if nothing changed.
  Result<pool::GlobalAddress> upsert(uint64_t hash, Bytes key,
                                     pool::GlobalAddress address) noexcept;

  /// Returns the address removed, 0 if the key was absent.
  Result<pool::GlobalAddress> remove(uint64_t hash, Bytes key) noexcept;

  /// kNotFound if absent. Lock-free.
  Result<pool::GlobalAddress> find(uint64_t hash, Bytes key) noexcept;

  /// Hints for batches: first the bucket, a little later the entries that its slots with this hash
  /// refer to.
  void prefetch_bucket(uint64_t hash) noexcept;
  void prefetch_entries(uint64_t hash) noexcept;

  pool::TableRef table() const noexcept { return table_; }
  Bucket* head(uint64_t hash) noexcept {
    return bucket_at(table_.offset_bytes() +
                     bucket_index(hash, table_.buckets_log2()) * sizeof(Bucket));
  }
  Bucket* bucket_at(uint64_t offset) noexcept {
    return reinterpret_cast<Bucket*>(memory_.data() + offset);
  }

 private:
  struct Walk {
    Slot* match = nullptr;
    Slot* empty = nullptr;
    Bucket* last = nullptr;
    uint32_t buckets = 0;
  };
  Status walk(Bucket* head, uint64_t hash, Bytes key, Walk* out) noexcept;
  Status insert(const Walk& walk, uint64_t hash, pool::GlobalAddress address) noexcept;
  Status append_bucket(Bucket* last, uint64_t hash, pool::GlobalAddress address) noexcept;

  MutableBytes memory_;
  pool::TableRef table_;
  pool::Persist& persist_;
  KeySource& keys_;
  OverflowPool& overflow_;
};

/// Writes an empty table; durable after a drain. The memory is not yet reachable.
void format_table(MutableBytes table, uint16_t version, pool::Persist& persist) noexcept;

}  // namespace dinomo::index
