// SPDX-License-Identifier: BSD-3-Clause
// Queue pairs on a soft HCA without libibverbs: makes the rings, records and registers that libmlx5
// would, and describes them by the structs that mlx5dv_init_obj fills. For unit and fault tests.
#pragma once

#include <cstdlib>
#include <memory>
#include <vector>

#include "drivers/fabric/mlx5/softhca/device.h"

namespace dinomo::softhca {

struct FactoryConfig {
  uint32_t pd = 0;
  uint32_t pairs = 1;
  uint32_t blocks = 256;         // of each send queue
  uint32_t entries = 1024;       // of the CQ
  uint32_t entry_bytes = 64;     // 64 or 128
  uint32_t bf_half_bytes = 256;  // 0: doorbells only
};

/// Some pairs of one lcore with a common CQ and a common register. Must not outlive the device.
class FactoryQueue {
 public:
  FactoryQueue(Device& device, const FactoryConfig& config);
  ~FactoryQueue();
  FactoryQueue(const FactoryQueue&) = delete;
  FactoryQueue& operator=(const FactoryQueue&) = delete;

  const mlx5dv_cq& cq() const noexcept { return cq_; }
  const mlx5dv_qp& qp(uint32_t pair) const noexcept { return qps_[pair]; }
  uint32_t qpn(uint32_t pair) const noexcept { return qpns_[pair]; }
  uint32_t pairs() const noexcept { return static_cast<uint32_t>(qpns_.size()); }
  std::byte* bf_register() const noexcept { return static_cast<std::byte*>(qps_[0].bf.reg); }
  uint32_t bf_half_bytes() const noexcept { return qps_[0].bf.size; }

  /// All pairs into a state, or from reset to ready.
  void move(QpState state);
  /// As after ibv_modify_qp to RESET: records and indices of both ends begin anew.
  void clear_records();

 private:
  struct Free {
    void operator()(std::byte* memory) const noexcept { std::free(memory); }
  };
  using Memory = std::unique_ptr<std::byte, Free>;
  static Memory allocate(size_t bytes);

  Device& device_;
  Memory uar_;
  Memory records_;
  Memory entries_;
  std::vector<Memory> rings_;
  mlx5dv_cq cq_{};
  uint32_t cqn_ = 0;
  std::vector<mlx5dv_qp> qps_;
  std::vector<uint32_t> qpns_;
};

/// Connects pair i of one side with pair i of the other and makes both ready.
void connect(Device& device, FactoryQueue& a, FactoryQueue& b, uint32_t access);

}  // namespace dinomo::softhca
