// SPDX-License-Identifier: BSD-3-Clause
#include "index/index_writer.h"

#include <sched.h>

#include <atomic>

#include "common/planted.h"

namespace dinomo::index {

namespace {

constexpr uint32_t kSpinsPerYield = 64;
constexpr uint32_t kYieldsMax = 1u << 20;  // seconds: a holder was descheduled or died

uint64_t get(uint64_t& word) noexcept {
  return std::atomic_ref<uint64_t>(word).load(std::memory_order_acquire);
}
void put(uint64_t& word, uint64_t value) noexcept {
  std::atomic_ref<uint64_t>(word).store(value, std::memory_order_release);
}

/// Writer lock of a chain. The bit means nothing to a later process: recovery clears it.
class HeadLock {
 public:
  explicit HeadLock(Bucket* head) noexcept : header_(head->header) {
    for (uint32_t yields = 0; yields < kYieldsMax; ++yields) {
      for (uint32_t spins = 0; spins < kSpinsPerYield; ++spins) {
        if ((header_.load(std::memory_order_relaxed) & kLockBit) == 0 &&
            (header_.fetch_or(kLockBit, std::memory_order_acquire) & kLockBit) == 0) {
          held_ = true;
          return;
        }
        __builtin_ia32_pause();
      }
      sched_yield();
    }
  }
  ~HeadLock() {
    if (held_) header_.fetch_and(~kLockBit, std::memory_order_release);
  }
  HeadLock(const HeadLock&) = delete;
  HeadLock& operator=(const HeadLock&) = delete;
  bool held() const noexcept { return held_; }

 private:
  std::atomic_ref<uint64_t> header_;
  bool held_ = false;
};

}  // namespace

Status IndexWriter::walk(Bucket* head, uint64_t hash, Bytes key, Walk* out) noexcept {
  Bucket* bucket = head;
  for (uint32_t n = 1; n <= kChainBucketsMax; ++n) {
    for (Slot& slot : bucket->slots) {
      const uint64_t found = get(slot.hash);
      if (found == 0) {
        if (out->empty == nullptr) out->empty = &slot;
        continue;
      }
      if (found != hash) continue;
      const pool::GlobalAddress address(get(slot.address));
      if (get(slot.hash) != hash) continue;  // only without the lock: changed under us
      if (address.is_indirect()) return Status::kUnsupported;
      const auto other = keys_.key_at(address);
      // A slot without an entry serves nobody: it is taken for this key's and thereby replaced.
      if (!other || equal(*other, key)) {
        out->match = &slot;
        return Status::kOk;
      }
    }
    out->last = bucket;
    out->buckets = n;
    const uint64_t next = get(bucket->next);
    if (next == 0) return Status::kOk;
    if (next % sizeof(Bucket) != 0 || next > memory_.size() - sizeof(Bucket)) {
      return Status::kCorrupt;
    }
    bucket = bucket_at(next);
  }
  return Status::kCorrupt;
}

Status IndexWriter::append_bucket(Bucket* last, uint64_t hash,
                                  pool::GlobalAddress address) noexcept {
  const auto offset = overflow_.allocate();
  if (!offset) return offset.error();
  Bucket* bucket = bucket_at(*offset);
  // A remote reader may still hold an old link to here, so even this goes word by word.
  put(bucket->header, uint64_t{table_.version()} << kVersionShift);
  for (Slot& slot : bucket->slots) put(slot.hash, 0);
  for (Slot& slot : bucket->slots) put(slot.address, 0);
  put(bucket->next, 0);
  put(bucket->slots[0].address, address.word());
  put(bucket->slots[0].hash, hash);
  if (!planted("overflow-linked-before-complete")) persist_.persist(bucket, sizeof(Bucket));
  put(last->next, *offset);
  persist_.flush(&last->next, sizeof last->next);
  return Status::kOk;
}

Status IndexWriter::insert(const Walk& walk, uint64_t hash, pool::GlobalAddress address) noexcept {
  if (walk.empty == nullptr) {
    if (walk.buckets == kChainBucketsMax) return Status::kNoSpace;
    return append_bucket(walk.last, hash, address);
  }
  if (planted("hash-before-address")) {
    put(walk.empty->hash, hash);
    persist_.persist(&walk.empty->hash, sizeof walk.empty->hash);
  }
  put(walk.empty->address, address.word());
  persist_.persist(&walk.empty->address, sizeof walk.empty->address);
  put(walk.empty->hash, hash);
  persist_.flush(&walk.empty->hash, sizeof walk.empty->hash);
  return Status::kOk;
}

Result<pool::GlobalAddress> IndexWriter::upsert(uint64_t hash, Bytes key,
                                                pool::GlobalAddress address) noexcept {
  Bucket* head_bucket = head(hash);
  const HeadLock lock(head_bucket);
  if (!lock.held()) return std::unexpected(Status::kBusy);
  Walk at;
  if (const Status s = walk(head_bucket, hash, key, &at); !ok(s)) return std::unexpected(s);
  if (at.match == nullptr) {
    if (const Status s = insert(at, hash, address); !ok(s)) return std::unexpected(s);
    return pool::GlobalAddress();
  }
  const pool::GlobalAddress old(get(at.match->address));
  if (old != address) {
    put(at.match->address, address.word());
    if (planted("update-not-flushed")) return old;
    persist_.flush(&at.match->address, sizeof at.match->address);
  }
  return old;
}

Result<pool::GlobalAddress> IndexWriter::remove(uint64_t hash, Bytes key) noexcept {
  Bucket* head_bucket = head(hash);
  const HeadLock lock(head_bucket);
  if (!lock.held()) return std::unexpected(Status::kBusy);
  Walk at;
  if (const Status s = walk(head_bucket, hash, key, &at); !ok(s)) return std::unexpected(s);
  if (at.match == nullptr) return pool::GlobalAddress();
  const pool::GlobalAddress old(get(at.match->address));
  put(at.match->hash, 0);
  if (planted("delete-not-flushed")) return old;
  persist_.flush(&at.match->hash, sizeof at.match->hash);
  return old;
}

Result<pool::GlobalAddress> IndexWriter::find(uint64_t hash, Bytes key) noexcept {
  Walk at;
  if (const Status s = walk(head(hash), hash, key, &at); !ok(s)) return std::unexpected(s);
  if (at.match == nullptr) return std::unexpected(Status::kNotFound);
  return pool::GlobalAddress(get(at.match->address));
}

void IndexWriter::prefetch_bucket(uint64_t hash) noexcept { __builtin_prefetch(head(hash), 1); }

void IndexWriter::prefetch_entries(uint64_t hash) noexcept {
  for (Slot& slot : head(hash)->slots) {
    if (get(slot.hash) != hash) continue;
    const uint64_t offset = pool::GlobalAddress(get(slot.address)).offset_bytes();
    if (offset < memory_.size()) __builtin_prefetch(memory_.data() + offset);
  }
}

void format_table(MutableBytes table, uint16_t version, pool::Persist& persist) noexcept {
  Bucket empty{};
  empty.header = uint64_t{version} << kVersionShift;
  for (size_t at = 0; at + sizeof(Bucket) <= table.size(); at += sizeof(Bucket)) {
    store(table.data() + at, empty);
  }
  persist.flush(table.data(), table.size());
}

}  // namespace dinomo::index
