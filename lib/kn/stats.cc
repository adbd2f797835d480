// SPDX-License-Identifier: BSD-3-Clause
#include "kn/stats.h"

#include <fmt/format.h>

#include <algorithm>

namespace dinomo::kn {

namespace {

/// Appends "name":value pairs to a bounded buffer.
class JsonObject {
 public:
  JsonObject(char* out, size_t capacity) noexcept : out_(out), capacity_(capacity) { raw("{"); }

  void field(const char* name, uint64_t value) noexcept {
    const auto r = fmt::format_to_n(out_ + used_, left(), "{}\"{}\":{}", comma(), name, value);
    advance(r.size);
  }
  void open(const char* name) noexcept {
    const auto r = fmt::format_to_n(out_ + used_, left(), "{}\"{}\":{{", comma(), name);
    advance(r.size);
    first_ = true;
  }
  void close() noexcept {
    raw("}");
    first_ = false;
  }
  size_t finish() noexcept {
    raw("}");
    return overflow_ ? 0 : used_;
  }

 private:
  size_t left() const noexcept { return capacity_ - used_; }
  const char* comma() noexcept {
    const char* c = first_ ? "" : ",";
    first_ = false;
    return c;
  }
  void raw(const char* text) noexcept {
    const auto r = fmt::format_to_n(out_ + used_, left(), "{}", text);
    advance(r.size);
  }
  void advance(size_t bytes) noexcept {
    if (bytes > left()) {
      overflow_ = true;
      bytes = left();
    }
    used_ += bytes;
  }

