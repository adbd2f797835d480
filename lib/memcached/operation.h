// SPDX-License-Identifier: BSD-3-Clause
// What a memcached command means to Dinomo: the operation on its key, and the text that tells the
// outcome. Pure functions.
//
//   memcached                            Dinomo
//   get gets mg                          GET
//   gat gats, mg T                       GET_AND_TOUCH
//   set, ms                              PUT
//   add replace append prepend, ms M     ADD REPLACE APPEND PREPEND
//   cas, ms C                            CAS; cas unique is the item version
//   incr decr ma                         INCR DECR
//   delete md, touch                     DELETE, TOUCH
//
// C binds any of the meta commands to a version.
#pragma once

#include <array>

#include "kn/operation.h"
#include "memcached/command.h"
#include "wire/format.h"

namespace dinomo::memcached {

/// REQUIRES: has_key(command.verb). `key` in binary; `unix_ms` is now.
kn::Operation to_operation(const Command& command, Bytes key, uint64_t unix_ms) noexcept;

/// What became of it.
struct Outcome {
  wire::Status status = wire::Status::kOk;
  wire::ItemExtras item{};  // of reads; of mutations only the version
  Bytes value{};            // of reads; of counters the number as text; of WRONG_OWNER the owner's
                            // wire::KnRecord if it is known
};

/// The text of one outcome: head, value if with_value, and tail. Either part may be empty; all are
/// if nothing is to be said.
inline constexpr size_t kReplyHeadBytesMax = 1024;
struct Reply {
  size_t head_bytes = 0;
  bool with_value = false;
  std::string_view tail;
};

/// `key` is as the client wrote it. REQUIRES: has_key(command.verb). `room` takes the head.
Reply format_reply(const Command& command, std::string_view key, const Outcome& outcome,
                   uint64_t unix_ms, std::array<char, kReplyHeadBytesMax>* room) noexcept;

/// The line (with its end) for an operation that failed, or empty: it has an answer of its own. A
/// failed read among several keys makes this line the whole reply: a miss it is not.
std::string_view failure_line(wire::Status status) noexcept;

inline constexpr std::string_view kEnd = "END\r\n";
inline constexpr std::string_view kMetaNoopReply = "MN\r\n";
inline constexpr std::string_view kFlushRefusal =
    "SERVER_ERROR flush_all is not served: this store is durable, delete keys instead\r\n";

}  // namespace dinomo::memcached
