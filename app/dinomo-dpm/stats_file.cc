// SPDX-License-Identifier: BSD-3-Clause
#include "app/dinomo-dpm/stats_file.h"

#include <cstdio>
#include <nlohmann/json.hpp>

namespace dinomo::app {

namespace {

/// Of the bytes of segments that are not free: what is live. 1 if all are free.
double live_fraction(const dpm::ServiceStats& s) {
  const uint64_t used = s.capacity_bytes - s.free_bytes;
  return used == 0 ? 1 : static_cast<double>(s.segments.live_bytes) / static_cast<double>(used);
}

nlohmann::json space_json(const dpm::ServiceStats& s) {
  return {
      {"capacity_bytes", s.capacity_bytes},         {"free_bytes", s.free_bytes},
      {"live_bytes", s.segments.live_bytes},        {"live_fraction", live_fraction(s)},
      {"freed_segments", s.segments.reclaimed},     {"compaction_victims", s.compaction_victims},
      {"compaction_outputs", s.compaction_outputs}, {"compacted_entries", s.compacted_entries},
      {"compacted_bytes", s.compacted_bytes},       {"compaction_lost", s.compaction_lost},
      {"compaction_damaged", s.compaction_damaged}, {"expiry_passes", s.expiry_passes},
      {"expired_items", s.expired_items},           {"expired_bytes", s.expired_bytes}};
}

nlohmann::json to_json(const Identity& identity, const dpm::ServiceStats& s) {
  const dpm::RecoveryPhases& phases = s.recovery.phases;
  return {
      {"pool", identity.pool},
      {"listen", identity.listen},
      {"persistence", identity.persistence},
      {"pool_bytes", identity.pool_bytes},
      {"uptime_ms", s.uptime_ms},
      {"boot_count", s.boot_count},
      {"items", s.items},
      {"merge",
       {{"entries", s.merged_entries},
        {"bytes", s.merged_bytes},
        {"puts", s.merged_puts},
        {"deletes", s.merged_deletes},
        {"batches", s.merge_batches},
        {"replayed", s.merge_replayed},
        {"stalls", s.merge_stalls},
        {"lag_entries", s.lag_entries}}},
      {"segments",
       {{"bytes_each", identity.segment_bytes},
        {"total", s.segments.total},
        {"free", s.segments.free},
        {"open", s.segments.open},
        {"merged", s.segments.merged},
        {"reclaimed", s.segments.reclaimed},
        {"live_bytes", s.segments.live_bytes}}},
      {"space", space_json(s)},
      {"index",
       {{"buckets", s.index_buckets},
        {"next_buckets", s.index_next_buckets},
        {"resizes_started", s.resize.started},
        {"resizes_finished", s.resize.finished},
        {"resizes_without_space", s.resize.no_space},
        {"chains_retried", s.resize.chains_retried},
        {"overflow_used", s.overflow_used},
        {"overflow_capacity", s.overflow_capacity}}},
      {"sessions", {{"evictions", s.session_evictions}}},
      {"mailbox",
       {{"requests", s.mailbox.requests},
        {"torn", s.mailbox.torn},
        {"refused", s.mailbox.refused},
        {"grants", s.mailbox.grants},
        {"grants_refused", s.mailbox.grants_refused},
        {"registrations", s.mailbox.registrations},
        {"fences", s.mailbox.fences}}},
      {"recovery",
       {{"clean", s.recovery.clean},
        {"duration_us", s.recovery.duration_ns / 1000},
        {"items", s.recovery.items},
        {"entries_merged", s.recovery.entries_merged},
        {"logs_open", s.recovery.logs_open},
        {"torn_tails", s.recovery.torn_tails},
        {"slots_discarded", s.recovery.slots_discarded},
        {"links_cut", s.recovery.links_cut},
        {"damage", s.recovery.damage},
        {"locks_cleared", s.recovery.locks_cleared},
        {"resize_continued", s.recovery.resize_continued},
        {"phases_us",
         {{"segments", phases.segments_ns / 1000},
          {"resize", phases.resize_ns / 1000},
          {"index", phases.index_ns / 1000},
          {"sessions", phases.sessions_ns / 1000},
          {"logs", phases.logs_ns / 1000},
          {"merge", phases.merge_ns / 1000}}}}},
  };
}

}  // namespace

bool write_stats(const std::string& path, const Identity& identity,
                 const dpm::ServiceStats& stats) {
  const std::string text = to_json(identity, stats).dump(2) + "\n";
  const std::string draft = path + ".new";
  std::FILE* file = std::fopen(draft.c_str(), "we");
  if (file == nullptr) return false;
  const bool written = std::fwrite(text.data(), 1, text.size(), file) == text.size();
  const bool closed = std::fclose(file) == 0;
  return written && closed && std::rename(draft.c_str(), path.c_str()) == 0;
}

}  // namespace dinomo::app
