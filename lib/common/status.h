// SPDX-License-Identifier: BSD-3-Clause
// Outcome of an internal operation. Codes are grouped by what has to be replaced before a retry can
// succeed: nothing, the operation, the connection, the registration, the node.
// (What a client sees on the wire is wire::Status, a separate and stable set.)
#pragma once

#include <cstdint>
#include <expected>

namespace dinomo {

enum class Status : uint8_t {
  kOk = 0,
  kInProgress = 1,  // posted; the completion will be called from poll()

  // The same call may succeed later.
  kNoResource = 16,  // a queue or pool is full; nothing was done, retry after polling
  kBusy = 17,        // the peer asks to wait
  kTimeout = 18,

  // This operation is wrong or has no result; repeating it changes nothing.
  kNotFound = 32,
  kExists = 33,
  kInvalid = 34,     // malformed argument, frame or record
  kOutOfRange = 35,  // address or length outside of the region
  kStale = 36,       // what was read belongs to an older generation
  kCorrupt = 37,     // checksum or structure broken
  kNoSpace = 38,     // the pool is full
  kUnsupported = 39,
  kVersion = 40,  // a format or protocol version that this build does not know

  // The connection must be rebuilt.
  kUnreachable = 64,
  // The registration was revoked: this node is fenced and must register again.
  kFenced = 80,
  // The node is gone or broken.
  kNodeDown = 96,
  kInternal = 97,
};

/// Lower-case word for logs and metrics; never null.
const char* status_name(Status s) noexcept;

template <class T>
using Result = std::expected<T, Status>;

inline constexpr bool ok(Status s) noexcept { return s == Status::kOk; }

}  // namespace dinomo
