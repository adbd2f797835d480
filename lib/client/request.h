// SPDX-License-Identifier: BSD-3-Clause
// What a caller hands to a Client and gets back, and the client's own record of a request in
// flight.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "client/intrusive_list.h"
#include "client/timer_wheel.h"
#include "common/bytes.h"
#include "common/status.h"
#include "wire/format.h"

namespace dinomo::client {

inline constexpr uint16_t kAnyKn = 0xffff;

/// How a request ended. `value` is valid only during the callback.
struct Completion {
  wire::Opcode opcode = wire::Opcode::kPing;
  /// kOk, or what a server decided (kNotFound, kExists, kInvalid, kOutOfRange for too large,
  /// kUnsupported, kVersion, kNoSpace, kInternal: `answered` is set and wire_status says it
  /// exactly), or what the client had to conclude itself:
  ///   kTimeout, kUnreachable  no answer in time; a mutation may or may not have been applied
  ///   kStale                  the session, or what the server knew of it, was lost while a
  ///                           mutation was out: outcome unknown
  Status status = Status::kOk;
  wire::Status wire_status = wire::Status::kOk;
  bool answered = false;
  bool has_item = false;  // `item` was sent (GET with kWantItem)
  Bytes value;
  wire::ItemExtras item{};
  uint64_t version = 0;       // mutations that changed an item: its new version
  uint64_t tag = 0;           // the caller's
  uint64_t sent_ns = 0;       // first transmission; 0 if there was none
  uint64_t completed_ns = 0;  // when the reply was received or given up for lost
  uint32_t transmissions = 0;
};

using Callback = void (*)(void* context, const Completion& completion);

/// One request. Key, value and extras are copied by submit().
struct Operation {
  wire::Opcode opcode = wire::Opcode::kGet;
  uint8_t flags = 0;  // wire request flags
  Bytes key;          // empty for PING, STATS
  Bytes value;
  Bytes extras;  // the opcode's extras struct, or nothing
  uint16_t kn_slot =
      kAnyKn;  // PING, STATS: which KN; any: the one that the client talks to already
  Callback callback = nullptr;
  void* context = nullptr;
  uint64_t tag = 0;
};

namespace detail {

enum class Kind : uint8_t { kUser, kHello, kRing };

enum class State : uint8_t {
  kFree,
  kQueued,   // in a list: to be routed, waiting for ring, session or window, or for its datagram
  kSent,     // the timer is the retransmission time-out
  kBackoff,  // the server asked to wait; the timer ends the wait
};

struct QueueNode : ListNode {};

struct Request : QueueNode, Timer {
  Kind kind = Kind::kUser;
  State state = State::kFree;
  wire::Opcode opcode = wire::Opcode::kPing;
  uint8_t flags = 0;
  uint8_t key_bytes = 0;
  uint8_t extra_bytes = 0;
  uint16_t kn_slot = kAnyKn;
  bool to_owner = false;  // a GET of a replicated key that only the partition's owner can answer
  uint32_t slot = 0;
  uint32_t value_bytes = 0;
  uint32_t route = 0;  // index of the KN it was last routed to
  uint32_t worker = 0;
  uint32_t transmissions = 0;
  // Transmissions under the sequence that it has. No refusal but SESSION_LOST proves that the
  // mutation did not run: if the network doubled the datagram, one of the two may have been refused
  // and the other carried out.
  uint32_t in_session = 0;
  uint32_t declined = 0;  // of them, answered NO_SESSION
  uint32_t put_off = 0;   // BUSY or MOVING
  uint32_t timeouts = 0;
  uint32_t cookie_generation = 0;  // of the cookie it was last sent with
  uint64_t sequence = 0;           // 0: none yet
  uint64_t route_hash = 0;
  uint64_t deadline_ns = 0;
  uint64_t first_sent_ns = 0;
  uint64_t last_sent_ns = 0;
  Callback callback = nullptr;
  void* context = nullptr;
  uint64_t tag = 0;
  std::array<std::byte, 32> extras{};
  uint32_t body_capacity = 0;
  std::unique_ptr<std::byte[]> body;  // key, then value; grows, never shrinks

  void forget_sequence() noexcept {
    sequence = 0;
    in_session = declined = 0;
  }
  ListNode* queue() noexcept { return static_cast<QueueNode*>(this); }
  Timer* timer() noexcept { return this; }
  Bytes key() const noexcept { return {body.get(), key_bytes}; }
  Bytes value() const noexcept { return {body.get() + key_bytes, value_bytes}; }
  Bytes extra() const noexcept { return Bytes(extras).first(extra_bytes); }
};

/// A member of a queue, or a timer, back to its request.
inline Request* request_of(ListNode* node) noexcept {
  return static_cast<Request*>(static_cast<QueueNode*>(node));
}
inline Request* request_of(Timer* timer) noexcept { return static_cast<Request*>(timer); }

}  // namespace detail
}  // namespace dinomo::client
