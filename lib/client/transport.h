// SPDX-License-Identifier: BSD-3-Clause
// How a Client's datagrams travel: kernel UDP sockets (udp_transport.h) or a queue of the Ingress
// seam, for example a DPDK port (ingress_transport.h).
//
// A link is a destination, one UDP address of one KN worker. All links of a transport send from the
// same local address and port, because a KN binds a session's cookie to the address it came from.
//
// Thread rule: a transport belongs to one Client and its thread. Only wait() blocks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "client/address.h"
#include "common/bytes.h"
#include "common/status.h"

namespace dinomo::client {

using LinkId = uint32_t;

struct TransportCounters {
  uint64_t datagrams_out = 0;
  uint64_t bytes_out = 0;
  uint64_t datagrams_in = 0;
  uint64_t bytes_in = 0;
  uint64_t send_errors = 0;  // datagrams that the kernel or the port refused; they count as lost
  uint64_t refused = 0;      // ICMP port unreachable: nobody listens there
  uint64_t foreign = 0;      // datagrams from an address that is no link's
};

class Transport {
 public:
  virtual ~Transport() = default;

  /// A link to `to`; the same one if it is open already. Rare (start-up, ring changes), may
  /// allocate. kUnreachable if there is no route, kNoResource if links have run out.
  virtual Result<LinkId> open(const Address& to) = 0;
  virtual void close(LinkId link) noexcept = 0;

  /// Room for a datagram to `link` of up to `bytes`, 8-byte aligned; empty if there is none now
  /// (flush and try later) or ever (bytes > datagram_bytes_max()). At most one is out at a time;
  /// the next allocate() takes an unsent one back.
  virtual MutableBytes allocate(LinkId link, size_t bytes) noexcept = 0;
  /// Queues the first `bytes` of what allocate() gave.
  virtual void send(size_t bytes) noexcept = 0;
  /// Hands everything queued to the network.
  virtual void flush() noexcept = 0;

  /// Fills `out` from the front with payloads that stay valid until the next receive() or close().
  virtual uint32_t receive(std::span<Bytes> out) noexcept = 0;

  /// Blocks until something can be received or `timeout_ns` have passed. May return early.
  virtual void wait(uint64_t timeout_ns) noexcept = 0;

  /// Largest datagram payload that can be sent at all.
  virtual size_t datagram_bytes_max() const noexcept = 0;
  /// Whether a link was refused (nobody listens) since it last received something.
  virtual bool refused(LinkId link) const noexcept = 0;

  const TransportCounters& counters() const noexcept { return counters_; }

 protected:
  TransportCounters counters_;
};

}  // namespace dinomo::client
