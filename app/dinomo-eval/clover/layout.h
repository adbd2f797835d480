// SPDX-License-Identifier: BSD-3-Clause
// What is where in Clover's memory node, and what goes over the wire to its metadata server (MS).
//
//   [shortcut of key 0][of key 1] ...   8 B each: about where the newest version is
//   [buffer 0][buffer 1] ...            1024 B each: header, key, value
//
// Every key has a chain of versions, each in a buffer of its own; the header of a version leads to
// the next newer one. A buffer that is used again has another entry version, by which whoever has
// an old pointer to it sees that.
#pragma once

#include <array>
#include <cstdint>

#include "common/align.h"

namespace dinomo::eval::clover {

inline constexpr uint64_t kBufferBytes = 1024;  // the slab of values of 1 KB, header included
inline constexpr uint64_t kShortcutBytes = 8;
inline constexpr uint32_t kAllocBatch = 16;    // PER_ASK_NUMS
inline constexpr uint32_t kGcBatch = 16;       // MAX_GC_NUMS
inline constexpr uint64_t kCallBytes = 192;    // request and reply
inline constexpr uint64_t kGcCallBytes = 560;  // request of a GC batch
inline constexpr uint64_t kCellBytes = 640;    // a caller's place at the MS

/// A buffer and the entry version that it has to have; 0 none.
struct Pointer {
  uint64_t word = 0;

  static Pointer of(uint64_t buffer, uint8_t version) noexcept {
    return {buffer | uint64_t{version} << 36};
  }
  uint64_t buffer() const noexcept { return word & ((uint64_t{1} << 36) - 1); }
  uint8_t version() const noexcept { return static_cast<uint8_t>(word >> 36); }
  explicit operator bool() const noexcept { return word != 0; }
  bool operator==(const Pointer&) const noexcept = default;
};
static_assert(sizeof(Pointer) == 8);

/// next buffer 36 bits | next version 8 | entry version 8 | of transactions, always 0 here
struct Header {
  uint64_t word = 0;

  static Header of(Pointer next, uint8_t entry_version) noexcept {
    return {next.word | uint64_t{entry_version} << 44};
  }
  Pointer next() const noexcept { return {word & ((uint64_t{1} << 44) - 1)}; }
  uint8_t entry_version() const noexcept { return static_cast<uint8_t>(word >> 44); }
  bool tail() const noexcept { return next().buffer() == 0; }
};

struct Buffer {
  Header header;
  uint64_t key;
  uint64_t value;
  std::array<std::byte, kBufferBytes - 24> rest;
};
static_assert(sizeof(Buffer) == kBufferBytes);

struct Layout {
  uint64_t keys = 0;
  uint64_t buffers = 0;  // buffer 0 is never used: 0 means none

  uint64_t shortcut(uint64_t key) const noexcept { return key * kShortcutBytes; }
  uint64_t buffer(uint64_t number) const noexcept {
    return align_up(keys * kShortcutBytes, kBufferBytes) + number * kBufferBytes;
  }
  uint64_t bytes() const noexcept { return buffer(buffers); }
};

enum class Call : uint32_t { kQuery, kAlloc, kGc };

struct GcEntry {
  uint64_t key;
  Pointer old_version;
  Pointer new_version;
};

struct Request {
  Call call;
  uint32_t kn;
  uint32_t caller;   // of the KN
  uint32_t entries;  // kGc
  uint64_t key;      // kQuery
  std::array<GcEntry, kGcBatch> gc;
};
static_assert(sizeof(Request) <= kGcCallBytes && kGcCallBytes <= kCellBytes);

struct Reply {
  uint64_t count;
  std::array<Pointer, kAllocBatch> pointers;
};
static_assert(sizeof(Reply) <= kCallBytes);

}  // namespace dinomo::eval::clover
