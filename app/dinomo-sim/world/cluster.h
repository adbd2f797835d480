// SPDX-License-Identifier: BSD-3-Clause
// The nodes of one simulated cluster and the faults that befall them.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "world/client_node.h"
#include "world/dpm_node.h"
#include "world/environment.h"
#include "world/kn_node.h"
#include "world/scenario.h"

namespace dinomo::world {

class Cluster final : private sim::Handler {
 public:
  Cluster(const Scenario& scenario, uint64_t seed, Environment* environment);
  ~Cluster() override;
  Cluster(const Cluster&) = delete;
  Cluster& operator=(const Cluster&) = delete;

  /// Ends all faults, now and for good: networks are sound and every node runs.
  void heal();
  /// Why a node could not start again; empty while all is well.
  const std::string& broken() const noexcept { return broken_; }
  bool clients_finished() const noexcept;
  /// Until `condition` or `limit_ns` from now; false at the limit.
  bool run_until(const std::function<bool()>& condition, uint64_t limit_ns);

  Environment& environment() noexcept { return *environment_; }
  std::vector<std::unique_ptr<DpmNode>>& dpms() noexcept { return dpms_; }
  std::vector<std::unique_ptr<KnNode>>& kns() noexcept { return kns_; }
  std::vector<std::unique_ptr<ClientNode>>& clients() noexcept { return clients_; }
  std::map<std::string, uint64_t> coverage() const;

 private:
  enum class Fault : uint8_t {
    kKnKill,
    kKnStart,
    kKnPause,
    kDpmKill,
    kPowerFailure,
    kDpmStart,
    kDpmPause,
    kPartition,
    kPartitionEnd,
    kLinkCut,
    kLinkMend,
  };
  void on_event(uint64_t argument) override;
  void plan(Fault fault, uint64_t count);
  void at(uint64_t at_ns, Fault fault);
  void start_dpm(DpmNode* node);
  void set_networks(bool faulty);
  sim::ClockFaults clock_faults();
  ClientOptions client_options(uint32_t number);

  const Scenario scenario_;
  Environment* environment_;
  sim::EventLoop::HandlerId id_;
  client::Random random_;
  std::vector<std::unique_ptr<DpmNode>> dpms_;
  std::vector<std::unique_ptr<KnNode>> kns_;
  std::vector<std::unique_ptr<ClientNode>> clients_;
  std::map<std::string, uint64_t> injected_;
  std::string broken_;
  bool healed_ = false;
};

}  // namespace dinomo::world
