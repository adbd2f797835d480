// SPDX-License-Identifier: BSD-3-Clause
#include "policy/heat.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>

namespace dinomo::policy {

namespace {

struct Sum {
  HotKey key;
  double most = 0;       // at one worker
  uint32_t seen_by = 0;  // workers
};

}  // namespace

Heat add_up(std::span<const WorkerHeat> workers) {
  Heat heat;
  std::unordered_map<uint64_t, Sum> sums;
  for (const WorkerHeat& w : workers) {
    heat.sampled += static_cast<double>(w.report.sampled);
    heat.keys += static_cast<double>(w.report.distinct);
    for (size_t i = 0; i < w.report.size; ++i) {
      const telemetry::HeatReport::Key& k = w.report.keys[i];
      const auto sure = static_cast<double>(k.count - k.over);
      Sum& sum = sums[k.routing_hash];
      sum.key.routing_hash = k.routing_hash;
      sum.key.key_hash = k.key_hash;
      sum.key.accesses += sure;
      ++sum.seen_by;
      if (sure <= sum.most) continue;
      sum.most = sure;
      sum.key.busiest = w.kn_slot;
    }
  }
  double known = 0;
  double squares = 0;
  for (const auto& [hash, sum] : sums) {
    known += sum.key.accesses;
    squares += sum.key.accesses * sum.key.accesses;
    heat.keys -= sum.seen_by - 1;  // counted by each
    heat.hottest.push_back(sum.key);
  }
  std::ranges::sort(heat.hottest, [](const HotKey& a, const HotKey& b) {
    return a.accesses != b.accesses ? a.accesses > b.accesses : a.routing_hash < b.routing_hash;
  });
  heat.keys = std::max(heat.keys, static_cast<double>(sums.size()));
  if (heat.keys == 0) return heat;
  heat.mean = heat.sampled / heat.keys;
  const double others = heat.keys - static_cast<double>(sums.size());
  if (others > 0) {
    const double of_each = std::max(0.0, heat.sampled - known) / others;
    squares += others * of_each * of_each;
  }
  heat.deviation = std::sqrt(std::max(0.0, squares / heat.keys - heat.mean * heat.mean));
  return heat;
}

}  // namespace dinomo::policy
