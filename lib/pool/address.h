// SPDX-License-Identifier: BSD-3-Clause
// Global address: where something lies in disaggregated memory, in one 64-bit word that fits an
// index slot, a shortcut and a CAS. See doc/formats.md.
//
//   bits  0..35  offset in the node's pool, in 64-byte units (4 TiB)
//   bits 36..45  length in 64-byte units (1..1023, 64 KiB - 64): one read suffices
//   bits 46..53  low 8 bits of the segment's generation when the entry was written
//   bits 54..61  DPM node id
//   bit  62      0
//   bit  63      tag: 0 direct (a log entry), 1 an indirection cell (shared ownership of a hot key)
//
// The word 0 means "none": unit 0 of every pool is its header and is never addressed.
#pragma once

#include <cstdint>

namespace dinomo::pool {

inline constexpr uint64_t kUnitBytes = 64;
inline constexpr uint32_t kLengthUnitsMax = 1023;

class GlobalAddress {
 public:
  constexpr GlobalAddress() noexcept = default;
  constexpr explicit GlobalAddress(uint64_t word) noexcept : word_(word) {}

  /// `offset_bytes` is a multiple of 64 below 4 TiB, `length_bytes` a multiple of 64 up to 65472.
  static constexpr GlobalAddress direct(uint8_t node, uint64_t offset_bytes, uint32_t length_bytes,
                                        uint32_t generation) noexcept {
    return GlobalAddress(offset_bytes / kUnitBytes |
                         static_cast<uint64_t>(length_bytes / kUnitBytes) << kLengthShift |
                         static_cast<uint64_t>(generation & 0xff) << kGenerationShift |
                         static_cast<uint64_t>(node) << kNodeShift);
  }
  static constexpr GlobalAddress indirect(uint8_t node, uint64_t offset_bytes,
                                          uint32_t generation = 0) noexcept {
    return GlobalAddress(direct(node, offset_bytes, kUnitBytes, generation).word_ | kIndirectBit);
  }

  constexpr uint64_t word() const noexcept { return word_; }
  constexpr explicit operator bool() const noexcept { return word_ != 0; }
  constexpr uint64_t offset_bytes() const noexcept { return (word_ & kOffsetMask) * kUnitBytes; }
  constexpr uint32_t length_bytes() const noexcept {
    return static_cast<uint32_t>(word_ >> kLengthShift & 0x3ff) * static_cast<uint32_t>(kUnitBytes);
  }
  constexpr uint8_t generation() const noexcept {
    return static_cast<uint8_t>(word_ >> kGenerationShift);
  }
  constexpr uint8_t node() const noexcept { return static_cast<uint8_t>(word_ >> kNodeShift); }
  constexpr bool is_indirect() const noexcept { return (word_ & kIndirectBit) != 0; }

  constexpr bool operator==(const GlobalAddress&) const noexcept = default;

 private:
  static constexpr uint32_t kLengthShift = 36;
  static constexpr uint32_t kGenerationShift = 46;
  static constexpr uint32_t kNodeShift = 54;
  static constexpr uint64_t kOffsetMask = (uint64_t{1} << kLengthShift) - 1;
  static constexpr uint64_t kIndirectBit = uint64_t{1} << 63;

  uint64_t word_ = 0;
};
static_assert(sizeof(GlobalAddress) == 8);

}  // namespace dinomo::pool
