// SPDX-License-Identifier: BSD-3-Clause
// The Ingress seam, user side: datagrams in and out, for one worker lcore.
//
// One turn of a worker:
//   n = queue.receive(datagrams)            payloads stay valid until release()
//   for each: parse, serve; reply now or later through
//       buffer = queue.allocate(peer)       a transmit buffer addressed to a peer
//       write up to buffer.payload.size() bytes; queue.send(buffer, bytes)  or  queue.drop(buffer)
//       or, for what may be larger than a frame: queue.send_pieces(peer, pieces)
//   queue.release(datagrams); queue.flush() hands everything sent to the device
//
// A Peer is a value: it can be kept and answered at any later time.
// Thread rule: a Queue belongs to one lcore. Nothing here blocks or throws.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "common/bytes.h"
#include "common/status.h"

namespace dinomo::ingress {

/// Largest UDP payload. What does not fit a frame travels as IP fragments; received ones are put
/// together before anybody sees them, so that a payload is always one stretch of memory.
inline constexpr size_t kDatagramBytesMax = 65'507;

/// Who sent a datagram and how to answer: everything a reply's headers need.
struct Peer {
  std::array<uint8_t, 16> remote_address{};  // IPv6, or IPv4 mapped
  std::array<uint8_t, 16> local_address{};
  std::array<uint8_t, 6> remote_mac{};
  uint16_t remote_port = 0;  // host order
  uint16_t local_port = 0;
  uint16_t port_id = 0;  // the driver's

  bool operator==(const Peer&) const noexcept = default;
};

struct Datagram {
  Peer peer;
  Bytes payload;           // UDP payload, 8-byte aligned start not guaranteed
  void* handle = nullptr;  // the driver's
};

struct TransmitBuffer {
  MutableBytes payload;  // room for the UDP payload; empty if none could be had
  Peer peer;
  void* handle = nullptr;

  explicit operator bool() const noexcept { return handle != nullptr; }
};

struct QueueCounters {
  uint64_t datagrams_in = 0;
  uint64_t bytes_in = 0;
  uint64_t datagrams_out = 0;
  uint64_t bytes_out = 0;
  uint64_t handed_over_in = 0;     // came through another lcore's receive queue
  uint64_t handed_over_out = 0;    // passed to another lcore
  uint64_t dropped_malformed = 0;  // Ethernet, IP or UDP headers wrong
  uint64_t dropped_not_ours = 0;   // other address, port or protocol
  uint64_t dropped_checksum = 0;
  uint64_t dropped_fragment = 0;  // impossible, overlapping, or of a datagram that was given up
  uint64_t fragments_in = 0;
  uint64_t fragments_out = 0;
  uint64_t reassembled = 0;           // datagrams put together by this lcore, for whichever worker
  uint64_t reassembly_timeouts = 0;   // datagrams of which something never came
  uint64_t reassembly_evictions = 0;  // datagrams given up because too many waited
  uint64_t dropped_full = 0;          // a hand-over ring or the transmit queue was full
  uint64_t no_buffer = 0;
  uint64_t answered_arp = 0;
  uint64_t answered_ping = 0;
  uint64_t answered_neighbour = 0;
};

class Queue {
 public:
  virtual ~Queue() = default;

  /// Fills `out` from the front; returns how many.
  virtual uint32_t receive(std::span<Datagram> out) noexcept = 0;
  /// Gives the received datagrams back; their payloads are invalid afterwards.
  virtual void release(std::span<Datagram> datagrams) noexcept = 0;

  /// A buffer for a datagram to `peer`; empty when buffers have run out (counted).
  virtual TransmitBuffer allocate(const Peer& peer) noexcept = 0;
  /// Queues the first `bytes` of the payload for sending and takes the buffer back.
  virtual void send(const TransmitBuffer& buffer, size_t bytes) noexcept = 0;
  virtual void drop(const TransmitBuffer& buffer) noexcept = 0;
  /// Sends the pieces, one behind the other, as one datagram of up to kDatagramBytesMax bytes: in
  /// one frame if it fits, else as IP fragments. Copies each byte once, into its frame; the pieces
  /// are the caller's again on return. False if there was no room or no buffers (counted; nothing
  /// was sent).
  virtual bool send_pieces(const Peer& peer, std::span<const Bytes> pieces) noexcept = 0;
  /// Sends what is queued. Once per turn.
  virtual void flush() noexcept = 0;

  const QueueCounters& counters() const noexcept { return counters_; }

 protected:
  QueueCounters counters_;
};

}  // namespace dinomo::ingress
