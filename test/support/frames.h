// SPDX-License-Identifier: BSD-3-Clause
// Builds and reads frames for tests, field by field and with a checksum of its own, so that a
// mistake in lib/ingress cannot hide behind itself.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/bytes.h"
#include "ingress/responder.h"

namespace dinomo::test {

using Frame = std::vector<std::byte>;

/// One end of a conversation.
struct Station {
  ingress::MacAddress mac{};
  ingress::IpAddress ip{};
  uint16_t port = 0;
};

/// A datagram taken out of a frame whose every checksum was verified.
struct ReadDatagram {
  Station from;
  Station to;
  Frame payload;
};

ingress::IpAddress ip(const std::string& text);

/// One's complement sum of big-endian 16-bit words, the slow way.
uint16_t internet_checksum(Bytes data, uint32_t sum = 0);
/// Of a transport segment, with the pseudo header of either family.
uint16_t segment_checksum(const ingress::IpAddress& from, const ingress::IpAddress& to,
                          uint8_t protocol, Bytes segment);

Frame ip_frame(const Station& from, const Station& to, uint8_t protocol, Bytes segment,
               uint8_t hops = 64);
Frame udp_frame(const Station& from, const Station& to, Bytes payload);
/// The same datagram in IP fragments of `data_bytes` (a multiple of 8) each.
std::vector<Frame> udp_fragments(const Station& from, const Station& to, Bytes payload, uint32_t id,
                                 size_t data_bytes = 1400);
/// One fragment with `data` at `offset` of the datagram's segment.
Frame fragment_frame(const Station& from, const Station& to, Bytes data, uint32_t id, size_t offset,
                     bool more);
/// The datagram that frames are the fragments of, in order; nullopt if anything about them is
/// wrong.
std::optional<ReadDatagram> read_fragments(const std::vector<Frame>& frames);
Frame arp_request(const Station& from, const ingress::IpAddress& target);
Frame echo_request(const Station& from, const Station& to, Bytes data);
/// To the solicited-node group, with the source's MAC unless the source is unspecified.
Frame solicitation(const Station& from, const ingress::IpAddress& target, uint8_t hops = 255);

/// Nullopt if it is not a UDP datagram with every length and checksum right.
std::optional<ReadDatagram> read_udp(Bytes frame);

uint16_t be16(Bytes frame, size_t at);
void put16(Frame* frame, size_t at, uint16_t value);

Frame bytes(size_t count, uint8_t seed);

}  // namespace dinomo::test
