// SPDX-License-Identifier: BSD-3-Clause
// What the index writer and the resizer do to one chain of buckets, and how they find it while a
// resize is under way. Internal to lib/index.
#pragma once

#include <atomic>
#include <utility>

#include "common/bytes.h"
#include "common/status.h"
#include "index/format.h"
#include "index/overflow_pool.h"
#include "index/sections.h"
#include "pool/address.h"
#include "pool/format.h"
#include "pool/persist.h"

namespace dinomo::index {

inline uint64_t get(uint64_t& word) noexcept {
  return std::atomic_ref<uint64_t>(word).load(std::memory_order_acquire);
}
inline void put(uint64_t& word, uint64_t value) noexcept {
  std::atomic_ref<uint64_t>(word).store(value, std::memory_order_release);
}

/// Writer lock of a chain, taken for a bounded time. The bit means nothing to a later process.
class HeadLock {
 public:
  HeadLock() noexcept = default;
  explicit HeadLock(Bucket* head) noexcept;
  ~HeadLock() { release(); }
  HeadLock(HeadLock&& other) noexcept : head_(std::exchange(other.head_, nullptr)) {}
  HeadLock& operator=(HeadLock&& other) noexcept {
    release();
    head_ = std::exchange(other.head_, nullptr);
    return *this;
  }
  HeadLock(const HeadLock&) = delete;
  HeadLock& operator=(const HeadLock&) = delete;
  bool held() const noexcept { return head_ != nullptr; }

 private:
  void release() noexcept;
  Bucket* head_ = nullptr;
};

/// The pool's buckets. Copied freely.
struct Memory {
  MutableBytes bytes;
  pool::Persist* persist;
  OverflowPool* overflow;

  Bucket* bucket_at(uint64_t offset) const noexcept {
    return reinterpret_cast<Bucket*>(bytes.data() + offset);
  }
  Bucket* head(pool::TableRef table, uint64_t head_index) const noexcept {
    return bucket_at(table.offset_bytes() + head_index * sizeof(Bucket));
  }
  Bucket* head_of(pool::TableRef table, uint64_t hash) const noexcept {
    return head(table, bucket_index(hash, table.buckets_log2()));
  }
  bool is_bucket(uint64_t offset) const noexcept {
    return offset % sizeof(Bucket) == 0 && offset <= bytes.size() - sizeof(Bucket);
  }
  void set(uint64_t& word, uint64_t value) const noexcept {  // flushed, not drained
    put(word, value);
    persist->flush(&word, sizeof word);
  }
};

/// Calls visit(bucket, previous) along a chain until it returns true. kOk, or kCorrupt: a link out
/// of the pool or a chain over kChainBucketsMax. previous: null for the head.
template <class Visit>
Status walk_chain(const Memory& memory, Bucket* head, Visit&& visit) noexcept {
  Bucket* previous = nullptr;
  Bucket* bucket = head;
  for (uint32_t n = 1; n <= kChainBucketsMax; ++n) {
    if (visit(bucket, previous)) return Status::kOk;
    const uint64_t next = get(bucket->next);
    if (next == 0) return Status::kOk;
    if (!memory.is_bucket(next)) return Status::kCorrupt;
    previous = bucket;
    bucket = memory.bucket_at(next);
  }
  return Status::kCorrupt;
}

/// Heads of `to` that hold the hashes of chain `head` of `from`. In a smaller table the one head
/// holds those of other chains, too.
struct HeadRange {
  uint64_t begin;
  uint64_t end;
};
inline HeadRange heads_over(pool::TableRef from, uint64_t head, pool::TableRef to) noexcept {
  if (to.buckets_log2() < from.buckets_log2()) {
    const uint64_t at = head >> (from.buckets_log2() - to.buckets_log2());
    return {at, at + 1};
  }
  const uint32_t shift = to.buckets_log2() - from.buckets_log2();
  return {head << shift, (head + 1) << shift};
}

/// Where a new slot of a chain can go.
struct Place {
  Slot* empty = nullptr;
  Bucket* last = nullptr;
  uint32_t buckets = 0;

  /// To be called for every bucket of the chain in turn.
  void note(Bucket* bucket) noexcept {
    last = bucket;
    ++buckets;
    if (empty != nullptr) return;
    for (Slot& slot : bucket->slots) {
      if (get(slot.hash) != 0) continue;
      empty = &slot;
      return;
    }
  }
};

/// Fills the place; the caller holds the chain's lock and `header` is that of its buckets. Flushed,
/// not drained. kNoSpace: nothing was changed.
Status add_slot(const Memory& memory, const Place& place, uint64_t header, Slot slot) noexcept;

/// Clears a slot, and unlinks and retires its bucket if that leaves an overflow bucket empty. The
/// caller holds the lock. Flushed, not drained.
void clear_slot(const Memory& memory, Slot* slot, Bucket* bucket, Bucket* previous) noexcept;

}  // namespace dinomo::index
