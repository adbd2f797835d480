// SPDX-License-Identifier: BSD-3-Clause
// What each operation on a key means: pure functions over the operation and the item that it finds.
// No worker, no clock, no pool; who calls decide() sees to it that the item is the newest and stays
// so until the decision is carried out (conditional.cc).
//
//   operation      item absent    item present
//   PUT            store          store
//   DELETE         NOT_FOUND      remove
//   ADD            store          EXISTS
//   REPLACE        NOT_STORED     store
//   CAS            NOT_FOUND      store, or EXISTS if it has another version
//   APPEND PREPEND NOT_STORED     store the two values in a row, or TOO_LARGE; item flags and
//   expiry
//                                 stay
//   INCR DECR      NOT_FOUND, or store `initial` if told to create
//                                 store the number in decimal, or NOT_NUMBER; flags and expiry
//                                 stay. 64 bits unsigned: INCR wraps, DECR ends at 0
//   TOUCH          NOT_FOUND      store the same value with another expiry
//   GET_AND_TOUCH  NOT_FOUND      the same
//
// An expired item is absent. Whatever is stored is a new entry, so it has a new version, also after
// TOUCH. Operations of other front ends may bind any of them to a version, as CAS does.
#pragma once

#include <cstdint>

#include "cache/dac.h"
#include "common/bytes.h"
#include "wire/codec.h"

namespace dinomo::kn {

/// One operation on a key, whichever protocol it came by. Key and value are the requester's bytes.
struct Operation {
  wire::Opcode opcode = wire::Opcode::kGet;
  uint8_t flags = 0;              // wire request flags
  bool create = false;            // INCR, DECR: make the item if there is none
  uint32_t item_flags = 0;        // of what is stored
  Bytes key = {};                 // 1..250 bytes
  Bytes value = {};               // 0..61440 bytes
  uint64_t expiry_ms = 0;         // of what is stored or touched: Unix time, 0 never
  uint64_t expected_version = 0;  // CAS; of any other: 0 whichever
  uint64_t delta = 0;             // INCR, DECR
  uint64_t initial = 0;           // INCR, DECR with create
};

/// Whether the outcome depends on the item that is there.
inline bool is_conditional(const Operation& op) noexcept {
  return op.opcode != wire::Opcode::kPut || op.expected_version != 0;
}

/// The operation in a request of the native protocol; `unix_ms` is when it was received. kOk, or
/// kBadRequest (no key, extras or value that do not belong there, a mutation without sequence),
/// kTooLarge, kUnsupported.
wire::Status parse_operation(const wire::Message& message, uint64_t unix_ms,
                             Operation* out) noexcept;

/// What every operation has to keep to, whoever made it: kOk, kUnsupported (none on a key), or for
/// its key and value kBadRequest or kTooLarge.
wire::Status check_operation(const Operation& op) noexcept;

struct Item {
  Bytes value = {};
  cache::ItemMeta meta;
};

/// What is to be written, or why nothing is.
struct Decision {
  wire::Status status = wire::Status::kOk;
  bool remove = false;  // kOk: a tombstone, else the value that follows
  Bytes value = {};
  uint32_t item_flags = 0;
  uint64_t expiry_ms = 0;
};

/// `item` is nullptr if the key has none or it has expired. `scratch` has room for a largest value;
/// the decision's value lies in the operation, the item or there.
Decision decide(const Operation& op, const Item* item, MutableBytes scratch) noexcept;

/// In decimal, in `scratch`, which has room for kDecimalBytesMax.
Bytes print_number(uint64_t number, MutableBytes scratch) noexcept;

}  // namespace dinomo::kn
