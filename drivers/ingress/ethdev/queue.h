// SPDX-License-Identifier: BSD-3-Clause
// One worker's way to an ethdev port. Owner lcore only, but for the two rings and the bell.
//
//   rx queue --sort--> ours: to the caller, zero copy        ARP, ping, ND: answered in place
//                  \-> another worker's: into its inbox      anything else: dropped and counted
//   inbox    --------> to the caller                         (only with several workers)
//   send()   --------> pending --flush--> tx queue, or the tx inbox of the worker that has one
//
// Cost of the plain path, per datagram: the poll mode driver's, one header parse, one header build,
// and the buffer pool's caches. With one worker there is no ring, no fence and no atomic.
#pragma once

#include <rte_mbuf.h>
#include <rte_ring.h>

#include <array>
#include <memory>
#include <vector>

#include "drivers/ingress/ethdev/large.h"
#include "drivers/ingress/ethdev/wait.h"
#include "ingress/driver.h"
#include "ingress/fragment.h"
#include "ingress/responder.h"

namespace dinomo::ingress::ethdev {

inline constexpr uint16_t kBurst = 32;
inline constexpr uint16_t kPendingMax = 256;  // frames that wait for the transmit queue

class EthQueue;

/// What the queues of a port have in common. Read only while the port runs.
struct PortShared {
  uint16_t port_id = 0;
  uint16_t mtu = 0;
  bool trust_rx_checksum = false;
  bool rx_flags_valid = false;  // the port fills in the mbuf's checksum flags
  bool tx_offload = false;
  ChecksumWork tx_work = ChecksumWork::kFull;
  rte_mempool* pool = nullptr;
  LargePool large;
  Endpoint us;
  std::vector<EthQueue*> workers;
};

struct QueueSetup {
  uint16_t worker = 0;
  int rx_queue = -1;             // -1: has none, everything comes through the inbox
  int tx_queue = -1;             // -1: has none, everything leaves through tx_owner
  EthQueue* tx_owner = nullptr;  // set if tx_queue is -1
  rte_ring* inbox = nullptr;     // received for this worker by others; null with one worker
  rte_ring* tx_inbox = nullptr;  // sent by workers without a queue; null if there are none
};

class EthQueue final : public Queue {
 public:
  explicit EthQueue(PortShared& shared) noexcept : shared_(shared) {}
  ~EthQueue() override;
  EthQueue(const EthQueue&) = delete;
  EthQueue& operator=(const EthQueue&) = delete;

  /// Control thread, before the worker starts.
  void setup(const QueueSetup& setup);
  /// Control thread, before the worker starts: what was cut to fit a frame can be read here.
  void set_packet_socket(int socket) noexcept { packet_socket_ = socket; }

  uint32_t receive(std::span<Datagram> out) noexcept override;
  void release(std::span<Datagram> datagrams) noexcept override;
  TransmitBuffer allocate(const Peer& peer) noexcept override;
  void send(const TransmitBuffer& buffer, size_t bytes) noexcept override;
  void drop(const TransmitBuffer& buffer) noexcept override;
  bool send_pieces(const Peer& peer, std::span<const Bytes> pieces) noexcept override;
  void flush() noexcept override;

  bool transmit_pending() const noexcept { return pending_count_ != 0; }
  Bell& bell() noexcept { return bell_; }
  /// Gives back everything that is queued. Control thread, after the worker stopped.
  void discard() noexcept;

 private:
  struct Outbox {  // a burst's datagrams for another worker
    uint16_t count = 0;
    std::array<void*, kBurst> handles;
  };

  /// Of a port that is ours.
  uint16_t worker_of_port(uint16_t port) const noexcept {
    return port == shared_.us.shared_port ? setup_.worker
                                          : static_cast<uint16_t>(port - shared_.us.base_port);
  }
  uint32_t poll_port(std::span<Datagram> out) noexcept;
  uint32_t poll_inbox(std::span<Datagram> out) noexcept;
  /// True if *out was filled and belongs to the caller.
  bool accept(rte_mbuf* frame, Datagram* out) noexcept;
  void dispose(rte_mbuf* frame, Verdict verdict) noexcept;
  bool accept_fragment(rte_mbuf* frame, Datagram* out) noexcept;
  bool accept_cut(rte_mbuf* frame, Datagram* out) noexcept;
  bool route_large(LargeDatagram* whole, Datagram* out) noexcept;
  void deliver_large(LargeDatagram* whole, Datagram* out) noexcept;
  void free_handle(void* handle) noexcept;
  void hand_over(void* handle, uint16_t worker) noexcept;
  void flush_outboxes() noexcept;
  /// False if it had to be dropped.
  bool push(rte_mbuf* frame) noexcept;
  bool send_fragments(const Peer& peer, std::span<const Bytes> pieces, size_t bytes) noexcept;
  void collect_tx_inbox() noexcept;
  uint16_t transmit(rte_mbuf** frames, uint16_t count) noexcept;

  PortShared& shared_;
  QueueSetup setup_;
  std::unique_ptr<Reassembler> reassembler_;  // with a receive queue only
  Fragment fragment_;                         // the one in hand
  uint64_t cycles_per_us_ = 1;
  uint32_t fragment_id_ = 0;
  int packet_socket_ = -1;  // af_packet's
  uint32_t turn_ = 0;
  uint16_t stash_count_ = 0;
  uint16_t pending_count_ = 0;
  uint16_t touched_count_ = 0;
  std::array<rte_mbuf*, kBurst> stash_{};  // allocated ahead, in bulk
  std::array<rte_mbuf*, kPendingMax> pending_{};
  std::vector<Outbox> outboxes_;   // by worker
  std::vector<uint16_t> touched_;  // workers with something in their outbox
  Bell bell_;
};

}  // namespace dinomo::ingress::ethdev
