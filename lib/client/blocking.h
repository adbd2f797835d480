// SPDX-License-Identifier: BSD-3-Clause
// One operation at a time over a Client, or one batch: submit, wait, return. For tools and simple
// programs. What each operation does: doc/protocol.md.
//
// Every call ends within the client's deadline (Options::deadline_ms). Other operations in flight
// on the same Client go on meanwhile, their callbacks are called. Thread rule: the client's thread.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "client/client.h"

namespace dinomo::client {

/// A Completion that owns its value.
struct Reply {
  Status status = Status::kOk;
  wire::Status wire_status = wire::Status::kOk;
  bool answered = false;
  std::vector<std::byte> value;
  wire::ItemExtras item{};
  uint64_t version = 0;
  uint64_t latency_ns = 0;  // from the first transmission
  uint32_t transmissions = 0;

  std::string_view text() const noexcept { return as_text(value); }
  /// The value as a decimal number: what INCR and DECR answer.
  std::optional<uint64_t> number() const noexcept;
};

struct PutOptions {
  uint64_t ttl_ms = 0;  // 0: never expires
  uint32_t item_flags = 0;
};

struct CounterOptions {
  std::optional<uint64_t> initial = {};  // make the item with this number if there is none
  uint64_t ttl_ms = 0;                   // of an item that is made
};

class Blocking {
 public:
  explicit Blocking(Client* client) noexcept : client_(client) {}

  /// Fetches session and ring. kOk, or kTimeout after the deadline of one operation.
  Status connect();
  Reply get(Bytes key);
  Reply put(Bytes key, Bytes value, const PutOptions& options = {});
  Reply remove(Bytes key);
  /// kExists if there is an item.
  Reply add(Bytes key, Bytes value, const PutOptions& options = {});
  /// kNotFound if there is none; so do all that follow.
  Reply replace(Bytes key, Bytes value, const PutOptions& options = {});
  /// kExists if the item has another version than this (Reply::version of a get or a write).
  Reply compare_and_swap(Bytes key, uint64_t version, Bytes value, const PutOptions& options = {});
  Reply append(Bytes key, Bytes value);
  Reply prepend(Bytes key, Bytes value);
  /// Reply::number() is the new one. kInvalid (wire status kNotNumber) if the value is none.
  /// increment() goes on from 0 after 2^64-1, decrement() ends at 0.
  Reply increment(Bytes key, uint64_t delta = 1, const CounterOptions& options = {});
  Reply decrement(Bytes key, uint64_t delta = 1, const CounterOptions& options = {});
  /// Expires so long from now, 0 never. The item gets a new version.
  Reply touch(Bytes key, uint64_t ttl_ms);
  Reply get_and_touch(Bytes key, uint64_t ttl_ms);
  /// In the order of `keys`; as many as fit share a datagram.
  std::vector<Reply> get_many(std::span<const Bytes> keys);
  Reply ping(uint16_t kn_slot = kAnyKn);
  /// The KN's counters as JSON text.
  Reply stats(uint16_t kn_slot = kAnyKn);
  /// Any operation; callback and context of `operation` are not used.
  Reply call(Operation operation);
  /// Any operations at once, packed, without an order between them; replies in the order given.
  std::vector<Reply> call_many(std::span<const Operation> operations);

 private:
  Reply store(wire::Opcode opcode, Bytes key, Bytes value, const PutOptions& options);
  Reply count(wire::Opcode opcode, Bytes key, uint64_t delta, const CounterOptions& options);
  Reply touch(wire::Opcode opcode, Bytes key, uint64_t ttl_ms);

  Client* client_;
};

}  // namespace dinomo::client
