// SPDX-License-Identifier: BSD-3-Clause
// KN side of the shm driver.
#pragma once

#include <memory>
#include <string>

#include "drivers/fabric/shm/shm_mapping.h"
#include "fabric/driver.h"

namespace dinomo::fabric::shm {

class ShmFabric final : public Fabric {
 public:
  static Result<std::unique_ptr<Fabric>> connect(const ConnectConfig& config, std::string* why);

  const RemotePool& remote() const noexcept override { return remote_; }
  Status register_memory(MutableBytes) noexcept override { return Status::kOk; }
  Result<std::unique_ptr<Queue>> open_queue(const QueueConfig& config) noexcept override;
  bool alive() noexcept override;

 private:
  FileDescriptor socket_;
  std::shared_ptr<Mapping> mapping_;
  RemotePool remote_;
};

}  // namespace dinomo::fabric::shm
