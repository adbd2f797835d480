// SPDX-License-Identifier: BSD-3-Clause
// DPM side of the shm driver: the rendezvous socket.
#pragma once

#include <chrono>
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
  /// Ends the connection: a process that runs gives its mapping up then, and with it the slot's
  /// lock. One that has not after kGiveUp is stopped or hangs, and a mapping cannot be taken away:
  /// it is killed, if the kernel lets us. kBusy until the lock is free; ask again.
  Status fence(uint16_t kn_slot) noexcept override;
  bool connected(uint16_t kn_slot) noexcept override;

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::milliseconds kGiveUp{200};

  struct Connection {
    FileDescriptor socket;
    int kn_slot = -1;        // -1: has not said what it wants
    FileDescriptor process;  // pidfd of who connected; none: not known here
  };
  /// A process whose connection was ended by fence(), and that has not given up the slot yet.
  struct Fenced {
    uint16_t kn_slot;
    FileDescriptor process;
    Clock::time_point since;
  };

  void accept_waiting() noexcept;
  /// False when the connection is over.
  bool serve(Connection* connection) noexcept;
  void cut_off(uint16_t kn_slot) noexcept;
  Status choose_slot(int wanted, uint16_t* slot) noexcept;

  std::string path_;
  FileDescriptor listener_;
  FileDescriptor pool_file_;
  PoolExport pool_;
  std::vector<Connection> connections_;
  std::vector<Fenced> fenced_;
};

}  // namespace dinomo::fabric::shm
