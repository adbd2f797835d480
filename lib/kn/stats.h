// SPDX-License-Identifier: BSD-3-Clause
// What a worker counts. Written by its lcore, read by any.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "fabric/fabric.h"
#include "telemetry/counter.h"
#include "wire/codec.h"

namespace dinomo::kn {

using telemetry::Counter;

struct WorkerStats {
  // requests
  Counter requests, gets, puts, deletes, conditionals, others;
  Counter refused_session, refused_owner, refused_busy, refused_bad, refused_lease;
  Counter refused_network, refused_rate;  // datagrams without a valid cookie, dropped
  Counter sessions;                       // that the worker remembers
  Counter session_lookups;                // records read from the pool
  Counter duplicates;  // retried mutations answered from the session window, or ignored
  Counter deferred;    // waited for room in the log or for a locked key
  std::array<Counter, wire::kReadErrors> malformed;  // datagrams, by wire::ReadError
  // where reads were answered from
  Counter value_hits, shortcut_hits, unmerged_hits, misses, absent, joined, expired;
  Counter shortcut_rts, unmerged_rts, miss_rts, absent_rts;  // round trips these took
  Counter stale_shortcuts, index_retries, fetch_errors;
  // replicated keys: reads through a cell and what they took, reads sent to the writer, cells
  // written after a group commit, and when this KN became the writer
  Counter shared_reads, shared_rts, shared_elsewhere, cell_writes, cells_taken;
  // log
  Counter commits, entries, log_bytes, segments, unmerged_entries, unmerged_segments;
  // cache
  Counter cache_values, cache_shortcuts, cache_value_bytes, cache_used_bytes, cache_budget_bytes;
  Counter promotions, demotions, evictions, average_miss_millirt;
  // what a GET would cost with half, as much and twice the cache, estimated; 0: not known yet
  Counter half_cache_millirt, same_cache_millirt, twice_cache_millirt;
  // fabric, by fabric::Purpose
  std::array<Counter, fabric::kPurposes> round_trips, verbs, bytes;
  // ingress
  Counter datagrams_in, datagrams_out, handed_over, dropped;
  // time
  Counter busy_ns, turns, busy_turns;
};

/// Sums over workers as one JSON object, at most `capacity` bytes. Returns the length, 0 if it did
/// not fit. Does not allocate.
size_t stats_json(std::span<const WorkerStats* const> workers, char* out, size_t capacity) noexcept;

}  // namespace dinomo::kn
