// SPDX-License-Identifier: BSD-3-Clause
// Merging: takes the entries of a log in order and makes the index point at them.
//
// A batch: read and check up to kMergeBatch entries (buckets prefetched meanwhile), make the
// entries themselves durable, change the index, note session outcomes, drain, then move merged_lsn,
// then give up the bytes of what was replaced. So at every instant the index refers only to durable
// entries, and a crash leaves at most a batch to be merged again, which changes nothing.
//
// Thread rule: run() by any thread, one at a time per log (LogState::busy).
#pragma once

#include <atomic>
#include <cstdint>

#include "common/clock.h"
#include "dpm/log_state.h"
#include "index/index_writer.h"
#include "pool/space.h"

namespace dinomo::dpm {

inline constexpr uint32_t kMergeBatch = 64;

struct MergeCounters {
  std::atomic<uint64_t> entries{0};
  std::atomic<uint64_t> bytes{0};
  std::atomic<uint64_t> puts{0};
  std::atomic<uint64_t> deletes{0};
  std::atomic<uint64_t> replayed{0};  // entries that changed nothing
  std::atomic<uint64_t> batches{0};
  std::atomic<uint64_t> stalls{0};
  std::atomic<int64_t> items{0};
  std::atomic<uint64_t> earliest_expiry_ms{UINT64_MAX};  // of what was merged since it was taken
};

class Merger {
 public:
  Merger(pool::Space& space, SegmentTable& segments, index::IndexWriter& index,
         SessionTable& sessions, Clock& clock) noexcept;

  /// Merges at most `batches` batches of the log towards its target. Also stored in last_stop.
  MergeStop run(LogState& log, uint32_t batches) noexcept;

  MergeCounters& counters() noexcept { return counters_; }

 private:
  struct Item {
    log::Entry entry;
    uint64_t offset;  // in the pool
    uint64_t hash;
  };
  struct Batch;
  MergeStop merge_batch(LogState& log, Batch* batch) noexcept;
  void collect(LogState& log, uint32_t segment, Batch* batch) noexcept;
  Status apply(LogState& log, Batch* batch) noexcept;
  Status apply_one(LogState& log, const Item& item, Batch* batch) noexcept;
  void advance(LogState& log, uint32_t segment, const Batch& batch) noexcept;
  bool find_place(LogState& log, uint32_t segment) noexcept;
  bool skip_unused_segments(LogState& log) noexcept;
  void finish_segment(LogState& log, uint32_t segment, uint64_t end, uint64_t last_lsn) noexcept;
  void release_replaced(const Batch& batch) noexcept;
  void count(const Batch& batch) noexcept;
  pool::LogRecord& record(const LogState& log) noexcept;

  pool::Space& space_;
  SegmentTable& segments_;
  index::IndexWriter& index_;
  SessionTable& sessions_;
  Clock& clock_;
  pool::Persist& persist_;
  const uint64_t hash_seed_;
  const uint8_t node_id_;
  MergeCounters counters_;
};

}  // namespace dinomo::dpm
