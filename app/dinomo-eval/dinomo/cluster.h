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
#include "world/dpm_node.h"
#include "world/kn_node.h"

namespace dinomo::eval {

inline constexpr uint32_t kClientNodes = 8;  // of the paper

/// Sums over all workers.
struct KnCounts {
  uint64_t gets = 0, puts = 0;
  uint64_t value_hits = 0, shortcut_hits = 0, unmerged_hits = 0, misses = 0, absent = 0, joined = 0;
  uint64_t read_rts = 0;  // of shortcut hits, unmerged hits, misses and absent keys
  uint64_t commits = 0;
  uint64_t bytes = 0;  // over the fabric, one way or the other
};

class DinomoCluster {
 public:
  DinomoCluster(world::Environment* environment, const Calibration& calibration, uint32_t kns,
                cache::Policy policy, uint64_t seed, Source* source);

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

  void make_dpm(uint32_t kns, uint64_t seed);
  void make_ring(uint32_t kns);
  void make_kn(uint16_t slot, cache::Policy policy);
  uint32_t turn(kn::Worker* worker);

  world::Environment* environment_;
  const Calibration calibration_;
  std::vector<wire::KnRecord> members_;
  std::unique_ptr<world::DpmNode> dpm_;
  std::unordered_map<kn::Worker*, Charged> charged_;
  std::vector<std::unique_ptr<world::KnNode>> kns_;
  std::vector<std::unique_ptr<ClientNode>> clients_;
  std::string broken_;
};

}  // namespace dinomo::eval
