// SPDX-License-Identifier: BSD-3-Clause
#include "policy/policy.h"

#include <fmt/format.h>

#include <algorithm>

namespace dinomo::policy {

const char* action_name(Action action) noexcept {
  switch (action) {
    case Action::kNone: return "none";
    case Action::kAddKn: return "add";
    case Action::kRemoveKn: return "remove";
    case Action::kReplicate: return "replicate";
    case Action::kDereplicate: return "de-replicate";
    case Action::kRebalance: return "rebalance";
  }
  return "unknown";
}

std::string check(const Config& c) {
  if (c.under_utilised_permille >= c.over_utilised_permille) {
    return fmt::format(
        "under_utilised_permille ({}) has to be less than over_utilised_permille ({}): otherwise "
        "KNs are added and removed in turn",
        c.under_utilised_permille, c.over_utilised_permille);
  }
  if (c.remove_limit_permille > c.over_utilised_permille) {
    return fmt::format(
        "remove_limit_permille ({}) is more than over_utilised_permille ({}): removing a KN would "
        "call for adding one",
        c.remove_limit_permille, c.over_utilised_permille);
  }
  if (c.kns_min == 0 || c.kns_min > c.kns_max) {
    return fmt::format("kns_min ({}) has to be between 1 and kns_max ({})", c.kns_min, c.kns_max);
  }
  if (c.slo_average_us == 0 && c.slo_p99_us == 0) {
    return "slo_average_us and slo_p99_us are both 0: set at least one, or nothing is ever "
           "violated";
  }
  if (c.imbalance <= 1.0) return fmt::format("imbalance ({}) has to be more than 1", c.imbalance);
  if (c.hot_deviations <= 0) {
    return fmt::format("hot_deviations ({}) has to be more than 0", c.hot_deviations);
  }
  if (c.replicas_max < 2) return "replicas_max has to be 2 at least; to not replicate, say so";
  return {};
}

/// What the rows of the table look at.
struct Engine::Summary {
  double average_us = 0;
  uint32_t p99_us = 0;
  double excess = 0;  // the worse of latency / SLO; above 1: violated
  double busy_mean = 0;
  const KnReport* least_busy = nullptr;
  const KnReport* busiest = nullptr;

