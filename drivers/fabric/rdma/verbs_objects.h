// SPDX-License-Identifier: BSD-3-Clause
// Owners of libibverbs objects, and the states of an RC queue pair. Control path only.
#pragma once

#include <infiniband/verbs.h>

#include <array>
#include <memory>
#include <string>

#include "common/status.h"
#include "drivers/fabric/rdma/exchange.h"

namespace dinomo::fabric::rdma {

// 4.096 us x 2^12 = 17 ms a try, so that a partition is noticed in a tenth of a second, not four.
inline constexpr uint8_t kTimeoutExponent = 12;
inline constexpr uint8_t kRetries = 5;
inline constexpr uint8_t kRnrRetries = 7;  // for ever; there are no receive queues to be empty
inline constexpr uint8_t kMinRnrTimer = 12;

template <auto Function>
struct VerbsDelete {
  template <class T>
  void operator()(T* object) const noexcept {
    Function(object);
  }
};
using Context = std::unique_ptr<ibv_context, VerbsDelete<&ibv_close_device>>;
using ProtectionDomain = std::unique_ptr<ibv_pd, VerbsDelete<&ibv_dealloc_pd>>;
using MemoryRegion = std::unique_ptr<ibv_mr, VerbsDelete<&ibv_dereg_mr>>;
using CompletionQueue = std::unique_ptr<ibv_cq, VerbsDelete<&ibv_destroy_cq>>;
using QueuePair = std::unique_ptr<ibv_qp, VerbsDelete<&ibv_destroy_qp>>;

/// One port of one device.
struct Port {
  Context context;
  std::string device;
  uint8_t number = 1;
  bool ethernet = false;  // RoCE: addresses are GIDs; else LIDs
  uint16_t lid = 0;
  ibv_mtu mtu = IBV_MTU_1024;
  uint8_t gid_index = 0;
  std::array<uint8_t, 16> gid{};
  uint8_t rd_atomic = 16;  // reads and atomics of a pair in flight
  bool failed = false;     // the kernel announced that the device goes

  /// True once the device has been taken out: nothing of it reaches memory any more. Never blocks.
  bool gone() noexcept;
};

/// Opens `device` ("mlx5_0", with a port other than 1 "mlx5_0:2"), or, if empty, the first one that
/// `fits`. For RoCE the first GID of type RoCE v2 is taken, one that routes before a link-local
/// one.
Result<Port> open_port(const std::string& device, bool (*fits)(ibv_device*), std::string* why);

/// The other end of a queue pair.
struct Peer {
  uint32_t qpn = 0;
  uint32_t psn = 0;
  uint16_t lid = 0;
  ibv_mtu mtu = IBV_MTU_1024;
  uint8_t rd_atomic = 16;
  std::array<uint8_t, 16> gid{};
};

/// What a node says of its end of a pair.
Peer own_end(const Port& port, uint32_t qpn, uint32_t psn) noexcept;

ConnectMessage to_message(MessageKind kind, uint32_t number, const Peer& end) noexcept;
Peer to_peer(const ConnectMessage& message) noexcept;

/// From reset to ready to send. `access`: what the peer may do to our memory.
Status connect_pair(ibv_qp* qp, const Port& port, const Peer& peer, uint32_t psn,
                    uint32_t access) noexcept;

/// Nothing is under way and no CQE comes any more.
Status reset_pair(ibv_qp* qp) noexcept;

/// Everything posted completes with an error; nothing of the peer's is carried out any more.
Status stop_pair(ibv_qp* qp) noexcept;

}  // namespace dinomo::fabric::rdma
