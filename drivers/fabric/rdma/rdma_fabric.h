// SPDX-License-Identifier: BSD-3-Clause
// KN side of the RDMA drivers: one registration with one DPM node.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "common/file_descriptor.h"
#include "drivers/fabric/rdma/data_plane.h"
#include "drivers/fabric/rdma/exchange.h"

namespace dinomo::fabric::rdma {

/// Reads and atomics of a pair in flight are limited to 16 by the devices; so many pairs a queue.
inline constexpr uint32_t kPairsPerQueue = 4;

/// What the queues of a registration share; lives as long as the last of them.
class Registration final : public PairSetOwner {
 public:
  Registration(const DataPlane& plane, Port port, FileDescriptor socket, uint32_t timeout_ms);

  Status open(const ConnectConfig& config, std::string* why);
  Status add_memory(MutableBytes memory) noexcept;
  Result<std::unique_ptr<PairSet>> take_pairs(uint32_t depth) noexcept;
  void give_back(std::unique_ptr<PairSet> set) noexcept override;
  RdmaQueueConfig queue_config(const PairSet& set) const noexcept;
  /// Control thread only.
  bool alive() noexcept;
  const RemotePool& remote() const noexcept { return remote_; }

 private:
  Result<std::unique_ptr<PairSet>> make_pairs(uint32_t depth) noexcept;
  Status choose_setup(PairSetup wanted, uint64_t cm_token, std::string* why);
  Status connect(PairSet& set) noexcept;
  Status exchange(ibv_qp* qp, uint32_t number) noexcept;

  const DataPlane& plane_;
  Port port_;
  FileDescriptor socket_;
  std::optional<CmDialer> dialer_;  // none: pairs are connected over the exchange
  uint32_t timeout_ms_;
  ProtectionDomain pd_;
  std::vector<MemoryRegion> regions_;
  LocalKeys keys_;
  RemotePool remote_;
  uint64_t remote_address_ = 0;
  uint32_t rkey_ = 0;
  std::atomic<bool> device_gone_{false};
  std::mutex mutex_;  // workers open their queues at the same time
  std::vector<std::unique_ptr<PairSet>> free_;
  uint32_t numbers_used_ = 0;
  uint32_t connects_ = 0;
};

class RdmaFabric final : public Fabric {
 public:
  static Result<std::unique_ptr<Fabric>> connect(const DataPlane& plane,
                                                 const ConnectConfig& config, std::string* why);

  RdmaFabric(const DataPlane& plane, std::shared_ptr<Registration> registration)
      : plane_(plane), registration_(std::move(registration)) {}

  const RemotePool& remote() const noexcept override { return registration_->remote(); }
  Status register_memory(MutableBytes memory) noexcept override {
    return registration_->add_memory(memory);
  }
  Result<std::unique_ptr<Queue>> open_queue(const QueueConfig& config) noexcept override;
  bool alive() noexcept override { return registration_->alive(); }

 private:
  const DataPlane& plane_;
  std::shared_ptr<Registration> registration_;
};

}  // namespace dinomo::fabric::rdma
