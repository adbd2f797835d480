// SPDX-License-Identifier: BSD-3-Clause
// What one thread has counted; tallies of threads add up.
#pragma once

#include <array>
#include <cstdint>

#include "app/dinomo-bench/workload.h"
#include "client/client.h"
#include "telemetry/histogram.h"

namespace dinomo::bench {

struct KindTally {
  uint64_t done = 0;                      // answered within the measured time
  telemetry::LatencyHistogram service;    // from sending
  telemetry::LatencyHistogram corrected;  // open loop: from the intended time of sending
};

struct Wrong {           // values or answers that cannot be
  uint64_t corrupt = 0;  // checksum
  uint64_t foreign = 0;  // another key's value
  uint64_t stale = 0;    // older than an acknowledged write
  uint64_t future = 0;   // a version never written
  uint64_t missing = 0;  // no value for a key that has one

  uint64_t total() const noexcept { return corrupt + foreign + stale + future + missing; }
};

struct Tally {
  std::array<KindTally, kOpKinds> kinds;
  Wrong wrong;
  uint64_t verified = 0;  // values checked
  uint64_t absent = 0;    // reads of keys that need not exist
  uint64_t refused = 0;   // operations that a server ended with an error status
  std::array<uint64_t, 256> refused_by_status{};
  uint64_t lost = 0;         // requests never answered although repeated
  uint64_t unknown = 0;      // of these, because the session was lost
  uint64_t deferred = 0;     // writes that took another key: 32 to that one were in flight
  uint64_t value_bytes = 0;  // read and written
  uint64_t cpu_ns = 0;       // of the thread while measuring
  uint64_t requests = 0;     // requests completed while measuring (a read-modify-write is two)
  client::Counters client;

  void merge(const Tally& other) noexcept;
};

/// Since the last progress line.
struct Interval {
  uint64_t ops = 0;
  uint64_t retries = 0;
  uint64_t failures = 0;
  telemetry::LatencyHistogram latency;
};

client::Counters operator-(const client::Counters& a, const client::Counters& b) noexcept;

}  // namespace dinomo::bench
