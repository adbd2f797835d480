// SPDX-License-Identifier: BSD-3-Clause
// DPM side of the shm driver: the rendezvous socket.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "drivers/fabric/shm/shm_rendezvous.h"
#include "fabric/driver.h"

namespace dinomo::fabric::shm {

class ShmTarget final : public Target {
 public:
  static Result<std::unique_ptr<Target>> listen(const std::string& address, const PoolExport& pool,
                                                std::string* why);
  ~ShmTarget() override;

  uint32_t poll() noexcept override;
  Status revoke(uint16_t kn_slot) noexcept override;
  Status fence(uint16_t kn_slot) noexcept override;
  bool connected(uint16_t kn_slot) noexcept override;

 private:
  struct Connection {
    FileDescriptor socket;
    int kn_slot = -1;  // -1: has not said what it wants
  };

  void accept_waiting() noexcept;
  /// False when the connection is over.
  bool serve(Connection* connection) noexcept;
  Status choose_slot(int wanted, uint16_t* slot) noexcept;

  std::string path_;
  FileDescriptor listener_;
  FileDescriptor pool_file_;
  PoolExport pool_;
  std::vector<Connection> connections_;
};

}  // namespace dinomo::fabric::shm
