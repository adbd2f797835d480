// SPDX-License-Identifier: BSD-3-Clause
// How hot the keys of a cluster are: the heavy hitters that its workers counted, added up, with
// mean and deviation over all keys, known or not. Pure; any thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "telemetry/heavy_hitters.h"

namespace dinomo::policy {

struct HotKey {
  uint64_t routing_hash = 0;
  uint64_t key_hash = 0;
  double accesses = 0;   // sampled, of all KNs together
  uint16_t busiest = 0;  // KN slot with most of them
};

struct Heat {
  double sampled = 0;    // operations
  double keys = 0;       // different keys that were asked for at least once
  double mean = 0;       // accesses of a key
  double deviation = 0;  // of the population, from below: keys that no counter has count as equal
  std::vector<HotKey> hottest;  // descending
};

struct WorkerHeat {
  uint16_t kn_slot = 0;
  telemetry::HeatReport report;
};

/// A counter counts only for what it is sure of, so that a key cannot look hot because it took the
/// counter of another. A replicated key is counted by several KNs.
Heat add_up(std::span<const WorkerHeat> workers);

}  // namespace dinomo::policy
