// SPDX-License-Identifier: BSD-3-Clause
// What a worker counts. Written by its lcore, read by any. What each is called and means is one row
// of the table in stats.cc: whoever adds a counter adds its row.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "fabric/fabric.h"
#include "telemetry/counter.h"
#include "telemetry/live_histogram.h"
#include "telemetry/metric.h"
#include "wire/codec.h"

namespace dinomo::kn {

using telemetry::Counter;

/// How long an operation took, by what it was and where it was answered from: from the turn that
/// received it to the end of the turn that sent its reply.
enum class LatencyClass : uint8_t {
  kGetValue,     // 0 round trips
  kGetShortcut,  // 1
  kGetUnmerged,  // 1: from this KN's own log, not merged yet
  kGetMiss,      // 2 or more
  kGetAbsent,    // 1 or more
  kGetShared,    // 2: a replicated key, through its cell
  kPut,          // 1 for a whole batch
  kDelete,
  kConditional,  // all other mutations
};
inline constexpr size_t kLatencyClasses = 9;

/// Operations that took long: of one kind, received in one turn and answered in another.
struct SlowOperations {
  uint64_t unix_ms = 0;
  uint64_t took_ns = 0;
  uint64_t key_hash = 0;  // of one of them
  uint32_t operations = 0;
  LatencyClass kind = LatencyClass::kGetValue;
};

/// The last ones of a worker, for one reader that comes by every second: a ring of fixed size in
/// which newer ones replace older ones. One writer, one reader.
class SlowLog {
 public:
  static constexpr size_t kKept = 64;

  void add(const SlowOperations& s) noexcept {
    const uint64_t at = added_.load(std::memory_order_relaxed);
    Cell& cell = cells_[at % kKept];
    cell.unix_ms.set(s.unix_ms);
    cell.took_ns.set(s.took_ns);
    cell.key_hash.set(s.key_hash);
    cell.operations_and_kind.set(uint64_t{s.operations} << 8 | static_cast<uint64_t>(s.kind));
    added_.store(at + 1, std::memory_order_release);  // pairs with the load in added()
  }
  /// How many there have been since the start.
  uint64_t added() const noexcept { return added_.load(std::memory_order_acquire); }
  /// The n-th, which is below added() and not more than kKept behind it; one that is just being
  /// replaced comes out mixed.
  SlowOperations at(uint64_t n) const noexcept {
    const Cell& cell = cells_[n % kKept];
    const uint64_t both = cell.operations_and_kind.get();
    return {cell.unix_ms.get(), cell.took_ns.get(), cell.key_hash.get(),
            static_cast<uint32_t>(both >> 8), static_cast<LatencyClass>(both & 0xff)};
  }

 private:
  struct Cell {
    Counter unix_ms, took_ns, key_hash, operations_and_kind;
  };
  std::array<Cell, kKept> cells_;
  std::atomic<uint64_t> added_{0};
};

const char* latency_class_name(LatencyClass c) noexcept;
const char* latency_class_help(LatencyClass c) noexcept;

struct WorkerStats {
  // requests
  Counter requests, gets, puts, deletes, conditionals, others;
  Counter refused_session, refused_owner, refused_moving, refused_busy, refused_bad, refused_lease;
  Counter shed;  // requests refused because too many datagrams wait; shed_datagrams: these
  Counter shed_datagrams, queued_most;    // most that waited at the end of a turn
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
  Counter lookups_in_flight;
  std::array<telemetry::LiveHistogram, kLatencyClasses> latency;  // by LatencyClass
  SlowLog slow;  // those that took longer than Shared::slow_ns
};

using Workers = std::span<const WorkerStats* const>;

/// How the figures of several workers become one.
enum class Across : uint8_t { kSum, kMean, kLeast, kMost };  // kMean: over those that know it

struct WorkerMetric {
  telemetry::Metric metric;
  Counter WorkerStats::* counter;
  Across across = Across::kSum;

  uint64_t value(Workers workers) const noexcept;
};
/// One for each fabric::Purpose.
struct PurposeMetric {
  telemetry::Metric metric;
  std::array<Counter, fabric::kPurposes> WorkerStats::* counters;

  uint64_t value(Workers workers, fabric::Purpose purpose) const noexcept;
};

std::span<const WorkerMetric> worker_metrics() noexcept;
std::span<const PurposeMetric> purpose_metrics() noexcept;
/// Row and value of the datagrams that could not be read, over all reasons.
const telemetry::Metric& malformed_metric() noexcept;
uint64_t malformed(Workers workers) noexcept;

/// Sums over workers as one JSON object, at most `capacity` bytes. Returns the length, 0 if it did
/// not fit. Does not allocate.
size_t stats_json(Workers workers, char* out, size_t capacity) noexcept;
inline constexpr size_t kStatsJsonBytesMax = 8192;  // enough for every row with the largest values

}  // namespace dinomo::kn
