// SPDX-License-Identifier: BSD-3-Clause
// What the memcached front end of one place counts. Written by its thread, read by any.
#pragma once

#include <span>

#include "kn/stats.h"
#include "memcached/command.h"

namespace dinomo::memcached {

using telemetry::Counter;

struct Counters {
  Counter cmd_get, cmd_set, cmd_touch, cmd_meta, cmd_flush;
  Counter get_hits, get_misses;
  Counter delete_hits, delete_misses, incr_hits, incr_misses, decr_hits, decr_misses;
  Counter cas_hits, cas_misses, cas_badval, touch_hits, touch_misses;
  Counter failures;                                     // SERVER_ERROR instead of an outcome
  Counter refused;                                      // errors of commands
  Counter requests;                                     // datagrams that were requests
  Counter dropped_source, dropped_frame, dropped_busy;  // datagrams that were not served
  Counter replies_too_large;
  Counter connections, connections_now, connections_refused;
  Counter bytes_read, bytes_written;

  /// By what became of an operation.
  void count(const Command& command, wire::Status status) noexcept;
};

/// What `stats` tells beside the counters.
struct StatsFacts {
  uint64_t pid = 0;
  uint64_t uptime_s = 0;
  uint64_t unix_s = 0;
  std::string_view version;
};

/// The lines of `stats`, END included, over all places; at most `capacity` bytes. Returns the
/// length, 0 if it did not fit.
size_t write_stats(const StatsFacts& facts, std::span<const Counters* const> places,
                   std::span<const kn::WorkerStats* const> workers, char* out,
                   size_t capacity) noexcept;

}  // namespace dinomo::memcached
