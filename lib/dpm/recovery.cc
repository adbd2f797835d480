// SPDX-License-Identifier: BSD-3-Clause
#include "dpm/recovery.h"

#include <algorithm>
#include <atomic>

#include "common/planted.h"
#include "index/resizer.h"
#include "log/log_reader.h"
#include "pool/superblock.h"

namespace dinomo::dpm {

using index::Bucket;
using index::Slot;
using pool::GlobalAddress;
using pool::SegmentState;

namespace {

constexpr uint64_t kBucketsPerPiece = 4096;

/// Walks chains of a range of head buckets. Other ranges are walked at the same time; no chain is
/// in two of them, and crossed chains are told by OverflowPool::mark_used.
class ChainScan {
 public:
  ChainScan(pool::Space& space, SegmentTable& segments, index::OverflowPool& overflow,
            bool validate)
      : space_(space), segments_(segments), overflow_(overflow), validate_(validate) {}

  void unlock(Bucket* head) noexcept {
    if ((head->header & index::kLockBit) == 0 || planted("locks-kept")) return;
    std::atomic_ref<uint64_t>(head->header).fetch_and(~index::kLockBit);
    ++locks_cleared;
  }

  void chain(Bucket* head) noexcept {
    unlock(head);
    if ((head->header & index::kMigratedBit) != 0) return;  // in the next table
    Bucket* bucket = head;
    for (uint32_t n = 1;; ++n) {
      for (Slot& slot : bucket->slots) {
        if (slot.hash != 0) check(slot);
      }
      if (bucket->next == 0) return;
      if (n == index::kChainBucketsMax || !overflow_.mark_used(bucket->next)) {
        set(bucket->next, 0);
        ++links_cut;
        return;
      }
      bucket = space_.record<Bucket>(bucket->next);
    }
  }

  uint64_t items = 0;
  uint64_t slots_discarded = 0;
  uint64_t links_cut = 0;
  uint64_t locks_cleared = 0;

 private:
  void set(uint64_t& word, uint64_t value) noexcept {
    std::atomic_ref<uint64_t>(word).store(value, std::memory_order_release);
    space_.persist().persist(&word, sizeof word);
  }

