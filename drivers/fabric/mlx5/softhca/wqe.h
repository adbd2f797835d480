// SPDX-License-Identifier: BSD-3-Clause
// Reading of send WQEs: big-endian fields, and segments in a ring that wraps.
#pragma once

#include <endian.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace dinomo::softhca {

inline uint32_t load_be32(const std::byte* from) noexcept {
  uint32_t word;
  std::memcpy(&word, from, sizeof word);
  return be32toh(word);
}

inline uint64_t load_be64(const std::byte* from) noexcept {
  uint64_t word;
  std::memcpy(&word, from, sizeof word);
  return be64toh(word);
}

/// First eight bytes of a control segment; also what a doorbell carries.
struct ControlWords {
  uint8_t opmod;
  uint16_t index;
  uint8_t opcode;
  uint32_t qpn;
  uint32_t segments;  // of 16 bytes, the control segment included

  static ControlWords read(const std::byte* at) noexcept {
    const uint32_t first = load_be32(at);
    const uint32_t second = load_be32(at + 4);
    return {static_cast<uint8_t>(first >> 24), static_cast<uint16_t>(first >> 8),
            static_cast<uint8_t>(first), second >> 8, second & 0x3f};
  }
  uint32_t blocks() const noexcept { return (segments + 3) / 4; }
};

/// The segments of one WQE after its control segment.
class SegmentReader {
 public:
  SegmentReader(const std::byte* ring, uint64_t ring_bytes, uint64_t offset,
                uint32_t segments) noexcept
      : ring_(ring), ring_bytes_(ring_bytes), offset_(offset % ring_bytes), left_(segments) {}

  uint32_t left() const noexcept { return left_; }
  const std::byte* next() noexcept {
    const std::byte* segment = ring_ + offset_;
    skip(1);
    return segment;
  }
  void skip(uint32_t segments) noexcept {
    offset_ = (offset_ + uint64_t{segments} * 16) % ring_bytes_;
    left_ -= segments;
  }
  const std::byte* ring() const noexcept { return ring_; }
  const std::byte* ring_end() const noexcept { return ring_ + ring_bytes_; }

 private:
  const std::byte* ring_;
  uint64_t ring_bytes_;
  uint64_t offset_;
  uint32_t left_;
};

}  // namespace dinomo::softhca
