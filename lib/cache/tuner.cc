// SPDX-License-Identifier: BSD-3-Clause
#include "cache/tuner.h"

#include <algorithm>

#include "cache/arena.h"

namespace dinomo::cache {
namespace {

constexpr uint64_t kStepsPerShare = 16;
constexpr double kGetsWeight = 0.5;
// Fewer reads than this in a period say nothing about who needs the memory.
constexpr double kGetsMin = 1000;
// Estimates are noisy, and moved memory comes empty: what is gained has to exceed what is lost by
// half, and a thousandth of a round trip a read.
constexpr double kMargin = 1.5;
constexpr double kWorth = 1;  // thousandths of a round trip a read
// A cache that is read but not known yet is taken to lose all it could.
constexpr double kLossUnknown = 2000;

}  // namespace

Tuner::Tuner(const TunerConfig& config, uint64_t share_bytes, uint32_t shares)
    : config_(config),
      step_bytes_(share_bytes / kStepsPerShare),
      least_bytes_(share_bytes * std::min(config.share_min_percent, 100U) / 100),
      most_bytes_(share_bytes * Arena::kGrowthMax),
      caches_(shares, Cache{.budget_bytes = share_bytes, .gets = 0, .view = {}}) {}

// What a step more saves, in thousandths of a round trip a period: along the chord to twice the
// memory.
double Tuner::gain(const Cache& c) const noexcept {
  if (c.view.same_millirt <= c.view.twice_millirt) return 0;
  const double saved = c.gets * (c.view.same_millirt - c.view.twice_millirt);
  return saved * static_cast<double>(step_bytes_) / static_cast<double>(c.budget_bytes);
}

// What a step less costs: along the chord to half the memory.
double Tuner::loss(const Cache& c) const noexcept {
  const bool known = c.view.half_millirt != 0;
  const double more =
      known ? std::max(0.0, double{1} * c.view.half_millirt - c.view.same_millirt) : kLossUnknown;
  return 2 * c.gets * more * static_cast<double>(step_bytes_) / static_cast<double>(c.budget_bytes);
}

bool Tuner::decide(std::span<const TunerView> views) noexcept {
  if (!config_.on || views.size() != caches_.size() || step_bytes_ == 0) return false;
  double gets = 0;
  for (size_t i = 0; i < caches_.size(); ++i) {
    Cache& c = caches_[i];
    c.view = views[i];
    c.gets += (static_cast<double>(views[i].gets) - c.gets) * kGetsWeight;
    gets += c.gets;
  }
  if (gets < kGetsMin) return false;
  Cache* from = nullptr;
  Cache* to = nullptr;
  for (Cache& c : caches_) {
    const bool may_give = c.budget_bytes >= least_bytes_ + step_bytes_;
    const bool may_take = c.budget_bytes + step_bytes_ <= most_bytes_;
    if (may_give && (from == nullptr || loss(c) < loss(*from))) from = &c;
    if (may_take && (to == nullptr || gain(c) > gain(*to))) to = &c;
  }
  if (from == nullptr || to == nullptr || from == to) return false;
  if (gain(*to) < kMargin * loss(*from) + kWorth * gets / kStepsPerShare) return false;
  from->budget_bytes -= step_bytes_;
  to->budget_bytes += step_bytes_;
  return true;
}

}  // namespace dinomo::cache
