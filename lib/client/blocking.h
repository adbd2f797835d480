// SPDX-License-Identifier: BSD-3-Clause
// One operation at a time over a Client: submit, wait, return. For tools and simple programs.
//
// Every call ends within the client's deadline (Options::deadline_ms). Other operations in flight
// on the same Client go on meanwhile, their callbacks are called. Thread rule: the client's thread.
#pragma once

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
};

struct PutOptions {
  uint64_t ttl_ms = 0;  // 0: never expires
  uint32_t item_flags = 0;
};

class Blocking {
 public:
  explicit Blocking(Client* client) noexcept : client_(client) {}

  /// Fetches session and ring. kOk, or kTimeout after the deadline of one operation.
  Status connect();
  Reply get(Bytes key);
  Reply put(Bytes key, Bytes value, const PutOptions& options = {});
  Reply remove(Bytes key);
  Reply ping(uint16_t kn_slot = kAnyKn);
  /// The KN's counters as JSON text.
  Reply stats(uint16_t kn_slot = kAnyKn);
  /// Any operation; callback and context of `operation` are not used.
  Reply call(Operation operation);

 private:
  Client* client_;
};

}  // namespace dinomo::client
