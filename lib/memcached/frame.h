// SPDX-License-Identifier: BSD-3-Clause
// The frame of memcached's protocol over UDP: 8 bytes in front of the text of each datagram, all in
// network order. A request is one datagram; a reply may be several, which the client puts in order.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "common/bytes.h"

namespace dinomo::memcached {

/// On the wire.
struct FrameHeader {
  uint16_t request_id;  // the client's, echoed
  uint16_t sequence;    // 0 .. total - 1
  uint16_t total;       // datagrams of the message
  uint16_t reserved;    // 0
};
static_assert(sizeof(FrameHeader) == 8);

/// Text that a datagram of a reply carries: what memcached sends, and what clients make room for.
inline constexpr size_t kFrameTextBytes = 1400 - sizeof(FrameHeader);
/// A reply's sequence numbers have 16 bits.
inline constexpr size_t kReplyBytesLimit = 65'535 * kFrameTextBytes;

inline constexpr uint16_t frame_order(uint16_t v) noexcept {
  return std::endian::native == std::endian::little ? std::byteswap(v) : v;
}

struct Request {
  uint16_t id = 0;
  Bytes text;
};

/// A request in one datagram. Nothing for everything else: too short, part of several (total is not
/// 1 or sequence not 0), or empty.
inline std::optional<Request> parse_frame(Bytes datagram) noexcept {
  if (datagram.size() <= sizeof(FrameHeader)) return std::nullopt;
  const auto h = load<FrameHeader>(datagram.data());
  if (h.sequence != 0 || frame_order(h.total) != 1) return std::nullopt;
  return Request{frame_order(h.request_id), datagram.subspan(sizeof h)};
}

/// Datagrams of a reply of `text_bytes`, which is 1 at least.
inline constexpr size_t frames_of(size_t text_bytes) noexcept {
  return (text_bytes + kFrameTextBytes - 1) / kFrameTextBytes;
}

inline constexpr FrameHeader make_frame(uint16_t request_id, size_t sequence,
                                        size_t total) noexcept {
  return {frame_order(request_id), frame_order(static_cast<uint16_t>(sequence)),
          frame_order(static_cast<uint16_t>(total)), 0};
}

}  // namespace dinomo::memcached