  bool violated() const { return excess > 1.0; }
  std::string slo(const Config& c) const {
    return fmt::format("average {:.0f} us (SLO {}), p99 {} us (SLO {})", average_us,
                       c.slo_average_us, p99_us, c.slo_p99_us);
  }
};

/// REQUIRES: somebody has reported.
Engine::Summary Engine::summarize(const Inputs& in) const {
  Summary s;
  s.least_busy = s.busiest = &in.kns.front();
  double operations = 0;
  double weighted_us = 0;
  for (const KnReport& kn : in.kns) {
    operations += static_cast<double>(kn.operations);
    weighted_us += static_cast<double>(kn.operations) * kn.average_us;
    if (kn.operations != 0) s.p99_us = std::max(s.p99_us, kn.p99_us);
    s.busy_mean += kn.busy_permille;
    if (kn.busy_permille < s.least_busy->busy_permille) s.least_busy = &kn;
    if (kn.busy_permille > s.busiest->busy_permille) s.busiest = &kn;
  }
  if (operations != 0) s.average_us = weighted_us / operations;
  s.busy_mean /= static_cast<double>(in.kns.size());
  if (config_.slo_average_us != 0) s.excess = s.average_us / config_.slo_average_us;
  if (config_.slo_p99_us != 0) {
    s.excess = std::max(s.excess, static_cast<double>(s.p99_us) / config_.slo_p99_us);
  }
  return s;
}

bool Engine::is_cold(const Inputs& in, uint64_t routing_hash) const {
  const auto found = std::ranges::find(in.heat.hottest, routing_hash, &HotKey::routing_hash);
  const double accesses = found == in.heat.hottest.end() ? 0.0 : found->accesses;
  const double limit = std::max(in.heat.mean - config_.cold_deviations * in.heat.deviation,
                                config_.cold_means * in.heat.mean);
  return accesses <= limit;
}

/// Counts also while grace lasts: what was cold all the time can go as soon as it ends.
void Engine::follow_cold(const Inputs& in) {
  std::unordered_map<uint64_t, uint32_t> cold_for;
  for (const ReplicatedNow& key : in.replicated) {
    const auto before = cold_for_.find(key.routing_hash);
    const uint32_t reports = before == cold_for_.end() ? 0 : before->second;
    const bool cold = in.heat.sampled >= static_cast<double>(config_.sampled_min) &&
                      is_cold(in, key.routing_hash);
    cold_for[key.routing_hash] = cold ? reports + 1 : 0;
  }
  cold_for_ = std::move(cold_for);
}

Decision Engine::decide(const Inputs& in) {
  follow_cold(in);
  Decision none;
  if (in.change_under_way) {
    none.why = "a change is under way";
    return none;
  }
  if (changed_ms_ != 0 && in.now_ms + 1 < changed_ms_ + config_.grace_ms) {
    none.why = fmt::format("the last change was {} ms ago (grace {} ms)",
                           in.now_ms + 1 - changed_ms_, config_.grace_ms);
    return none;
  }
  if (in.kns.empty()) {
    none.why = "no KN has reported";
    return none;
  }
  const Summary s = summarize(in);
  Decision d = dereplicate(in);
  if (d.action == Action::kNone && s.violated()) {
    d = add(in, s);
    if (d.action == Action::kNone) d = replicate(in, s);
    if (d.action == Action::kNone) d = rebalance(in, s);
  } else if (d.action == Action::kNone) {
    d = remove(in, s);
  }
  if (d.action == Action::kNone && d.why.empty()) {
    d.why = fmt::format("{}; KNs are {} to {} permille busy: nothing to do", s.slo(config_),
                        s.least_busy->busy_permille, s.busiest->busy_permille);
  }
  return d;
}

Decision Engine::dereplicate(const Inputs& in) const {
  Decision d;
  if (!config_.replicate) return d;
  for (const ReplicatedNow& key : in.replicated) {
    const auto cold = cold_for_.find(key.routing_hash);
    if (cold == cold_for_.end() || cold->second < config_.cold_reports) continue;
    d.action = Action::kDereplicate;
    d.routing_hash = key.routing_hash;
    d.why = fmt::format(
        "key {:016x} ({} KNs) was cold in {} reports: a key has {:.1f} accesses, "
        "deviation {:.1f}",
        key.routing_hash, key.replicas, cold->second, in.heat.mean, in.heat.deviation);
    return d;
  }
  return d;
}

Decision Engine::add(const Inputs& in, const Summary& s) const {
  Decision d;
  const uint32_t least = s.least_busy->busy_permille;
  if (!config_.elastic || in.kns_active >= config_.kns_max || in.kns_to_add == 0 ||
      least <= config_.over_utilised_permille) {
    return d;
  }
  d.action = Action::kAddKn;
  d.why = fmt::format("{}; the least busy of {} KNs is {} permille busy (over-utilised above {})",
                      s.slo(config_), in.kns_active, least, config_.over_utilised_permille);
  return d;
}

Decision Engine::replicate(const Inputs& in, const Summary& s) const {
  Decision d;
  if (!config_.replicate || in.heat.sampled < static_cast<double>(config_.sampled_min)) return d;
  const double hot_above = in.heat.mean + config_.hot_deviations * in.heat.deviation;
  const uint32_t most = std::min(in.kns_active, config_.replicas_max);
  for (const HotKey& key : in.heat.hottest) {
    if (key.accesses <= hot_above) return d;  // the others are no hotter
    const auto now =
        std::ranges::find(in.replicated, key.routing_hash, &ReplicatedNow::routing_hash);
    const bool replicated = now != in.replicated.end();
    const uint32_t before = replicated ? now->replicas : 1;
    if (before >= most || (!replicated && in.replicated.size() >= config_.replicated_max)) continue;
    d.action = Action::kReplicate;
    d.routing_hash = key.routing_hash;
    d.key_hash = key.key_hash;
    const double wanted = std::min(before * s.excess, static_cast<double>(most));
    d.replicas = std::clamp(static_cast<uint32_t>(wanted), before + 1, most);
    d.why = fmt::format(
        "{}; key {:016x} has {:.0f} of {:.0f} sampled accesses (hot above {:.1f}): from {} to {} "
        "KNs",
        s.slo(config_), key.routing_hash, key.accesses, in.heat.sampled, hot_above, before,
        d.replicas);
    return d;
  }
  return d;
}

/// As many partitions as bring the busiest and the least busy half way towards each other, if all
/// partitions of the busiest are alike.
Decision Engine::rebalance(const Inputs& in, const Summary& s) const {
  Decision d;
  const double busiest = s.busiest->busy_permille;
  if (!config_.rebalance || in.kns.size() < 2 || busiest < config_.rebalance_min_permille ||
      busiest < config_.imbalance * s.busy_mean) {
    return d;
  }
  const double apart = busiest - s.least_busy->busy_permille;
  const auto share = static_cast<uint32_t>(s.busiest->partitions * apart / 2 / busiest);
  if (share == 0 || share >= s.busiest->partitions) return d;
  d.action = Action::kRebalance;
  d.kn_slot = s.busiest->kn_slot;
  d.to_kn_slot = s.least_busy->kn_slot;
  d.partitions = share;
  d.why = fmt::format(
      "{}; KN {} is {} permille busy, the mean {:.0f}, KN {} {}: {} of its {} partitions go there",
      s.slo(config_), d.kn_slot, s.busiest->busy_permille, s.busy_mean, d.to_kn_slot,
      s.least_busy->busy_permille, share, s.busiest->partitions);
  return d;
}

Decision Engine::remove(const Inputs& in, const Summary& s) const {
  Decision d;
  const uint32_t least = s.least_busy->busy_permille;
  // One that has not reported may be the busiest of all.
  if (!config_.elastic || in.kns_active <= config_.kns_min || in.kns.size() != in.kns_active ||
      least >= config_.under_utilised_permille) {
    return d;
  }
  const auto kns = static_cast<double>(in.kns_active);
  const double after = s.busy_mean * kns / (kns - 1);
  if (kns < 2 || after > config_.remove_limit_permille) return d;
  d.action = Action::kRemoveKn;
  d.kn_slot = s.least_busy->kn_slot;
  d.why = fmt::format(
      "{}; KN {} is {} permille busy (under-utilised below {}), the others would be {:.0f} on "
      "average (limit {})",
      s.slo(config_), d.kn_slot, least, config_.under_utilised_permille, after,
      config_.remove_limit_permille);
  return d;
}

}  // namespace dinomo::policy
