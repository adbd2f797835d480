// SPDX-License-Identifier: BSD-3-Clause
// Log entry. An entry in a log *is* the stored value: merging only makes the index point at it.
// Byte table: doc/formats.md.
//
// An entry is valid where it stands if its checksum, its LSN and its segment's generation all fit;
// so a torn or stale entry is never accepted and a log needs no commit word.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "common/align.h"
#include "common/bytes.h"
#include "common/hash.h"
#include "pool/format.h"

namespace dinomo::log {

inline constexpr uint64_t kUnitBytes = 64;  // entries start and end at multiples of it

enum class Op : uint8_t {
  kPut = 1,      // key and value: the item is this entry
  kDelete = 2,   // tombstone: the item is gone
  kOutcome = 3,  // no change: records the outcome of a mutation that failed
  kEnd = 4,      // rest of the segment is unused; the log goes on in the next one
};

struct EntryHeader {
  uint64_t checksum;    // checksum64 of bytes 8.. of header, key and value
  uint64_t lsn;         // dense per log, from 1; below 2^48
  uint32_t generation;  // of the segment
  uint16_t log_id;      // of the log that made it; compaction keeps it
  uint8_t op;           // Op
  uint8_t flags;        // 0
  uint8_t key_bytes;    // 1..250; 0 for kOutcome and kEnd
  uint8_t outcome;      // wire::Status that the first execution answered
  uint16_t value_bytes;
  uint32_t item_flags;  // the client's, opaque
  uint64_t session;     // client session, 0 none
  uint64_t sequence;    // the session's request sequence; wire::Opcode in bits 56..63
  uint64_t expiry_ms;   // Unix time from which the item reads as absent, 0 never
};
static_assert(sizeof(EntryHeader) == 56 && std::is_trivially_copyable_v<EntryHeader>);
static_assert(offsetof(EntryHeader, generation) == 16 && offsetof(EntryHeader, session) == 32);

inline constexpr uint64_t kLsnBits = 48;
inline constexpr uint64_t kEntryBytesMax =
    align_up<uint64_t>(sizeof(EntryHeader) + pool::kKeyBytesMax + pool::kValueBytesMax, kUnitBytes);
static_assert(kEntryBytesMax / kUnitBytes <= 1023);

/// Item version of the value that an entry stores: unique for ever, since the LSNs of a log are.
inline constexpr uint64_t item_version(uint16_t log_id, uint64_t lsn) noexcept {
  return uint64_t{log_id} << kLsnBits | lsn;
}

inline constexpr uint64_t entry_bytes(uint64_t key_bytes, uint64_t value_bytes) noexcept {
  return align_up<uint64_t>(sizeof(EntryHeader) + key_bytes + value_bytes, kUnitBytes);
}
inline uint64_t entry_bytes(const EntryHeader& h) noexcept {
  return entry_bytes(h.key_bytes, h.value_bytes);
}

inline uint64_t entry_checksum(const std::byte* entry, const EntryHeader& h) noexcept {
  return checksum64({entry + 8, sizeof(EntryHeader) - 8 + h.key_bytes + h.value_bytes});
}

/// A checked view of an entry; points into the caller's bytes.
struct Entry {
  EntryHeader header;
  Bytes key;
  Bytes value;

  uint64_t version() const noexcept { return item_version(header.log_id, header.lsn); }
  bool expired(uint64_t unix_ms) const noexcept {
    return header.expiry_ms != 0 && header.expiry_ms <= unix_ms;
  }
};

enum class EntryCheck : uint8_t { kValid, kTruncated, kMalformed, kWrongGeneration, kBadChecksum };

/// Checks lengths before it touches key or value, then generation, then checksum. Any input is
/// safe.
EntryCheck parse_entry(Bytes bytes, uint32_t generation, Entry* out) noexcept;

/// As above, for a remote read by global address, which knows only the generation's low 8 bits.
EntryCheck parse_entry_low8(Bytes bytes, uint8_t generation_low8, Entry* out) noexcept;

struct EntryFields {
  uint64_t lsn = 0;
  uint32_t generation = 0;
  uint16_t log_id = 0;
  Op op = Op::kPut;
  uint8_t outcome = 0;
  uint32_t item_flags = 0;
  uint64_t session = 0;
  uint64_t sequence = 0;
  uint64_t expiry_ms = 0;
};

/// Writes header, key, value, zero padding and checksum to `to`, which has room for entry_bytes().
/// Returns the bytes written.
uint64_t build_entry(std::byte* to, const EntryFields& fields, Bytes key, Bytes value) noexcept;

/// Makes a copied entry valid in a segment of another generation. `entry` was valid where it came
/// from.
void move_entry(std::byte* entry, uint32_t generation) noexcept;

}  // namespace dinomo::log