  char* out_;
  size_t capacity_;
  size_t used_ = 0;
  bool first_ = true;
  bool overflow_ = false;
};

using enum telemetry::Kind;
using telemetry::Unit;
using S = WorkerStats;

constexpr WorkerMetric kWorkerMetrics[] = {
    {{"", "requests", kCounter, Unit::kNone, "requests read from datagrams, served or not"},
     &S::requests},
    {{"", "gets", kCounter, Unit::kNone, "GET operations"}, &S::gets},
    {{"", "puts", kCounter, Unit::kNone, "PUT operations"}, &S::puts},
    {{"", "deletes", kCounter, Unit::kNone, "DELETE operations"}, &S::deletes},
    {{"", "conditionals", kCounter, Unit::kNone, "other mutations: ADD, REPLACE, CAS, INCR ..."},
     &S::conditionals},
    {{"", "others", kCounter, Unit::kNone, "requests without a key: PING, RING, STATS ..."},
     &S::others},
    {{"", "value_hits", kCounter, Unit::kNone, "GETs answered by a value in the cache, 0 RTs"},
     &S::value_hits},
    {{"", "shortcut_hits", kCounter, Unit::kNone, "lookups answered through a shortcut, 1 RT"},
     &S::shortcut_hits},
    {{"", "unmerged_hits", kCounter, Unit::kNone, "lookups answered from the KN's unmerged log"},
     &S::unmerged_hits},
    {{"", "misses", kCounter, Unit::kNone, "lookups answered by way of the index, 2 RTs or more"},
     &S::misses},
    {{"", "absent", kCounter, Unit::kNone, "lookups of keys that have no item"}, &S::absent},
    {{"", "joined", kCounter, Unit::kNone, "GETs that waited for a lookup already under way"},
     &S::joined},
    {{"", "expired", kCounter, Unit::kNone, "GETs of cached items past their time"}, &S::expired},
    {{"", "shortcut_rts", kCounter, Unit::kNone, "round trips of shortcut_hits"}, &S::shortcut_rts},
    {{"", "unmerged_rts", kCounter, Unit::kNone, "round trips of unmerged_hits"}, &S::unmerged_rts},
    {{"", "miss_rts", kCounter, Unit::kNone, "round trips of misses"}, &S::miss_rts},
    {{"", "absent_rts", kCounter, Unit::kNone, "round trips of absent"}, &S::absent_rts},
    {{"", "stale_shortcuts", kCounter, Unit::kNone, "shortcuts that led nowhere any more"},
     &S::stale_shortcuts},
    {{"", "index_retries", kCounter, Unit::kNone, "lookups that had to begin anew"},
     &S::index_retries},
    {{"", "shared_reads", kCounter, Unit::kNone, "GETs of replicated keys that another KN writes"},
     &S::shared_reads},
    {{"", "shared_rts", kCounter, Unit::kNone, "round trips of shared_reads"}, &S::shared_rts},
    {{"", "shared_elsewhere", kCounter, Unit::kNone, "such GETs sent on to the KN that writes"},
     &S::shared_elsewhere},
    {{"", "cell_writes", kCounter, Unit::kNone, "cells written after a commit, one RT each"},
     &S::cell_writes},
    {{"", "cells_taken", kCounter, Unit::kNone, "replicated keys taken over as their writer"},
     &S::cells_taken},
    {{"", "fetch_errors", kCounter, Unit::kNone, "lookups that failed: pool not reachable"},
     &S::fetch_errors},
    {{"", "lookups_in_flight", kGauge, Unit::kNone, "remote lookups under way now"},
     &S::lookups_in_flight},
    {{"", "commits", kCounter, Unit::kNone, "batches written to the log, one RT each"},
     &S::commits},
    {{"", "entries", kCounter, Unit::kNone, "entries in these batches"}, &S::entries},
    {{"", "log_bytes", kCounter, Unit::kBytes, "bytes in these batches"}, &S::log_bytes},
    {{"", "segments", kCounter, Unit::kNone, "log segments taken from the DPM"}, &S::segments},
    {{"", "unmerged_entries", kGauge, Unit::kNone, "entries that the DPM has not merged yet"},
     &S::unmerged_entries},
    {{"", "unmerged_segments", kGauge, Unit::kNone, "full segments not merged yet"},
     &S::unmerged_segments},
    {{"", "deferred", kCounter, Unit::kNone, "operations that waited for room or for a key"},
     &S::deferred},
    {{"", "session_lookups", kCounter, Unit::kNone, "session records read from the pool"},
     &S::session_lookups},
    {{"", "duplicates", kCounter, Unit::kNone, "repeated mutations, answered from memory"},
     &S::duplicates},
    {{"", "refused_busy", kCounter, Unit::kNone, "requests refused with BUSY: no room, too many"},
     &S::refused_busy},
    {{"", "shed", kCounter, Unit::kNone, "requests refused: too many datagrams wait"}, &S::shed},
    {{"", "shed_datagrams", kCounter, Unit::kNone, "datagrams whose requests were shed"},
     &S::shed_datagrams},
    {{"", "queued_most", kGauge, Unit::kNone, "most datagrams that waited after a turn"},
     &S::queued_most,
     Across::kMost},
    {{"", "refused_lease", kCounter, Unit::kNone, "requests refused: not serving, or no lease"},
     &S::refused_lease},
    {{"", "refused_session", kCounter, Unit::kNone, "requests of unknown sessions"},
     &S::refused_session},
    {{"", "refused_owner", kCounter, Unit::kNone, "requests for keys of somebody else"},
     &S::refused_owner},
    {{"", "refused_moving", kCounter, Unit::kNone, "requests for keys that change owners"},
     &S::refused_moving},
    {{"", "refused_bad", kCounter, Unit::kNone, "requests that make no sense, or are too large"},
     &S::refused_bad},
    {{"", "refused_network", kCounter, Unit::kNone, "datagrams dropped: not of a client network"},
     &S::refused_network},
    {{"", "refused_rate", kCounter, Unit::kNone, "datagrams dropped: too many without a cookie"},
     &S::refused_rate},
    {{"", "sessions", kGauge, Unit::kNone, "client sessions remembered"}, &S::sessions},
    {{"", "cache_values", kGauge, Unit::kNone, "values in the cache"}, &S::cache_values},
    {{"", "cache_shortcuts", kGauge, Unit::kNone, "shortcuts in the cache"}, &S::cache_shortcuts},
    {{"", "cache_value_bytes", kGauge, Unit::kBytes, "cache memory taken by values"},
     &S::cache_value_bytes},
    {{"", "cache_used_bytes", kGauge, Unit::kBytes, "cache memory in use, all in"},
     &S::cache_used_bytes},
    {{"", "cache_budget_bytes", kGauge, Unit::kBytes, "cache memory there is"},
     &S::cache_budget_bytes},
    {{"", "promotions", kCounter, Unit::kNone, "shortcuts that became values"}, &S::promotions},
    {{"", "demotions", kCounter, Unit::kNone, "values that became shortcuts"}, &S::demotions},
    {{"", "evictions", kCounter, Unit::kNone, "cache entries given up"}, &S::evictions},
    {{"", "datagrams_in", kCounter, Unit::kNone, "datagrams received"}, &S::datagrams_in},
    {{"", "datagrams_out", kCounter, Unit::kNone, "datagrams sent"}, &S::datagrams_out},
    {{"", "handed_over", kCounter, Unit::kNone, "datagrams that came by another lcore's queue"},
     &S::handed_over},
    {{"", "dropped", kCounter, Unit::kNone, "frames dropped: malformed, not ours, no room"},
     &S::dropped},
    {{"", "busy_ns", kCounter, Unit::kNs, "time of turns that did something"}, &S::busy_ns},
    {{"", "turns", kCounter, Unit::kNone, "turns of the worker loops"}, &S::turns},
    {{"", "busy_turns", kCounter, Unit::kNone, "turns that did something"}, &S::busy_turns},
    {{"", "cache_budget_least_bytes", kGauge, Unit::kBytes, "cache of the worker with least"},
     &S::cache_budget_bytes,
     Across::kLeast},
    {{"", "cache_budget_most_bytes", kGauge, Unit::kBytes, "cache of the worker with most"},
     &S::cache_budget_bytes,
     Across::kMost},
    {{"", "average_miss_millirt", kGauge, Unit::kMillirt,
      "what a miss costs, as the cache sees it"},
     &S::average_miss_millirt,
     Across::kMean},
    {{"", "half_cache_millirt", kGauge, Unit::kMillirt, "cost of a GET with half the cache"},
     &S::half_cache_millirt,
     Across::kMean},
    {{"", "same_cache_millirt", kGauge, Unit::kMillirt, "cost of a GET with this cache, estimated"},
     &S::same_cache_millirt,
     Across::kMean},
    {{"", "twice_cache_millirt", kGauge, Unit::kMillirt, "cost of a GET with twice the cache"},
     &S::twice_cache_millirt,
     Across::kMean},
};

constexpr PurposeMetric kPurposeMetrics[] = {
    {{"", "round_trips", kCounter, Unit::kNone, "round trips to the pool, by purpose"},
     &S::round_trips},
    {{"", "verbs", kCounter, Unit::kNone, "one-sided operations posted, by purpose"}, &S::verbs},
    {{"", "fabric_bytes", kCounter, Unit::kBytes, "bytes they moved, by purpose"}, &S::bytes},
};

constexpr bool all_well_formed(const auto& table) noexcept {
  return std::ranges::all_of(table,
                             [](const auto& row) { return telemetry::well_formed(row.metric); });
}
static_assert(all_well_formed(kWorkerMetrics) && all_well_formed(kPurposeMetrics));

constexpr telemetry::Metric kMalformedMetric = {"", "malformed", telemetry::Kind::kCounter,
                                                telemetry::Unit::kNone,
                                                "datagrams that are not of the protocol"};
static_assert(telemetry::well_formed(kMalformedMetric));

}  // namespace

const telemetry::Metric& malformed_metric() noexcept { return kMalformedMetric; }

const char* latency_class_name(LatencyClass c) noexcept {
  switch (c) {
    case LatencyClass::kGetValue: return "get_value";
    case LatencyClass::kGetShortcut: return "get_shortcut";
    case LatencyClass::kGetUnmerged: return "get_unmerged";
    case LatencyClass::kGetMiss: return "get_miss";
    case LatencyClass::kGetAbsent: return "get_absent";
    case LatencyClass::kGetShared: return "get_shared";
    case LatencyClass::kPut: return "put";
    case LatencyClass::kDelete: return "delete";
    case LatencyClass::kConditional: return "conditional";
  }
  return "unknown";
}

const char* latency_class_help(LatencyClass c) noexcept {
  switch (c) {
    case LatencyClass::kGetValue: return "GETs answered by a value in the cache, 0 RTs";
    case LatencyClass::kGetShortcut: return "GETs answered through a shortcut, 1 RT";
    case LatencyClass::kGetUnmerged: return "GETs answered from the KN's own unmerged log, 1 RT";
    case LatencyClass::kGetMiss: return "GETs answered by way of the index, 2 RTs or more";
    case LatencyClass::kGetAbsent: return "GETs of keys that have no item, 1 RT or more";
    case LatencyClass::kGetShared: return "GETs of replicated keys that another KN writes, 2 RTs";
    case LatencyClass::kPut: return "PUTs until they are durable, 1 RT a batch";
    case LatencyClass::kDelete: return "DELETEs until they are durable";
    case LatencyClass::kConditional: return "other mutations until they are durable";
  }
  return "";
}

uint64_t WorkerMetric::value(Workers workers) const noexcept {
  uint64_t total = 0;
  uint64_t known = 0;
  uint64_t least = UINT64_MAX;
  uint64_t most = 0;
  for (const WorkerStats* w : workers) {
    const uint64_t v = (w->*counter).get();
    total += v;
    known += v != 0 ? 1 : 0;
    least = std::min(least, v);
    most = std::max(most, v);
  }
  switch (across) {
    case Across::kSum: return total;
    case Across::kMean: return known == 0 ? 0 : total / known;
    case Across::kLeast: return workers.empty() ? 0 : least;
    case Across::kMost: return most;
  }
  return total;
}

uint64_t PurposeMetric::value(Workers workers, fabric::Purpose purpose) const noexcept {
  uint64_t total = 0;
  for (const WorkerStats* w : workers) total += (w->*counters)[static_cast<size_t>(purpose)].get();
  return total;
}

uint64_t malformed(Workers workers) noexcept {
  uint64_t total = 0;
  for (const WorkerStats* w : workers) {
    for (const Counter& c : w->malformed) total += c.get();
  }
  return total;
}

std::span<const WorkerMetric> worker_metrics() noexcept { return kWorkerMetrics; }
std::span<const PurposeMetric> purpose_metrics() noexcept { return kPurposeMetrics; }

size_t stats_json(Workers workers, char* out, size_t capacity) noexcept {
  JsonObject json(out, capacity);
  json.field("workers", workers.size());
  for (const WorkerMetric& m : kWorkerMetrics) json.field(m.metric.name, m.value(workers));
  json.field(kMalformedMetric.name, malformed(workers));
  for (const PurposeMetric& m : kPurposeMetrics) {
    json.open(m.metric.name);
    for (size_t p = 0; p < fabric::kPurposes; ++p) {
      const auto purpose = static_cast<fabric::Purpose>(p);
      json.field(fabric::purpose_name(purpose), m.value(workers, purpose));
    }
    json.close();
  }
  return json.finish();
}

}  // namespace dinomo::kn
