// SPDX-License-Identifier: BSD-3-Clause
// DPM side of the RDMA drivers. Every registration of a KN gets a protection domain, a registration
// of the whole pool and queue pairs of its own, so that its access can be taken away alone
// (reference: RDMA fencing; DINOMO leaves it out).
//
// A thread of the target's own accepts KNs, makes their objects and takes them down: registering a
// large pool takes long, and the service thread must not wait. The end of a KN's TCP connection is
// the end of its rights: its access is revoked before the slot counts as free.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "common/file_descriptor.h"
#include "drivers/fabric/rdma/cm.h"
#include "drivers/fabric/rdma/data_plane.h"
#include "drivers/fabric/rdma/exchange.h"
#include "fabric/driver.h"

namespace dinomo::fabric::rdma {

class RdmaTarget final : public Target {
 public:
  static Result<std::unique_ptr<Target>> listen(const DataPlane& plane, const std::string& address,
                                                const PoolExport& pool, std::string* why);
  RdmaTarget(const DataPlane& plane, Port port, const PoolExport& pool, FileDescriptor listener,
             FileDescriptor wake);
  /// Before run() starts: offers librdmacm, too.
  Status offer_cm(std::string* why);
  void start() {
    thread_ = std::thread([this] { run(); });
  }
  ~RdmaTarget() override;

  uint32_t poll() noexcept override;
  Status revoke(uint16_t kn_slot) noexcept override;
  Status fence(uint16_t kn_slot) noexcept override;
  bool connected(uint16_t kn_slot) noexcept override;

 private:
  /// Everything of one registration; members go in reverse order.
  struct Connection {
    FileDescriptor socket;
    int kn_slot = -1;     // -1: has not said Hello
    bool doomed = false;  // fenced: only to be taken down
    uint64_t cm_token = 0;
    ProtectionDomain pd;
    MemoryRegion region;
    CompletionQueue cq;
    std::vector<QueuePair> pairs;  // by number
    std::vector<CmId> links;       // of the same number, where the connection manager connected it
  };

  // The thread. Only it adds and removes connections; what others may look at meanwhile it touches
  // under the mutex, but registers memory without it.
  void run() noexcept;
  void wait() noexcept;
  void accept_waiting() noexcept;
  void lose_device() noexcept;
  void try_reopen() noexcept;
  /// False when the connection is over.
  bool serve(Connection& connection) noexcept;
  bool welcome(Connection& connection) noexcept;
  bool connect(Connection& connection) noexcept;
  Status take_slot(int wanted, Connection& connection) noexcept;
  Status open(Connection& connection) noexcept;
  void serve_cm() noexcept;
  Status accept_cm(CmListener::Request& request) noexcept;
  Result<ibv_qp*> fresh_pair(Connection& connection, uint32_t number) noexcept;
  Status answer_pair(Connection& connection, const ConnectMessage& ask,
                     ConnectMessage* answer) noexcept;
  static void cut_off(Connection& connection) noexcept;

  const DataPlane& plane_;
  Port port_;  // without a context while the device is gone
  PoolExport pool_;
  uint64_t remote_address_;
  FileDescriptor listener_;
  FileDescriptor wake_;  // eventfd: the thread shall look
  std::optional<CmListener> cm_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::atomic<uint32_t> events_{0};
  std::atomic<bool> stop_{false};
  std::string complaint_;  // said last
  uint32_t connects_ = 0;
  std::thread thread_;
};

}  // namespace dinomo::fabric::rdma
