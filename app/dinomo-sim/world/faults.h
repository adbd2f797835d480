// SPDX-License-Identifier: BSD-3-Clause
// What befalls the nodes of a cluster, planned by the seed: kills, pauses, power failures, cuts,
// partitions, fail-overs. Each of them may come at any time, or right when the node has something
// under way: a stop between two microseconds of work finds more than one in idle hours.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "client/random.h"
#include "world/environment.h"
#include "world/fencer.h"
#include "world/scenario.h"

namespace dinomo::world {

class Cluster;
class KnNode;

class Faults final : private sim::Handler {
 public:
  Faults(Cluster* cluster, const Scenario& scenario, uint64_t seed);
  ~Faults() override;
  Faults(const Faults&) = delete;
  Faults& operator=(const Faults&) = delete;

  /// No more of them, and those that last end.
  void end();
  const std::map<std::string, uint64_t>& injected() const noexcept { return injected_; }

 private:
  enum class Fault : uint8_t {
    kKnKill,
    kKnPause,
    kDpmKill,
    kPowerFailure,
    kDpmPause,
    kPartition,
    kLinkCut,
    kTakeover,
    kDrain,
    kKnLeave,
    kReplicate,
    kPin,
    // What ends them.
    kKnStart,
    kDpmStart,
    kPartitionEnd,
    kLinkMend,
    kReplace,
    kCleanUp,
    kUndrain,
    kKnLeft,
    // What was waiting for work to be under way.
    kNow,
  };
  struct Waiting {
    Fault fault;
    uint16_t kn_slot;
  };

  void on_event(uint64_t argument) override;
  void plan(Fault fault, uint64_t count);
  void at(uint64_t at_ns, Fault fault, uint64_t argument = 0);
  void begin(Fault fault);
  void on_launch(uint16_t kn_slot);
  void strike_waiting(uint64_t id);
  void strike(Fault fault, KnNode* kn);
  void stop_dpm(bool power);
  void replicate();
  void pin();
  void partition(const KnNode& kn);
  void take_over(KnNode* kn);
  void await_leave(uint64_t index);
  uint64_t index_of(const KnNode& kn) const;
  void count(const char* what) { ++injected_[what]; }
  uint64_t soon_ns() { return now_ns() + 1 + random_.below(outage_ns_); }
  uint64_t now_ns() const noexcept { return environment_->loop.now_ns(); }

  Cluster* cluster_;
  Environment* environment_;
  const Scenario scenario_;
  const uint64_t outage_ns_;
  sim::EventLoop::HandlerId id_;
  client::Random random_;
  Fencer fencer_;
  std::set<uint16_t> awaited_;           // KN slots whose lease is being waited out
  std::map<uint64_t, Waiting> waiting_;  // by number
  uint64_t waited_ = 0;
  std::vector<std::pair<sim::Ip, sim::Ip>> blocks_;  // of partitions, in order of their making
  std::map<std::string, uint64_t> injected_;
  std::map<uint16_t, uint64_t> replace_ns_;  // by KN slot: when nobody fenced there serves any more
  bool ended_ = false;
};

}  // namespace dinomo::world
