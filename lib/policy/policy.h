// SPDX-License-Identifier: BSD-3-Clause
// What a cluster should change about itself, one step at a time: decisions over reports, pure but
// for the times of the last changes. Who calls carries them out, or only logs them (dry run), and
// says which it did.
//
// The published table (DINOMO section 5.3), checked from the top; the first row that applies wins:
//
//   SLO       condition                                           action
//   any       a change was made less than grace_ms ago, or one    none
//             is under way
//   any       a replicated key is cold                            de-replicate it
//   violated  every KN is over-utilised, another one is to be had add a KN
//   violated  a key is hot                                        replicate it to more KNs
//   violated  a KN is far busier than the mean                    rebalance partitions
//   met       a KN is under-utilised, the others can bear more    remove the least busy
//
// Where it departs from the published program, and why:
//   - Occupancy is busy time, not busy turns: an idle turn is shorter, so turns overstate idleness.
//   - p99 is the worst KN's: percentiles cannot be averaged, and no percentile of all requests is
//     above the worst of the KNs'.
//   - cold was at most mean - 1 deviation, which is below 0 for every skewed load, so nothing was
//     ever de-replicated. Here a key is cold at max(that, cold_means x mean), and two reports in a
//     row have to say so.
//   - A KN is removed only if the others stay below remove_limit_permille with its load.
//   - R never exceeds the KNs there are, also after one was lost.
//   - rebalance is new: partitions can be moved one by one here.
//
// Thread rule: one thread. Allocates; not for worker lcores.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "policy/heat.h"

namespace dinomo::policy {

struct Config {
  uint32_t slo_average_us = 1200;  // 0: no such limit
  uint32_t slo_p99_us = 16'000;    // 0: no such limit
  uint32_t over_utilised_permille = 200;
  uint32_t under_utilised_permille = 100;
  uint32_t remove_limit_permille = 150;  // the mean that removing a KN may lead to
  uint32_t kns_min = 1;
  uint32_t kns_max = 16;
  uint64_t grace_ms = 90'000;             // after any change
  double hot_deviations = 3.0;            // a key above mean + so many is hot
  double cold_deviations = 1.0;           // at or below mean - so many it is cold
  double cold_means = 1.0;                // or at or below so many means
  uint32_t cold_reports = 2;              // in a row
  uint64_t sampled_min = 1000;            // below, a report says nothing of keys
  uint32_t replicas_max = 16;             // KNs of a key
  uint32_t replicated_max = 256;          // keys
  double imbalance = 1.5;                 // a KN so many times as busy as the mean is far busier
  uint32_t rebalance_min_permille = 200;  // of the busiest, or it is not worth it
  bool elastic = true;                    // add and remove KNs
  bool replicate = true;                  // replicate and de-replicate keys
  bool rebalance = true;
};

/// Empty, or what is wrong with it and what to do.
std::string check(const Config& config);

/// Of one KN over the last period.
struct KnReport {
  uint16_t kn_slot = 0;
  uint64_t operations = 0;
  uint32_t average_us = 0;
  uint32_t p99_us = 0;
  uint32_t busy_permille = 0;  // of the time, mean over its workers
  uint32_t partitions = 0;     // that it owns
};

struct ReplicatedNow {
  uint64_t routing_hash = 0;
  uint32_t replicas = 0;  // KNs
};

struct Inputs {
  uint64_t now_ms = 0;        // of any clock that does not jump
  std::vector<KnReport> kns;  // that own partitions and have reported
  Heat heat;
  std::vector<ReplicatedNow> replicated;
  uint32_t kns_active = 0;  // may be more than have reported
  uint32_t kns_to_add = 0;  // standbys, or machines that a hook can start
  bool change_under_way = false;
};

enum class Action : uint8_t { kNone, kAddKn, kRemoveKn, kReplicate, kDereplicate, kRebalance };
const char* action_name(Action action) noexcept;

struct Decision {
  Action action = Action::kNone;
  uint16_t kn_slot = 0;       // kRemoveKn; kRebalance: partitions go from here
  uint16_t to_kn_slot = 0;    // kRebalance: to here
  uint32_t partitions = 0;    // kRebalance: how many
  uint64_t routing_hash = 0;  // kReplicate, kDereplicate
  uint64_t key_hash = 0;      // kReplicate
  uint32_t replicas = 0;      // kReplicate: KNs from now on
  std::string why;            // with the numbers, for people
};

class Engine {
 public:
  /// REQUIRES: check(config) is empty.
  explicit Engine(const Config& config) : config_(config) {}

  /// Once for each round of reports.
  Decision decide(const Inputs& inputs);

  /// The decision was carried out, or somebody changed KNs or replication by hand: grace begins.
  void changed(uint64_t now_ms) noexcept { changed_ms_ = now_ms + 1; }

 private:
  struct Summary;
  Summary summarize(const Inputs& inputs) const;
  void follow_cold(const Inputs& inputs);
  bool is_cold(const Inputs& inputs, uint64_t routing_hash) const;
  Decision dereplicate(const Inputs& inputs) const;
  Decision add(const Inputs& inputs, const Summary& s) const;
  Decision replicate(const Inputs& inputs, const Summary& s) const;
  Decision rebalance(const Inputs& inputs, const Summary& s) const;
  Decision remove(const Inputs& inputs, const Summary& s) const;

  Config config_;
  uint64_t changed_ms_ = 0;                          // + 1; 0: never
  std::unordered_map<uint64_t, uint32_t> cold_for_;  // reports in a row, of replicated keys
};

}  // namespace dinomo::policy
