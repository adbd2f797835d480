// SPDX-License-Identifier: BSD-3-Clause
// DINOMO in an evaluation: the product's KNs, memory node and client library in virtual time, with
// CPU times that are calibrated by kind of operation. Thread rule: the event loop's.
#pragma once

#include <array>
#include <memory>
#include <unordered_map>
#include <vector>

#include "app/dinomo-eval/calibration.h"
#include "app/dinomo-eval/dinomo/client.h"
#include "cache/dac.h"
#include "cluster/replicas.h"
#include "ring/ring.h"
#include "world/dpm_node.h"
#include "world/kn_node.h"

namespace dinomo::eval {

inline constexpr uint32_t kClientNodes = 8;  // of the paper

/// Sums over all workers.
struct KnCounts {
  uint64_t gets = 0, puts = 0;
  uint64_t value_hits = 0, shortcut_hits = 0, unmerged_hits = 0, misses = 0, absent = 0, joined = 0;
  // Of replicated keys: through their cell, and those that were sent on to the owner.
  uint64_t shared = 0, elsewhere = 0;
  uint64_t read_rts = 0;  // of all of these
  uint64_t commits = 0, cell_writes = 0;
  uint64_t refused = 0;  // asked too much of, or by a client that has another ring
  uint64_t bytes = 0;    // over the fabric, one way or the other
};

enum class Ownership : uint8_t {
  kFixed,    // a ring that is written once
  kElastic,  // KNs come and go, one of them leads
};

struct DinomoConfig {
  uint32_t kns = 1;
  uint32_t kns_max = 1;  // that there ever are, those that have gone included
  cache::Policy policy = cache::Policy::kDac;
  Ownership ownership = Ownership::kFixed;
  uint64_t seed = 1;
};

class DinomoCluster {
 public:
  DinomoCluster(world::Environment* environment, const Calibration& calibration,
                const DinomoConfig& config);

  /// The published experiment's clients, which share the calibration's depth.
  void add_clients(Source* source);
  /// One more client node.
  void add_client(uint32_t depth, Source* source);
  /// There may be work for them again, after a time without.
  void wake_clients() {
    for (const auto& client : clients_) client->wake();
  }

  // Of an elastic cluster. KNs are numbered in the order in which they came, by their slots.
  uint16_t add_kn();
  uint16_t next_slot() const noexcept { return static_cast<uint16_t>(kns_.size()); }
  void drain_kn(uint16_t slot) { kns_[slot]->drain(true); }
  void kill_kn(uint16_t slot);
  /// As the pool has it.
  ring::Ring ring() const;

  KnCounts counts() const noexcept;
  /// What each worker was charged, KN by KN.
  std::vector<uint64_t> busy_ns() const;
  dpm::ServiceStats dpm() { return dpm_->service().stats(); }
  /// Empty, or why it does not run.
  const std::string& broken() const noexcept { return broken_; }

 private:
  struct Charged {
    KnCounts before;
    uint64_t requests = 0;
    uint64_t busy_ns = 0;
  };

  void make_dpm();
  void install_cells();
  void make_ring();
  void make_kn(uint16_t slot);
  uint32_t turn(kn::Worker* worker);

  world::Environment* environment_;
  const Calibration calibration_;
  const DinomoConfig config_;
  std::vector<wire::KnRecord> members_;
  std::vector<cluster::WantedKey> replicated_;  // by routing hash
  std::unique_ptr<world::DpmNode> dpm_;
  std::unordered_map<kn::Worker*, Charged> charged_;
  std::vector<std::unique_ptr<world::KnNode>> kns_;
  std::vector<std::unique_ptr<ClientNode>> clients_;
  std::string broken_;
};

}  // namespace dinomo::eval
