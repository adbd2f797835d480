// SPDX-License-Identifier: BSD-3-Clause
#include "dpm/merger.h"

#include <algorithm>

#include "common/planted.h"
#include "log/log_reader.h"
#include "pool/superblock.h"

namespace dinomo::dpm {

using log::Op;
using pool::GlobalAddress;

struct Merger::Batch {
  std::array<Item, kMergeBatch> items;
  uint32_t size = 0;
  uint32_t applied = 0;
  bool segment_finished = false;
  uint64_t begin = 0;      // offset in the segment before the first entry
  uint64_t end = 0;        // after the last one, kEnd included
  uint64_t next_lsn = 0;   // after the last one
  uint64_t put_bytes = 0;  // counted as live before the index refers to them
  uint32_t segment = kNoSegment;
  std::array<GlobalAddress, kMergeBatch> replaced;
  uint32_t replaced_count = 0;
  uint32_t puts = 0;
  uint32_t deletes = 0;
  uint32_t replayed = 0;
  int32_t items_delta = 0;
  uint64_t earliest_expiry_ms = UINT64_MAX;
  uint64_t unix_ms = 0;
};

namespace {

bool is(const log::Entry& entry, Op op) noexcept {
  return entry.header.op == static_cast<uint8_t>(op);
}

void store_word(uint64_t& word, uint64_t value) noexcept {
  std::atomic_ref<uint64_t>(word).store(value, std::memory_order_release);
}

}  // namespace

Merger::Merger(pool::Space& space, SegmentTable& segments, index::IndexWriter& index,
               SessionTable& sessions, Clock& clock) noexcept
    : space_(space),
      segments_(segments),
      index_(index),
      sessions_(sessions),
      clock_(clock),
      persist_(space.persist()),
      hash_seed_(space.superblock().hash_seed),
      node_id_(static_cast<uint8_t>(space.superblock().node_id)) {}

pool::LogRecord& Merger::record(const LogState& log) noexcept {
  return *space_.record<pool::LogRecord>(pool::log_record_offset(space_.superblock(), log.id));
}

MergeStop Merger::run(LogState& log, uint32_t batches) noexcept {
  Batch batch;
  MergeStop stop = MergeStop::kMore;
  for (uint32_t i = 0; i < batches && stop == MergeStop::kMore; ++i) {
    stop = merge_batch(log, &batch);
  }
  log.last_stop.store(stop, std::memory_order_relaxed);
  return stop;
}

MergeStop Merger::merge_batch(LogState& log, Batch* batch) noexcept {
  const uint64_t target = log.target_lsn.load(std::memory_order_acquire);
  if (log.next_lsn > target) return MergeStop::kReached;
  if (log.sequence > log.granted.load(std::memory_order_acquire)) return MergeStop::kNoSegment;
  const uint32_t segment = log.open_segment(log.sequence);
  if (segment == kNoSegment) {  // a hole is damage: a segment that nobody can tell any more
    return skip_unused_segments(log) ? MergeStop::kMore : MergeStop::kNotValid;
  }
  collect(log, segment, batch);
  if (batch->size == 0 && !batch->segment_finished) {
    const bool goes_on = find_place(log, segment) || skip_unused_segments(log);
    return goes_on ? MergeStop::kMore : MergeStop::kNotValid;
  }
  log.place_lost = false;
  // The KN's writes may still be on their way to durability; what the index refers to must not be.
  if (!planted("entries-not-flushed")) {
    persist_.persist(segments_.bytes(segment).data() + batch->begin, batch->end - batch->begin);
  }
  if (planted("merged-lsn-before-index")) {
    store_word(record(log).merged_lsn, batch->next_lsn - 1);
    persist_.persist(&record(log).merged_lsn, sizeof record(log).merged_lsn);
  }
  segments_.add_live(segment, batch->put_bytes);
  const Status status = apply(log, batch);
  persist_.drain();
  advance(log, segment, *batch);
  release_replaced(*batch);
  count(*batch);
  if (!ok(status)) {
    log.stall.store(status, std::memory_order_relaxed);
    counters_.stalls.fetch_add(1, std::memory_order_relaxed);
    return MergeStop::kStalled;
  }
  log.stall.store(Status::kOk, std::memory_order_relaxed);
  return MergeStop::kMore;
}

void Merger::collect(LogState& log, uint32_t segment, Batch* batch) noexcept {
  const uint64_t target = log.target_lsn.load(std::memory_order_acquire);
  log::LogReader reader(segments_.bytes(segment), segments_.header(segment).generation, log.id,
                        log.offset, log.next_lsn);
  *batch = Batch{};
  batch->segment = segment;
  batch->begin = log.offset;
  batch->unix_ms = clock_.unix_ms();
  const uint64_t start = segments_.offset(segment);
  log::Step step = log::Step::kEntry;
  while (batch->size < kMergeBatch && reader.next_lsn() <= target) {
    Item& item = batch->items[batch->size];
    const uint64_t at = reader.offset();
    step = reader.next(&item.entry);
    if (step != log::Step::kEntry) break;
    item.offset = start + at;
    if (!is(item.entry, Op::kOutcome)) {
      item.hash = key_hash(item.entry.key, hash_seed_);
      index_.prefetch_bucket(item.hash);
      if (is(item.entry, Op::kPut)) batch->put_bytes += log::entry_bytes(item.entry.header);
    }
    ++batch->size;
  }
  batch->segment_finished = reader.finished();
  batch->end = reader.offset();
  batch->next_lsn = reader.next_lsn();
}

Status Merger::apply(LogState& log, Batch* batch) noexcept {
  for (uint32_t i = 0; i < batch->size; ++i) {
    if (!is(batch->items[i].entry, Op::kOutcome)) index_.prefetch_entries(batch->items[i].hash);
  }
  for (uint32_t i = 0; i < batch->size; ++i) {
    if (const Status s = apply_one(log, batch->items[i], batch); !ok(s)) return s;
    ++batch->applied;
  }
  return Status::kOk;
}

Status Merger::apply_one(LogState& log, const Item& item, Batch* batch) noexcept {
  const log::Entry& entry = item.entry;
  if (is(entry, Op::kPut)) {
    const auto address = GlobalAddress::direct(
        node_id_, item.offset, static_cast<uint32_t>(log::entry_bytes(entry.header)),
        entry.header.generation);
    const auto old = index_.upsert(item.hash, entry.key, address);
    if (!old) return old.error();
    ++batch->puts;
    // An unchanged slot was counted when it was first written, so this entry counts once too much.
    if (*old) batch->replaced[batch->replaced_count++] = *old;
    if (*old == address) ++batch->replayed;
    if (!*old) ++batch->items_delta;
    if (const uint64_t expiry_ms = entry.header.expiry_ms; expiry_ms != 0) {
      batch->earliest_expiry_ms = std::min(batch->earliest_expiry_ms, expiry_ms);
    }
  } else if (is(entry, Op::kDelete) && !planted("tombstone-forgotten")) {
    const auto old = index_.remove(item.hash, entry.key);
    if (!old) return old.error();
    ++batch->deletes;
    if (*old) {
      batch->replaced[batch->replaced_count++] = *old;
      --batch->items_delta;
    }
  }
  if (entry.header.session != 0) sessions_.record(entry, batch->unix_ms, &log.sessions);
  return Status::kOk;
}

void Merger::advance(LogState& log, uint32_t segment, const Batch& batch) noexcept {
  pool::LogRecord& r = record(log);
  const bool whole = batch.applied == batch.size;
  if (whole) {
    log.next_lsn = batch.next_lsn;
    log.offset = batch.end;
  } else {
    const Item& first_left = batch.items[batch.applied];
    log.next_lsn = first_left.entry.header.lsn;
    log.offset = first_left.offset - segments_.offset(segment);
  }
  if (r.merged_lsn != log.next_lsn - 1) {
    store_word(r.merged_lsn, log.next_lsn - 1);
    persist_.persist(&r.merged_lsn, sizeof r.merged_lsn);
    log.merged_lsn.store(log.next_lsn - 1, std::memory_order_release);
  }
  if (!whole || !batch.segment_finished) return;
  finish_segment(log, segment, log.offset, log.next_lsn - 1);
}

void Merger::finish_segment(LogState& log, uint32_t segment, uint64_t end,
                            uint64_t last_lsn) noexcept {
  pool::LogRecord& r = record(log);
  if (segment != kNoSegment) segments_.close(segment, end, last_lsn);
  store_word(r.merged_sequence, log.sequence);
  persist_.persist(&r.merged_sequence, sizeof r.merged_sequence);
  log.merged_sequence.store(log.sequence, std::memory_order_release);
  ++log.sequence;
  log.offset = sizeof(pool::SegmentHeader);
}

/// Behind entries that were merged and are damaged since.
bool Merger::find_place(LogState& log, uint32_t segment) noexcept {
  if (!log.place_lost) return false;
  const uint64_t at =
      log::LogReader::find_lsn(segments_.bytes(segment), segments_.header(segment).generation,
                               log.id, log.offset, log.next_lsn);
  if (at == 0) return false;
  log.offset = at;
  log.place_lost = false;
  return true;
}

/// A KN that gave up waiting for a grant never writes to that segment, but goes on in a later one.
/// An LSN is given to one entry only, so a valid entry with the next one is the log's continuation.
bool Merger::skip_unused_segments(LogState& log) noexcept {
  if (log.offset != sizeof(pool::SegmentHeader) && !log.place_lost) return false;
  const uint64_t granted = log.granted.load(std::memory_order_acquire);
  for (uint64_t seq = log.sequence + 1; seq <= granted; ++seq) {
    const uint32_t id = log.open_segment(seq);
    if (id == kNoSegment ||
        log::LogReader::first_lsn(segments_.bytes(id), segments_.header(id).generation, log.id) !=
            log.next_lsn) {
      continue;
    }
    while (log.sequence < seq) {
      finish_segment(log, log.open_segment(log.sequence), log.offset, log.next_lsn - 1);
    }
    log.place_lost = false;
    return true;
  }
  return false;
}

void Merger::release_replaced(const Batch& batch) noexcept {
  for (uint32_t i = 0; i < batch.replaced_count; ++i) {
    const uint32_t id = segments_.find(batch.replaced[i].offset_bytes());
    if (id != kNoSegment) segments_.sub_live(id, batch.replaced[i].length_bytes());
  }
  uint64_t not_applied = 0;
  for (uint32_t i = batch.applied; i < batch.size; ++i) {
    const log::Entry& entry = batch.items[i].entry;
    if (is(entry, Op::kPut)) not_applied += log::entry_bytes(entry.header);
  }
  if (not_applied != 0) segments_.sub_live(batch.segment, not_applied);
}

void Merger::count(const Batch& batch) noexcept {
  constexpr auto kRelaxed = std::memory_order_relaxed;
  counters_.batches.fetch_add(1, kRelaxed);
  counters_.entries.fetch_add(batch.applied, kRelaxed);
  counters_.bytes.fetch_add(batch.end - batch.begin, kRelaxed);
  counters_.puts.fetch_add(batch.puts, kRelaxed);
  counters_.deletes.fetch_add(batch.deletes, kRelaxed);
  counters_.replayed.fetch_add(batch.replayed, kRelaxed);
  counters_.items.fetch_add(batch.items_delta, kRelaxed);
  uint64_t earliest = counters_.earliest_expiry_ms.load(kRelaxed);
  while (batch.earliest_expiry_ms < earliest &&
         !counters_.earliest_expiry_ms.compare_exchange_weak(earliest, batch.earliest_expiry_ms,
                                                             std::memory_order_acq_rel)) {
  }
}

}  // namespace dinomo::dpm
