// SPDX-License-Identifier: BSD-3-Clause
// Queue pairs connected by the RDMA communication manager (librdmacm). It finds the path by the
// DPM's IP address, so that subnet managers, InfiniBand routers, VLANs and service levels are its
// business, and carries the handshake in the fabric itself. The pairs stay ours: the manager only
// says what their states need (rdma_init_qp_attr).
//
// Who connects is settled before, in the exchange over TCP: Welcome has the token that a request of
// the manager must show. One id of the manager lives as long as the connection of its pair.
#pragma once

#include <rdma/rdma_cma.h>
#include <sys/socket.h>

#include <optional>
#include <string>

#include "drivers/fabric/rdma/verbs_objects.h"

namespace dinomo::fabric::rdma {

using CmChannel = std::unique_ptr<rdma_event_channel, VerbsDelete<&rdma_destroy_event_channel>>;
using CmId = std::unique_ptr<rdma_cm_id, VerbsDelete<&rdma_destroy_id>>;

/// Private data of a connect request.
struct CmHello {
  uint64_t magic;   // kExchangeMagic
  uint64_t token;   // of the registration
  uint32_t number;  // of the pair among the KN's; a used number means: reset that pair
  uint32_t reserved;
};
static_assert(sizeof(CmHello) == 24);

/// KN side. Calls block; one thread at a time.
class CmDialer {
 public:
  /// `socket` is connected to the DPM. kNotFound if the machine has no connection manager, or the
  /// DPM's address is not reached through `port`.
  static Result<CmDialer> make(int socket, const Port& port, uint64_t token, std::string* why);

  /// From reset to ready to send, at most for timeout_ms.
  Result<CmId> connect(ibv_qp* qp, uint32_t number, uint32_t timeout_ms) noexcept;

 private:
  CmDialer() = default;
  Result<CmId> resolve(const Port& port, std::string* why) noexcept;
  Result<CmId> try_connect(ibv_qp* qp, uint32_t number) noexcept;
  Status await(const CmId& id, rdma_cm_event_type wanted) noexcept;

  CmChannel channel_;
  sockaddr_storage to_{};
  sockaddr_storage from_{};  // family 0: as the routing says
  const Port* port_ = nullptr;
  uint64_t token_ = 0;
};

/// DPM side. Never blocks.
class CmListener {
 public:
  struct Request {
    CmId id;
    CmHello hello{};
    uint8_t rd_atomic = 0;  // reads and atomics in flight that the KN will have
  };

  /// At the address and port of the TCP socket `listening`.
  static Result<CmListener> listen(int listening, const Port& port, std::string* why);

  int descriptor() const noexcept { return channel_->fd; }
  /// What came in next, or nothing. Answers what needs no decision.
  std::optional<Request> next() noexcept;
  /// Takes `qp` from reset to ready and tells the KN. `access`: what the KN may do to our memory.
  static Status accept(const Request& request, ibv_qp* qp, uint32_t access) noexcept;
  static void refuse(const Request& request, Status status) noexcept;

 private:
  CmListener() = default;

  CmChannel channel_;
  CmId id_;
  const Port* port_ = nullptr;
};

}  // namespace dinomo::fabric::rdma
