// SPDX-License-Identifier: BSD-3-Clause
// What a run is made of: sizes, load, faults and their rates. Every knob is a number with a name,
// so that files, the command line, swarm testing and shrinking treat all of them alike.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>

#include "common/status.h"

namespace dinomo::world {

struct Scenario {
  // The cluster.
  uint64_t kns = 1;
  uint64_t workers = 1;     // of each KN
  uint64_t elastic = 0;     // a leader divides the ring between those that are there
  uint64_t replicated = 0;  // keys, from the hottest on, that every KN may read
  uint64_t pool_mib = 16;
  uint64_t segment_kib = 256;
  uint64_t index_buckets = 1024;
  uint64_t cache_kib = 256;
  uint64_t staging_kib = 1024;
  uint64_t lease_ms = 200;
  uint64_t heartbeat_ms = 20;
  uint64_t reclaim_grace_ms = 50;
  uint64_t dpm_turn_ns = 300;
  uint64_t kn_work_ns = 150;
  uint64_t queue_wait_us = 2000;
  // The load.
  uint64_t clients = 3;
  uint64_t depth = 4;
  uint64_t keys = 40;
  uint64_t operations = 400;
  uint64_t think_us = 0;
  uint64_t read_percent = 50;
  uint64_t delete_percent = 10;
  uint64_t conditional_percent = 20;
  uint64_t expiry_percent = 0;
  uint64_t ttl_ms = 50;
  uint64_t value_bytes = 900;
  uint64_t exactly_once = 1;
  uint64_t check = 1;
  // The clients' network.
  uint64_t delay_us = 5;
  uint64_t jitter_us = 2;
  uint64_t loss_ppm = 0;
  uint64_t duplicate_ppm = 0;
  uint64_t duplicate_late_ms = 0;
  uint64_t reorder_ppm = 0;
  uint64_t corrupt_ppm = 0;
  uint64_t misroute_ppm = 0;
  uint64_t forgeries = 0;
  uint64_t partitions = 0;  // times that the KN cannot be reached by clients
  // The fabric.
  uint64_t fabric_delay_ns = 1000;
  uint64_t fabric_jitter_ns = 300;
  uint64_t verb_ns = 50;
  uint64_t bytes_per_us = 12'500;
  uint64_t reads_in_flight = 16;
  uint64_t straggler_ppm = 0;
  uint64_t late_ppm = 0;
  uint64_t late_ms = 100;
  uint64_t tear_ppm = 0;
  uint64_t link_cuts = 0;  // times that the KN cannot reach the memory node
  // Machines.
  uint64_t kn_kills = 0;
  uint64_t kn_pauses = 0;     // longer than the lease
  uint64_t takeovers = 0;     // a KN is fenced and another process takes its place
  uint64_t replications = 0;  // changes of which keys are replicated
  uint64_t pins = 0;          // changes of which partitions are pinned, and to which KN
  uint64_t drains = 0;        // a KN gives its partitions away, and takes some back
  uint64_t kn_stops = 0;      // a KN leaves in order, and comes back
  uint64_t dpm_kills = 0;
  uint64_t power_failures = 0;
  uint64_t dpm_pauses = 0;
  uint64_t drift_ppm = 0;
  uint64_t unix_skew_ms = 0;
  uint64_t outage_ms = 50;         // that faults last, at most
  uint64_t fault_window_ms = 200;  // in which faults begin
  uint64_t limit_ms = 60'000;      // virtual time in which all has to end
};

struct Knob {
  const char* name;
  uint64_t Scenario::* value;
  uint64_t min;
  uint64_t max;
  bool fault;  // 0 switches a fault off
  const char* help;
};
std::span<const Knob> knobs() noexcept;

/// kInvalid with a sentence: unknown knob, or a value outside of its range.
Status set_knob(Scenario* scenario, const std::string& name, uint64_t value, std::string* why);

/// Reads knobs from a libconfig file. kInvalid with a sentence that names file and line.
Status read_scenario(const std::string& path, Scenario* scenario, std::string* why);

/// "workers=2 loss_ppm=1000": what differs from the defaults.
std::string difference(const Scenario& scenario);

/// Switches a random set of faults and knobs on: the seed decides, and what `base` has set.
Scenario swarm(const Scenario& base, uint64_t seed);

}  // namespace dinomo::world
