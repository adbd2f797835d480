// SPDX-License-Identifier: BSD-3-Clause
// The nodes of one simulated cluster: a memory node, KNs that divide its keys by a ring, which
// their leader makes (elastic) or which does not change, clients, and somebody who may not be one.
// Faults: faults.h.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "ring/ring.h"
#include "world/client_node.h"
#include "world/dpm_node.h"
#include "world/environment.h"
#include "world/faults.h"
#include "world/forger.h"
#include "world/kn_node.h"
#include "world/scenario.h"

namespace dinomo::world {

class Cluster {
 public:
  static constexpr uint16_t kKnSlots = 8;
  static constexpr uint16_t kFencerSlot = kKnSlots - 1;
  static constexpr uint16_t kWorkersPerKn = 8;

  Cluster(const Scenario& scenario, uint64_t seed, Environment* environment);
  ~Cluster();
  Cluster(const Cluster&) = delete;
  Cluster& operator=(const Cluster&) = delete;

  /// Ends all faults, now and for good: networks are sound and one process of every KN runs.
  void heal();
  /// Why a node could not start again; empty while all is well.
  const std::string& broken() const noexcept { return broken_; }
  bool clients_finished() const noexcept;
  /// Until `condition` or `limit_ns` from now; false at the limit.
  bool run_until(const std::function<bool()>& condition, uint64_t limit_ns);

  // For the faults: a KN is a process; several can hold themselves for the same KN slot.
  void start_kns();
  void start_dpms();
  void replace_kn(uint16_t kn_slot);
  /// Ends for good what runs beside the serving process of a slot, or beside the newest.
  void keep_one_kn(uint16_t kn_slot);
  /// The newest running process of a slot, or nullptr.
  KnNode* running_kn(uint16_t kn_slot) noexcept;

  Environment& environment() noexcept { return *environment_; }
  std::vector<std::unique_ptr<DpmNode>>& dpms() noexcept { return dpms_; }
  std::vector<std::unique_ptr<KnNode>>& kns() noexcept { return kns_; }
  std::vector<std::unique_ptr<ClientNode>>& clients() noexcept { return clients_; }
  const std::vector<std::unique_ptr<KnNode>>& kns() const noexcept { return kns_; }
  const std::vector<std::unique_ptr<ClientNode>>& clients() const noexcept { return clients_; }
  const Forger& forger() const noexcept { return *forger_; }
  /// Can a version of the key be of this log: of the worker that is its owner, or was?
  bool may_have_given(const std::string& key, uint16_t log_id) const noexcept;
  std::map<std::string, uint64_t> coverage() const;

  /// What an operator has the memory node do, which has to run: the key gets a cell, which the
  /// leader lists, or has none any more.
  Result<pool::GlobalAddress> replicate(uint64_t key, uint64_t kns_wanted);
  void dereplicate(uint64_t key);

 private:
  std::string two_owners() const;
  void make_dpm();
  void make_ring();
  void replicate_keys(ring::Ring* ring);
  void start_dpm(DpmNode* node);
  void add_kn(uint16_t kn_slot, const std::string& name);
  void set_networks(bool faulty);
  void count_workers(std::map<std::string, uint64_t>* coverage) const;
  sim::ClockFaults clock_faults();
  ClientOptions client_options(uint32_t number);

  const Scenario scenario_;
  Environment* environment_;
  client::Random random_;
  std::vector<wire::KnRecord> members_;
  std::vector<std::unique_ptr<DpmNode>> dpms_;
  std::vector<std::unique_ptr<KnNode>> kns_;  // processes, some of them dead for good
  std::vector<std::unique_ptr<ClientNode>> clients_;
  std::unique_ptr<Forger> forger_;
  std::unique_ptr<Faults> faults_;
  std::string broken_;
};

}  // namespace dinomo::world
