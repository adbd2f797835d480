// SPDX-License-Identifier: BSD-3-Clause
// What the DPM does before it serves: makes the index sound again, counts what it refers to, and
// finds where every log goes on. May be interrupted and repeated as often as one likes.
//
// A crash alone leaves nothing that has to be given up. What does not fit is damage: it is mended
// where the rest of the pool says what was there, else given up, and noted (dpm/damage.h).
//
// Thread rule: service thread, before anything else runs; the work is spread over the merge
// workers.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "dpm/damage.h"
#include "dpm/log_state.h"
#include "dpm/merge_pool.h"
#include "index/index_writer.h"
#include "pool/space.h"

namespace dinomo::dpm {

/// In this order.
struct RecoveryPhases {
  uint64_t segments_ns = 0;  // headers, grants
  uint64_t resize_ns = 0;    // what an interrupted resize left
  uint64_t index_ns = 0;     // chains, entries, live bytes
  uint64_t sessions_ns = 0;
  uint64_t logs_ns = 0;   // where every log goes on
  uint64_t merge_ns = 0;  // what was not merged
};

struct RecoveryReport {
  bool clean = false;  // the last stop was orderly; the index was counted, not validated
  uint64_t items = 0;
  uint64_t slots_discarded = 0;  // referred to no valid entry: damage, never a plain crash
  uint64_t links_cut = 0;        // likewise
  uint64_t damage = 0;           // all that was mended or given up, these two included
  uint64_t locks_cleared = 0;
  bool resize_continued = false;  // one was under way
  uint64_t logs_open = 0;
  uint64_t entries_merged = 0;  // found valid in logs, after merged_lsn
  uint64_t torn_tails = 0;      // logs whose written part ends in something that is no entry
  uint64_t duration_ns = 0;
  RecoveryPhases phases;
};

using LogStates = std::vector<std::unique_ptr<LogState>>;

/// What the steps of recovery share.
struct Recovery {
  pool::Space& space;
  SegmentTable& segments;
  MergePool& workers;
  DamageLog& damage;
  RecoveryReport& report;
};

/// Headers of segments in use that were found damaged: from the answers to their grants, else from
/// their entries.
void rebuild_headers(Recovery& r, const std::vector<uint32_t>& damaged);

/// Takes back the one grant that a crash may have left before its log's record knew of it; so no KN
/// heard of it. One that was written to is kept whatever the record says.
void revoke_unanswered_grants(Recovery& r);

/// Settles a resize that was under way: drops copies that mean nothing, gives tables back that no
/// root names.
void settle_resize(Recovery& r, index::IndexWriter& index);

/// Clears locks, checks chains and, if `validate`, the entry of every slot; counts live bytes of
/// segments and used overflow buckets.
void recover_index(Recovery& r, index::IndexWriter& index, index::OverflowPool& overflow,
                   bool validate);

/// Cursors of all logs, from their records and open segments.
LogStates recover_logs(Recovery& r);

}  // namespace dinomo::dpm
