// SPDX-License-Identifier: BSD-3-Clause
// What differs between RDMA drivers once connections are common: which devices they drive, how the
// queue pairs of a lcore are made, and how a Queue posts to them.
#pragma once

#include <memory>
#include <vector>

#include "drivers/fabric/rdma/cm.h"
#include "drivers/fabric/rdma/rdma_queue.h"
#include "drivers/fabric/rdma/verbs_objects.h"

namespace dinomo::fabric::rdma {

/// The queue pairs of one lcore with their CQ, and memory for what atomics fetch. Outlives the
/// Queue that uses it: the next one gets the pairs again, after a reset.
class PairSet {
 public:
  virtual ~PairSet() = default;
  /// Throws away what the CQ still holds. The pairs are stopped.
  virtual void drain() noexcept = 0;

  std::vector<ibv_qp*> pairs;
  std::vector<CmId> links;    // of the pairs, where the connection manager connected them
  uint32_t first_number = 0;  // in the exchange; the others follow
  uint32_t depth = 0;
  std::vector<std::byte> landing;
  MemoryRegion landing_region;
};

/// Who gets a PairSet back when its Queue ends.
class PairSetOwner {
 public:
  virtual ~PairSetOwner() = default;
  virtual void give_back(std::unique_ptr<PairSet> set) noexcept = 0;
};

/// A PairSet in use by a Queue.
class PairSetLoan {
 public:
  PairSetLoan(std::shared_ptr<PairSetOwner> owner, std::unique_ptr<PairSet> set) noexcept
      : owner_(std::move(owner)), set_(std::move(set)) {}
  PairSetLoan(PairSetLoan&&) noexcept = default;
  PairSetLoan& operator=(PairSetLoan&&) = delete;
  ~PairSetLoan() {
    if (set_) owner_->give_back(std::move(set_));
  }
  PairSet& set() const noexcept { return *set_; }
  /// All pairs to error, so that everything posted completes.
  void stop() noexcept {
    for (ibv_qp* qp : set_->pairs) stop_pair(qp);
  }

 private:
  std::shared_ptr<PairSetOwner> owner_;
  std::unique_ptr<PairSet> set_;
};

struct DataPlane {
  const char* name;  // of the driver, for messages
  bool (*fits)(ibv_device* device);
  /// `pairs` pairs in reset, each with room for `depth` operations.
  Result<std::unique_ptr<PairSet>> (*make_pairs)(Port& port, ibv_pd* pd, uint32_t pairs,
                                                 uint32_t depth, std::string* why);
  std::unique_ptr<Queue> (*make_queue)(PairSetLoan loan, const RdmaQueueConfig& config);
};

}  // namespace dinomo::fabric::rdma
