// SPDX-License-Identifier: BSD-3-Clause
// Recovery of the index; recovery_logs.cc has that of logs and segments.
#include "dpm/recovery.h"

#include <sys/mman.h>

#include <atomic>

#include "common/planted.h"
#include "index/resizer.h"
#include "log/format.h"
#include "pool/superblock.h"

namespace dinomo::dpm {

using index::Bucket;
using index::Slot;
using pool::GlobalAddress;

namespace {

constexpr uint64_t kBucketsPerPiece = 4096;
constexpr uint64_t kPageBytes = 4096;
constexpr uint64_t kHeadsAhead = 8;

/// Walks chains of a range of head buckets of one table. Other ranges are walked at the same time;
/// no chain is in two of them, and crossed chains are told by OverflowPool::mark_used.
class ChainScan {
 public:
  ChainScan(Recovery& r, index::OverflowPool& overflow, pool::TableRef table, bool may_be_moved,
            bool validate)
      : space_(r.space),
        segments_(r.segments),
        damage_(r.damage),
        overflow_(overflow),
        table_(table),
        may_be_moved_(may_be_moved),
        validate_(validate) {}

  /// Entries are all over the pool: each is a miss of the CPU's caches, so ask early.
  void prefetch(uint64_t head_index) noexcept {
    if (!validate_) return;
    for (const Slot& slot : head_at(head_index)->slots) {
      const uint64_t offset = GlobalAddress(slot.address).offset_bytes();
      if (slot.hash != 0 && offset < space_.memory().size()) __builtin_prefetch(space_.at(offset));
    }
  }

  void chain(uint64_t head_index) noexcept {
    Bucket* bucket = head_at(head_index);
    head_ = head_index;
    if (!check_head(bucket)) return;  // in the next table
    for (uint32_t n = 1;; ++n) {
      for (Slot& slot : bucket->slots) {
        if (slot.hash != 0) check(slot);
      }
      if (bucket->next == 0) return;
      if (n == index::kChainBucketsMax || !overflow_.mark_used(bucket->next)) {
        damage_.note(DamageKind::kLink, offset_of(bucket), bucket->next);
        set(bucket->next, 0);
        return;
      }
      bucket = space_.record<Bucket>(bucket->next);
      if (bucket->header != expected()) mend_header(bucket, expected());
    }
  }

  uint64_t items = 0;
  uint64_t locks_cleared = 0;

 private:
  Bucket* head_at(uint64_t head_index) noexcept {
    return space_.record<Bucket>(table_.offset_bytes() + head_index * sizeof(Bucket));
  }
  uint64_t expected() const noexcept { return index::chain_header(table_.version(), head_); }
  uint64_t offset_of(const void* of) noexcept {
    return static_cast<uint64_t>(static_cast<const std::byte*>(of) - space_.memory().data());
  }
  void set(uint64_t& word, uint64_t value) noexcept {
    std::atomic_ref<uint64_t>(word).store(value, std::memory_order_release);
    space_.persist().persist(&word, sizeof word);
  }
  void mend_header(Bucket* bucket, uint64_t header) noexcept {
    damage_.note(DamageKind::kBucketHeader, offset_of(bucket), bucket->header);
    set(bucket->header, header);
  }

  /// False if the chain has moved to the next table.
  bool check_head(Bucket* head) noexcept {
    const bool locked = (head->header & index::kLockBit) != 0;
    if (locked && !planted("locks-kept")) {
      std::atomic_ref<uint64_t>(head->header).fetch_and(~index::kLockBit);
      ++locks_cleared;
    }
    const uint64_t moved = may_be_moved_ ? head->header & index::kMigratedBit : 0;
    if ((head->header & ~index::kLockBit) != (expected() | moved)) {
      mend_header(head, expected() | moved);
    }
    return moved == 0;
  }

  void check(Slot& slot) noexcept {
    const GlobalAddress address(slot.address);
    const uint32_t id = address.is_indirect() ? kNoSegment : segments_.find(address.offset_bytes());
    if (id == kNoSegment || index::bucket_index(slot.hash, table_.buckets_log2()) != head_ ||
        (validate_ && !refers_to_entry(slot.hash, address))) {
      damage_.note(DamageKind::kSlot, offset_of(&slot), slot.hash, slot.address);
      set(slot.hash, 0);
      return;
    }
    ++items;
    if (!planted("live-bytes-not-counted")) segments_.add_live(id, address.length_bytes());
  }

