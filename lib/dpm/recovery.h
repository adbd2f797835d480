// SPDX-License-Identifier: BSD-3-Clause
// What the DPM does before it serves: makes the index sound again, counts what it refers to, and
// finds where every log goes on. May be interrupted and repeated as often as one likes.
//
// Thread rule: service thread, before anything else runs.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "dpm/log_state.h"
#include "dpm/merge_pool.h"
#include "index/index_writer.h"
#include "pool/space.h"

namespace dinomo::dpm {

struct RecoveryReport {
  bool clean = false;  // the last stop was orderly; the index was counted, not validated
  uint64_t items = 0;
  uint64_t slots_discarded = 0;  // referred to no valid entry: damage, never a plain crash
  uint64_t links_cut = 0;        // likewise
  uint64_t locks_cleared = 0;
  bool resize_continued = false;  // one was under way
  uint64_t logs_open = 0;
  uint64_t entries_merged = 0;  // found valid in logs, after merged_lsn
  uint64_t torn_tails = 0;      // logs whose written part ends in something that is no entry
  uint64_t duration_ns = 0;
};

using LogStates = std::vector<std::unique_ptr<LogState>>;

/// Settles a resize that was under way, clears locks, validates slots and chains (unless `clean`),
/// counts live bytes of segments and used overflow buckets. In parallel on the pool's workers.
void recover_index(pool::Space& space, SegmentTable& segments, index::IndexWriter& index,
                   index::OverflowPool& overflow, MergePool& workers, RecoveryReport* report);

/// Takes back the one grant that a crash may have left before its log's record knew of it; so no KN
/// heard of it.
void revoke_unanswered_grants(pool::Space& space, SegmentTable& segments);

/// Cursors of all logs, from their records and open segments.
LogStates recover_logs(pool::Space& space, SegmentTable& segments, RecoveryReport* report);

}  // namespace dinomo::dpm
