// SPDX-License-Identifier: BSD-3-Clause
// One replay: a stream through one real cache (lib/cache), as a worker would drive it, counting
// round trips; and what the best fixed contents of the same memory would have cost.
#pragma once

#include <cstdint>

#include "app/dinomo-lab/stream.h"
#include "cache/policy.h"

namespace dinomo::lab {

struct ReplaySetup {
  cache::DacPolicySpec policy;
  uint64_t budget_bytes = 0;
  uint32_t miss_rt = 2;  // round trips of a lookup in the index and of reading the entry
  double warm_up = 0.5;  // share of the stream that is not counted
};

struct ReplayResult {
  bool created = false;  // false: the policy cannot hold anything in so little memory
  uint64_t reads = 0;
  double rts_per_read = 0;
  double value_hit_share = 0;
  double shortcut_hit_share = 0;
  uint64_t held_most_bytes = 0;  // the most that was allocated, over the whole replay
  uint64_t wrong = 0;            // answers that were not the newest state of the key: must be 0
  cache::DacStats stats;
};

/// Writes cost no reads, but change what is held; only GETs are counted.
ReplayResult replay(const Stream& stream, const ReplaySetup& setup);

/// Round trips a read if the counted part of the stream were known ahead, and the memory held from
/// the start what serves it best (value, shortcut or nothing of each key, at the sizes of
/// lib/cache). No fixed contents do better; a policy that changes its contents might.
double best_fixed_contents(const Stream& stream, const ReplaySetup& setup);

}  // namespace dinomo::lab
