// SPDX-License-Identifier: BSD-3-Clause
// Writes one KN worker's log: entries are built in a staging ring and go to the pool with one
// persistent write per batch (group commit), chained with the tail hint for the DPM.
//
//   append() append() ...   entries of one burst; LSNs are given here
//   commit()                posts them; several commits may be in flight. Called every turn.
//   durable_lsn()           grows as commits complete, in order; only then may a write be answered
//
// Writes of different batches may land in any order, so that an older tail hint could land over a
// newer one and the DPM would never hear of the newest entries. Therefore one hint is in flight at
// a time; what was committed meanwhile is told by the next one, at a turn's commit().
//
// The staging ring keeps an entry until it is released after its commit completed, so
// `Appended::entry` stays readable until then. Cost: one round trip a batch (one more for each
// segment end in it). Thread rule: the owning worker. No allocation after construction.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "fabric/fabric.h"
#include "log/format.h"
#include "pool/address.h"

namespace dinomo::log {

struct SegmentGrant {
  uint64_t offset = 0;    // in the pool
  uint64_t sequence = 0;  // within the log, from 1
  uint32_t generation = 0;
};

struct LogWriterConfig {
  uint8_t node_id = 0;
  uint16_t log_id = 0;
  uint32_t incarnation = 0;
  uint64_t first_lsn = 1;
  uint64_t segment_bytes = 0;
  uint64_t log_record_offset = 0;
  uint32_t unmerged_segments_max = 2;  // full segments that may wait for their merge
};

struct LogWriterCounters {
  uint64_t commits = 0;
  uint64_t entries = 0;
  uint64_t bytes = 0;  // padding included
  uint64_t segments = 0;
};

class LogWriter {
 public:
  static constexpr uint32_t kCommitsMax = 16;  // in flight
  static constexpr uint32_t kSparesMax = 2;

  struct Appended {
    uint64_t lsn = 0;
    pool::GlobalAddress address;
    const std::byte* entry = nullptr;
  };

  /// `staging` is registered with the fabric, 64-byte aligned, at least 4 * kEntryBytesMax.
  LogWriter(const LogWriterConfig& config, fabric::Queue* queue, MutableBytes staging);

  LogWriter(const LogWriter&) = delete;
  LogWriter& operator=(const LogWriter&) = delete;

  /// Builds an entry. kNoResource: staging is full, too many batches are open, or there is no
  /// segment to go on in; nothing was appended, try again after polling.
  Result<Appended> append(EntryFields fields, Bytes key, Bytes value) noexcept;

  /// Posts what was appended. False if some of it could not be posted yet: call again next turn.
  bool commit() noexcept;

  uint64_t last_lsn() const noexcept { return next_lsn_ - 1; }
  uint64_t durable_lsn() const noexcept { return durable_lsn_; }
  /// Lets staging be reused for what is durable: entries appended up to durable_lsn() are gone.
  void release_durable() noexcept { staging_tail_ = staging_durable_; }
  /// The same for what was appended before `entry`, which is durable and still needed.
  void release_before(const std::byte* entry) noexcept {
    const auto at = static_cast<uint64_t>(entry - staging_.data());
    const uint64_t size = staging_.size();
    staging_tail_ += (at + size - staging_tail_ % size) % size;
  }
  /// commit() has something to post: appended entries, or a tail hint.
  bool uncommitted() const noexcept { return ok(failure_) && (extent_count_ != 0 || hint_due()); }
  bool idle() const noexcept { return durable_lsn_ == last_lsn(); }

  /// Not kOk once a commit failed: nothing later becomes durable, the KN has to register again.
  Status failure() const noexcept { return failure_; }

  /// True if a segment should be asked for: less than one spare, and not too many unmerged.
  bool wants_segment() const noexcept;
  bool has_room_for_spare() const noexcept { return spare_count_ < kSparesMax; }
  void add_segment(const SegmentGrant& grant) noexcept;
  /// `merged_sequence` as in LogRecord: back-pressure ends when it moves.
  void note_merged(uint64_t merged_sequence) noexcept { merged_sequence_ = merged_sequence; }
  /// Segments that are full and not merged.
  uint64_t unmerged_segments() const noexcept;

  const LogWriterCounters& counters() const noexcept { return counters_; }

 private:
  static constexpr size_t kExtentsMax = 8;

  struct Extent {
    uint64_t pool_offset;
    uint64_t staging_at;
    uint64_t bytes;
  };
  struct Commit : fabric::Completion {
    LogWriter* writer = nullptr;
    uint64_t end_lsn = 0;
    uint64_t staging_end = 0;
  };
  using HintLine = std::array<uint64_t, 4>;  // line 0 of LogRecord; first the LSN
  struct Hint : fabric::Completion {
    HintLine line{};
    bool in_flight = false;
  };

  static void on_complete(fabric::Completion* completion, Status status) noexcept;
  static void on_hint_complete(fabric::Completion* completion, Status status) noexcept;

  bool hint_due() const noexcept { return !hint_.in_flight && hinted_lsn_ < tail_[0]; }
  void post_hint() noexcept;

  bool room_in_segment(uint64_t bytes) const noexcept;
  bool open_next_segment() noexcept;
  /// Contiguous staging for `bytes`; false if the ring is full.
  bool take_staging(uint64_t bytes, uint64_t* at) noexcept;
  void add_extent(uint64_t pool_offset, uint64_t staging_at, uint64_t bytes) noexcept;
  std::byte* staging(uint64_t at) noexcept { return staging_.data() + at % staging_.size(); }

  LogWriterConfig config_;
  fabric::Queue* queue_;
  MutableBytes staging_;
  uint64_t staging_head_ = 0;  // next free byte (monotonic)
  uint64_t staging_tail_ = 0;  // oldest byte still needed
  uint64_t staging_durable_ = 0;

  uint64_t next_lsn_;
  uint64_t durable_lsn_;
  Status failure_ = Status::kOk;

  SegmentGrant segment_;
  uint64_t segment_used_ = 0;  // bytes from the segment's start; 0: no segment
  std::array<SegmentGrant, kSparesMax> spares_{};
  uint32_t spare_count_ = 0;
  uint64_t merged_sequence_ = 0;

  std::array<Extent, kExtentsMax> extents_{};
  size_t extent_count_ = 0;
  size_t extents_posted_ = 0;
  std::array<Commit, kCommitsMax> commits_;
  uint64_t commits_begun_ = 0;
  uint64_t commits_done_ = 0;
  Hint hint_;
  HintLine tail_{};          // what the newest commit has to tell
  uint64_t hinted_lsn_ = 0;  // told, or under way

  LogWriterCounters counters_;
};

}  // namespace dinomo::log