  bool refers_to_entry(uint64_t hash, GlobalAddress address) noexcept {
    if (!segments_.key_at(address)) return false;
    log::Entry entry;
    const Bytes bytes{space_.at(address.offset_bytes()), address.length_bytes()};
    return log::parse_entry_low8(bytes, address.generation(), &entry) == log::EntryCheck::kValid &&
           entry.header.op == static_cast<uint8_t>(log::Op::kPut) &&
           key_hash(entry.key, space_.superblock().hash_seed) == hash;
  }

  pool::Space& space_;
  SegmentTable& segments_;
  DamageLog& damage_;
  index::OverflowPool& overflow_;
  const pool::TableRef table_;
  const bool may_be_moved_;
  const bool validate_;
  uint64_t head_ = 0;
};

}  // namespace

void settle_resize(Recovery& r, index::IndexWriter& index) {
  pool::IndexRoot& root = index.root();
  if (root.next == root.current) {  // all but the last store was done
    root.next = 0;
    r.space.persist().persist(&root, sizeof root);
  }
  const pool::TableRef from = index.table();
  const pool::TableRef to = index.next_table();
  for (const auto& object : r.space.objects(pool::ObjectType::kIndexTable)) {
    if (object.offset != from.offset_bytes() && (!to || object.offset != to.offset_bytes())) {
      r.space.release(object.offset);
    }
  }
  if (!to) return;
  r.report.resize_continued = true;
  const index::Memory& memory = index.memory();
  r.workers.parallel_for(to.buckets(), kBucketsPerPiece, [&](uint64_t begin, uint64_t end) {
    for (uint64_t i = begin; i < end; ++i) {
      std::atomic_ref<uint64_t>(memory.head(to, i)->header).fetch_and(~index::kLockBit);
    }
  });
  r.workers.parallel_for(from.buckets(), kBucketsPerPiece, [&](uint64_t begin, uint64_t end) {
    for (uint64_t i = begin; i < end; ++i) {
      if ((memory.head(from, i)->header & index::kMigratedBit) == 0) {
        index::drop_copies(memory, from, i, to);
      }
    }
    r.space.persist().drain();
  });
}

namespace {

/// Maps what will be read in any order, in order: a page fault for every entry would cost more than
/// the rest of recovery. Where the kernel does not know how, nothing is lost but time.
void map_segments(Recovery& r) {
  r.workers.parallel_for(r.segments.size(), 1, [&](uint64_t begin, uint64_t end) {
    for (uint64_t id = begin; id < end; ++id) {
      const Bytes bytes = r.segments.bytes(static_cast<uint32_t>(id));
      const auto address = reinterpret_cast<uintptr_t>(bytes.data());
      const uint64_t into_page = address % kPageBytes;
      madvise(r.space.at(r.segments.offset(static_cast<uint32_t>(id)) - into_page),
              bytes.size() + into_page, MADV_POPULATE_READ);
    }
  });
}

}  // namespace

void recover_index(Recovery& r, index::IndexWriter& index, index::OverflowPool& overflow,
                   bool validate) {
  if (validate) map_segments(r);
  std::atomic<uint64_t> items{0};
  std::atomic<uint64_t> unlocked{0};
  const pool::TableRef next = index.next_table();
  for (const pool::TableRef table : {index.table(), next}) {
    if (!table) continue;
    const bool may_be_moved = next && table != next;
    r.workers.parallel_for(table.buckets(), kBucketsPerPiece, [&](uint64_t begin, uint64_t end) {
      ChainScan scan(r, overflow, table, may_be_moved, validate);
      for (uint64_t i = begin; i < end; ++i) {
        if (i + kHeadsAhead < end) scan.prefetch(i + kHeadsAhead);
        scan.chain(i);
      }
      items.fetch_add(scan.items);
      unlocked.fetch_add(scan.locks_cleared);
    });
  }
  r.report.items = items.load();
  r.report.locks_cleared = unlocked.load();
  overflow.finish_recovery();
}

}  // namespace dinomo::dpm
