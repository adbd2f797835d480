// SPDX-License-Identifier: BSD-3-Clause
#include "log/log_writer.h"

#include <cassert>

#include "common/planted.h"

namespace dinomo::log {

LogWriter::LogWriter(const LogWriterConfig& config, fabric::Queue* queue, MutableBytes staging)
    : config_(config),
      queue_(queue),
      staging_(staging),
      next_lsn_(config.first_lsn),
      durable_lsn_(config.first_lsn - 1) {
  assert(staging.size() % kUnitBytes == 0 && staging.size() >= 4 * kEntryBytesMax);
  for (Commit& c : commits_) {
    c.callback = &LogWriter::on_complete;
    c.writer = this;
  }
  hint_.callback = &LogWriter::on_hint_complete;
}

bool LogWriter::room_in_segment(uint64_t bytes) const noexcept {
  return segment_used_ != 0 && segment_used_ + bytes <= config_.segment_bytes;
}

uint64_t LogWriter::unmerged_segments() const noexcept {
  if (segment_used_ == 0) return 0;
  const uint64_t full = segment_.sequence - 1;
  return full > merged_sequence_ ? full - merged_sequence_ : 0;
}

bool LogWriter::wants_segment() const noexcept {
  return spare_count_ == 0 && ok(failure_) &&
         (unmerged_segments() < config_.unmerged_segments_max + 1 || planted("merge-not-awaited"));
}

void LogWriter::add_segment(const SegmentGrant& grant) noexcept {
  assert(spare_count_ < kSparesMax);
  spares_[spare_count_++] = grant;
}

bool LogWriter::take_staging(uint64_t bytes, uint64_t* at) noexcept {
  const uint64_t to_end = staging_.size() - staging_head_ % staging_.size();
  const uint64_t skip = to_end >= bytes ? 0 : to_end;
  if (staging_head_ + skip + bytes - staging_tail_ > staging_.size()) return false;
  *at = staging_head_ + skip;
  staging_head_ = *at + bytes;
  return true;
}

void LogWriter::add_extent(uint64_t pool_offset, uint64_t staging_at, uint64_t bytes) noexcept {
  // Positions are monotonic, so an entry at the start of the ring follows one at its end in numbers
  // only, not in memory.
  const bool wrapped = staging_at % staging_.size() == 0 && !planted("staging-wrap-merged");
  if (extent_count_ > extents_posted_ && !wrapped) {
    Extent& last = extents_[extent_count_ - 1];
    if (last.pool_offset + last.bytes == pool_offset &&
        last.staging_at + last.bytes == staging_at) {
      last.bytes += bytes;
      return;
    }
  }
  assert(extent_count_ < kExtentsMax);
  extents_[extent_count_++] = {pool_offset, staging_at, bytes};
}

bool LogWriter::open_next_segment() noexcept {
  if (spare_count_ == 0) return false;
  if (segment_used_ != 0 && segment_.sequence - merged_sequence_ > config_.unmerged_segments_max &&
      !planted("merge-not-awaited")) {
    return false;
  }
  if (room_in_segment(kUnitBytes)) {
    uint64_t at = 0;
    if (!take_staging(kUnitBytes, &at)) return false;
    EntryFields end;
    end.lsn = next_lsn_++;
    end.generation = segment_.generation;
    end.log_id = config_.log_id;
    end.op = Op::kEnd;
    build_entry(staging(at), end, {}, {});
    add_extent(segment_.offset + segment_used_, at, kUnitBytes);
    counters_.bytes += kUnitBytes;
  }
  segment_ = spares_[0];
  spares_[0] = spares_[1];
  --spare_count_;
  segment_used_ = sizeof(pool::SegmentHeader);
  ++counters_.segments;
  return true;
}

Result<LogWriter::Appended> LogWriter::append(EntryFields fields, Bytes key, Bytes value) noexcept {
  const uint64_t bytes = entry_bytes(key.size(), value.size());
  // An append adds at most three extents: the old segment's end, a wrap of staging, the entry.
  if (!ok(failure_) || extent_count_ + 3 > kExtentsMax ||
      staging_head_ + bytes + 2 * kEntryBytesMax - staging_tail_ > staging_.size()) {
    return std::unexpected(Status::kNoResource);
  }
  if (!room_in_segment(bytes) && !open_next_segment()) return std::unexpected(Status::kNoResource);
  uint64_t at = 0;
  if (!take_staging(bytes, &at)) return std::unexpected(Status::kNoResource);
  fields.lsn = next_lsn_++;
  fields.generation = segment_.generation;
  fields.log_id = config_.log_id;
  std::byte* entry = staging(at);
  build_entry(entry, fields, key, value);
  const uint64_t pool_offset = segment_.offset + segment_used_;
  add_extent(pool_offset, at, bytes);
  segment_used_ += bytes;
  counters_.entries += 1;
  counters_.bytes += bytes;
  return Appended{fields.lsn,
                  pool::GlobalAddress::direct(config_.node_id, pool_offset,
                                              static_cast<uint32_t>(bytes), segment_.generation),
                  entry};
}

bool LogWriter::commit() noexcept {
  if (extent_count_ == 0) {
    post_hint();
    return true;
  }
  if (commits_begun_ - commits_done_ == kCommitsMax || !ok(failure_)) return false;
  Commit& commit = commits_[commits_begun_ % kCommitsMax];
  while (extents_posted_ < extent_count_) {
    const Extent& e = extents_[extents_posted_];
    const bool last = extents_posted_ + 1 == extent_count_;
    const fabric::WriteOptions options{.persistent = !planted("acknowledged-early"),
                                       .after_previous = extents_posted_ != 0};
    if (last) {
      commit.end_lsn = last_lsn();
      commit.staging_end = staging_head_;
    }
    const Status posted =
        queue_->post_write(e.pool_offset, {staging(e.staging_at), e.bytes}, options,
                           fabric::Purpose::kLog, last ? &commit : nullptr);
    if (posted == Status::kNoResource) return false;
    if (posted != Status::kInProgress) {
      failure_ = posted;
      return false;
    }
    ++extents_posted_;
  }
  ++commits_begun_;
  ++counters_.commits;
  extent_count_ = extents_posted_ = 0;
  tail_ = {last_lsn(), segment_.sequence, segment_used_, config_.incarnation};
  post_hint();
  return true;
}

/// Chained to the batch posted before: no round trip of its own. Tried again if the queue is full.
void LogWriter::post_hint() noexcept {
  if (planted("tail-hint-lost") && hint_.in_flight) hinted_lsn_ = tail_[0];
  if (!hint_due() || !ok(failure_)) return;
  hint_.line = tail_;
  const Status posted = queue_->post_write(config_.log_record_offset, object_bytes(hint_.line),
                                           {.persistent = false, .after_previous = true},
                                           fabric::Purpose::kLog, &hint_);
  if (posted != Status::kInProgress) return;
  hint_.in_flight = true;
  hinted_lsn_ = hint_.line[0];
}

void LogWriter::on_hint_complete(fabric::Completion* completion, Status) noexcept {
  static_cast<Hint*>(completion)->in_flight = false;
}

void LogWriter::on_complete(fabric::Completion* completion, Status status) noexcept {
  auto* commit = static_cast<Commit*>(completion);
  LogWriter& writer = *commit->writer;
  ++writer.commits_done_;
  if (!ok(status) && ok(writer.failure_)) writer.failure_ = status;
  if (!ok(writer.failure_) && !planted("hole-acknowledged"))
    return;  // nothing after a hole in the log is durable
  writer.durable_lsn_ = commit->end_lsn;
  writer.staging_durable_ = commit->staging_end;
}

}  // namespace dinomo::log