  void check(Slot& slot) noexcept {
    const GlobalAddress address(slot.address);
    const uint32_t id = address.is_indirect() ? kNoSegment : segments_.find(address.offset_bytes());
    if (id == kNoSegment || (validate_ && !refers_to_entry(slot.hash, address))) {
      set(slot.hash, 0);
      ++slots_discarded;
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
  index::OverflowPool& overflow_;
  const bool validate_;
};

bool is_open(SegmentTable& segments, uint32_t id) noexcept {
  return segments.header(id).state == static_cast<uint32_t>(SegmentState::kOpen);
}

pool::LogRecord& log_record(pool::Space& space, uint32_t log_id) noexcept {
  return *space.record<pool::LogRecord>(pool::log_record_offset(space.superblock(), log_id));
}

/// Finds the place after merged_lsn in the oldest open segment.
void place_cursor(LogState& log, SegmentTable& segments) noexcept {
  const uint32_t id = log.open_segment(log.sequence);
  if (log.sequence > log.granted.load() || id == kNoSegment) return;
  const uint32_t generation = segments.header(id).generation;
  const uint64_t first = log::LogReader::first_lsn(segments.bytes(id), generation, log.id);
  if (first == 0 || first > log.next_lsn) return;
  log::LogReader reader(segments.bytes(id), generation, log.id, log.offset, first);
  log::Entry entry;
  while (reader.next_lsn() < log.next_lsn && reader.next(&entry) == log::Step::kEntry) {
  }
  if (reader.next_lsn() == log.next_lsn && reader.finished()) {
    log.offset = segments.bytes(id).size();  // merged to its end, but not yet closed
    return;
  }
  // Short of merged_lsn only if merged entries were damaged; the log then goes nowhere from here,
  // which is what next_lsn at a wrong offset gives.
  log.offset = reader.offset();
}

}  // namespace

namespace {

/// What a resize left when it was interrupted: of chains that are not marked, copies in the next
/// table that mean nothing; and tables that no root names.
void settle_resize(pool::Space& space, index::IndexWriter& index, MergePool& workers,
                   RecoveryReport* report) {
  pool::IndexRoot& root = index.root();
  if (root.next == root.current) {  // all but the last store was done
    root.next = 0;
    space.persist().persist(&root, sizeof root);
  }
  const pool::TableRef from = index.table();
  const pool::TableRef to = index.next_table();
  for (const auto& object : space.objects(pool::ObjectType::kIndexTable)) {
    if (object.offset != from.offset_bytes() && (!to || object.offset != to.offset_bytes())) {
      space.release(object.offset);
    }
  }
  if (!to) return;
  report->resize_continued = true;
  const index::Memory& memory = index.memory();
  workers.parallel_for(to.buckets(), kBucketsPerPiece, [&](uint64_t begin, uint64_t end) {
    for (uint64_t i = begin; i < end; ++i) {
      std::atomic_ref<uint64_t>(memory.head(to, i)->header).fetch_and(~index::kLockBit);
    }
  });
  workers.parallel_for(from.buckets(), kBucketsPerPiece, [&](uint64_t begin, uint64_t end) {
    for (uint64_t i = begin; i < end; ++i) {
      if ((memory.head(from, i)->header & index::kMigratedBit) == 0) {
        index::drop_copies(memory, from, i, to);
      }
    }
    space.persist().drain();
  });
}

}  // namespace

void recover_index(pool::Space& space, SegmentTable& segments, index::IndexWriter& index,
                   index::OverflowPool& overflow, MergePool& workers, RecoveryReport* report) {
  settle_resize(space, index, workers, report);
  std::atomic<uint64_t> items{0};
  std::atomic<uint64_t> discarded{0};
  std::atomic<uint64_t> cut{0};
  std::atomic<uint64_t> unlocked{0};
  for (const pool::TableRef table : {index.table(), index.next_table()}) {
    if (!table) continue;
    workers.parallel_for(table.buckets(), kBucketsPerPiece, [&](uint64_t begin, uint64_t end) {
      ChainScan scan(space, segments, overflow, !report->clean);
      for (uint64_t i = begin; i < end; ++i) scan.chain(index.memory().head(table, i));
      items.fetch_add(scan.items);
      discarded.fetch_add(scan.slots_discarded);
      cut.fetch_add(scan.links_cut);
      unlocked.fetch_add(scan.locks_cleared);
    });
  }
  report->items = items.load();
  report->slots_discarded = discarded.load();
  report->links_cut = cut.load();
  report->locks_cleared = unlocked.load();
  overflow.finish_recovery();
}

void revoke_unanswered_grants(pool::Space& space, SegmentTable& segments) {
  for (uint32_t id = 0; id < segments.size(); ++id) {
    if (!is_open(segments, id)) continue;
    const pool::SegmentHeader& h = segments.header(id);
    const bool known = h.log_id < pool::log_count(space.superblock());
    if (known && h.sequence <= log_record(space, h.log_id).granted_sequence) continue;
    segments.revoke_grant(id);
  }
}

LogStates recover_logs(pool::Space& space, SegmentTable& segments, RecoveryReport* report) {
  const uint32_t count = pool::log_count(space.superblock());
  LogStates logs;
  for (uint32_t id = 0; id < count; ++id) {
    const pool::LogRecord& r = log_record(space, id);
    auto log = std::make_unique<LogState>();
    log->id = static_cast<uint16_t>(id);
    for (auto& open : log->open) open.store(kNoSegment);
    log->granted.store(r.granted_sequence);
    log->next_lsn = r.merged_lsn + 1;
    log->merged_lsn.store(r.merged_lsn);
    log->incarnation = r.incarnation;
    log->sequence = UINT64_MAX;
    logs.push_back(std::move(log));
  }
  for (uint32_t id = 0; id < segments.size(); ++id) {
    if (!is_open(segments, id)) continue;
    const pool::SegmentHeader& h = segments.header(id);
    LogState& log = *logs[h.log_id];
    log.sequence = std::min(log.sequence, h.sequence);
    log.granted.store(std::max(log.granted.load(), h.sequence));
    log.set_open_segment(h.sequence, id);
  }
  for (auto& log : logs) {
    pool::LogRecord& r = log_record(space, log->id);
    if (log->sequence == UINT64_MAX) {
      log->sequence = log->granted.load() + 1;
    } else {
      ++report->logs_open;
    }
    log->merged_sequence.store(log->sequence - 1);
    if (r.granted_sequence != log->granted.load() || r.merged_sequence != log->sequence - 1) {
      r.granted_sequence = log->granted.load();
      r.merged_sequence = log->sequence - 1;
      space.persist().persist(&r.granted_sequence, 2 * sizeof(uint64_t));
    }
    place_cursor(*log, segments);
  }
  return logs;
}

}  // namespace dinomo::dpm
