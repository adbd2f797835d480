// SPDX-License-Identifier: BSD-3-Clause
// Packs the replies of one turn: all that go to one client leave in as few datagrams as they fit,
// whether they answer one request datagram or several, at once or late.
// Thread rule: the owning worker.
#pragma once

#include <array>

#include "ingress/ingress.h"
#include "kn/front_end.h"
#include "wire/codec.h"

namespace dinomo::kn {

/// Whom a reply goes to: a native client, or a front end.
struct ReplyTo {
  ingress::Peer peer;
  FrontEnd* front_end = nullptr;  // then `sequence` is its tag, and there is no peer
  uint64_t session = 0;
  uint64_t sequence = 0;
  uint64_t received_ns = 0;  // the turn that received the request
  uint32_t stamp = 0;
  uint8_t opcode = 0;
  uint8_t flags = 0;  // of the request
};

class Replies {
 public:
  explicit Replies(ingress::Queue* queue) noexcept : queue_(queue) {}

  void set_ring_version(uint32_t version) noexcept { ring_version_ = version; }

  void add(const ReplyTo& to, wire::Status status, Bytes extras = {}, Bytes value = {}) noexcept {
    if (to.front_end != nullptr) return to.front_end->on_reply(to.sequence, status, extras, value);
    add(to.peer, to.session, to.stamp, header_of(to, status), extras, value);
  }
  /// A reply larger than a frame leaves at once, as a datagram of its own. Without a transmit
  /// buffer a reply is dropped (and counted by the ingress): the client asks again.
  void add(const ingress::Peer& peer, uint64_t session, uint32_t stamp, wire::MessageHeader header,
           Bytes extras, Bytes value) noexcept;

  /// Sends what is open.
  void flush() noexcept;

 private:
  static constexpr size_t kOpenMax = 32;  // clients with an open datagram

  struct Open {
    uint64_t session = 0;
    ingress::TransmitBuffer buffer;
    wire::Writer writer;
  };

  static wire::MessageHeader header_of(const ReplyTo& to, wire::Status status) noexcept;
  bool open(Open* slot, const ingress::Peer& peer, uint64_t session, uint32_t stamp) noexcept;
  void close(Open* slot) noexcept;
  wire::DatagramHeader datagram_header(uint64_t session, uint32_t stamp) const noexcept;
  void send_alone(const ingress::Peer& peer, uint64_t session, uint32_t stamp,
                  wire::MessageHeader header, Bytes extras, Bytes value) noexcept;

  ingress::Queue* queue_;
  uint32_t ring_version_ = 0;
  std::array<Open, kOpenMax> open_{};
  uint32_t open_mask_ = 0;  // slots in use
};

}  // namespace dinomo::kn
