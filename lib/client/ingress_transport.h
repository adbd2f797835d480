// SPDX-License-Identifier: BSD-3-Clause
// Transport over a queue of the Ingress seam, for clients that own a port (dinomo-bench over DPDK).
//
// The seam addresses stations by MAC and does not ask for them: the first datagram to a link goes
// to the given next hop, and replies teach the link its own. Datagrams larger than a frame travel
// as IP fragments.
//
// Thread rule: as the queue's, one thread.
#pragma once

#include <array>
#include <vector>

#include "client/transport.h"
#include "ingress/ingress.h"

namespace dinomo::client {

class IngressTransport final : public Transport {
 public:
  struct Local {
    Address address;  // ours: IP and UDP port, the ones at which the queue receives
    std::array<uint8_t, 6> next_hop_mac{};
    uint16_t port_id = 0;  // ingress::Peer::port_id
  };

  IngressTransport(ingress::Queue* queue, const Local& local) noexcept;
  ~IngressTransport() override;

  /// kUnreachable if `to` is of another address family than ours.
  Result<LinkId> open(const Address& to) override;
  void close(LinkId link) noexcept override;
  MutableBytes allocate(LinkId link, size_t bytes) noexcept override;
  void send(size_t bytes) noexcept override;
  void flush() noexcept override { queue_->flush(); }
  uint32_t receive(std::span<Bytes> out) noexcept override;
  /// Naps for at most 50 us: a port that is polled wakes nobody.
  void wait(uint64_t timeout_ns) noexcept override;
  size_t datagram_bytes_max() const noexcept override { return ingress::kDatagramBytesMax; }
  bool refused(LinkId) const noexcept override { return false; }

 private:
  static constexpr size_t kBurst = 64;

  struct Link {
    bool open = false;
    ingress::Peer peer;
  };

  Link* find(const ingress::Peer& peer) noexcept;
  void release() noexcept;

  ingress::Queue* const queue_;
  const Local local_;
  std::vector<Link> links_;
  size_t last_ = 0;  // the link found last, usually the next one too
  ingress::TransmitBuffer buffer_;
  std::vector<std::byte> large_;  // what does not fit a frame is written here first
  size_t large_bytes_ = 0;        // of it, given out by allocate(); 0: buffer_ was
  LinkId link_ = 0;               // of what allocate() gave out
  std::array<ingress::Datagram, kBurst> datagrams_;
  uint32_t held_ = 0;  // of them, given out by receive()
};

}  // namespace dinomo::client
