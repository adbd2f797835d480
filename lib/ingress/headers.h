// SPDX-License-Identifier: BSD-3-Clause
// Ethernet, ARP, IPv4, IPv6, UDP and ICMP headers as they lie in a frame. Fields of more than one
// byte are in network order and unaligned: copy a header out with load<T>(), never point into a
// frame. Own definitions, so that this library needs no DPDK at all.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace dinomo::ingress {

using MacAddress = std::array<uint8_t, 6>;
using IpAddress = std::array<uint8_t, 16>;  // IPv6, or IPv4 mapped (::ffff:a.b.c.d)

/// Between host and network order, either way.
inline constexpr uint16_t net16(uint16_t v) noexcept {
  return std::endian::native == std::endian::little ? std::byteswap(v) : v;
}
inline constexpr uint32_t net32(uint32_t v) noexcept {
  return std::endian::native == std::endian::little ? std::byteswap(v) : v;
}

struct [[gnu::packed]] EthernetHeader {
  MacAddress to;
  MacAddress from;
  uint16_t type;
};
inline constexpr uint16_t kTypeIpv4 = 0x0800;
inline constexpr uint16_t kTypeArp = 0x0806;
inline constexpr uint16_t kTypeIpv6 = 0x86dd;

struct [[gnu::packed]] ArpPacket {
  uint16_t hardware;  // 1: Ethernet
  uint16_t protocol;  // kTypeIpv4
  uint8_t hardware_bytes;
  uint8_t protocol_bytes;
  uint16_t operation;  // 1: request, 2: reply
  MacAddress sender_mac;
  uint32_t sender_ip;
  MacAddress target_mac;
  uint32_t target_ip;
};

struct [[gnu::packed]] Ipv4Header {
  uint8_t version_words;  // 0x45: version 4, five words, so no options
  uint8_t service;
  uint16_t total_bytes;
  uint16_t id;
  uint16_t fragment;  // 0x4000 do not fragment, 0x2000 more fragments, 0x1fff offset
  uint8_t hops;
  uint8_t protocol;
  uint16_t checksum;
  uint32_t source;
  uint32_t destination;
};
inline constexpr uint8_t kProtocolIcmp = 1;
inline constexpr uint8_t kProtocolUdp = 17;
inline constexpr uint8_t kProtocolFragment6 = 44;
inline constexpr uint8_t kProtocolIcmp6 = 58;

struct [[gnu::packed]] Ipv6Header {
  uint32_t version_flow;  // 6 in the top four bits
  uint16_t payload_bytes;
  uint8_t next;
  uint8_t hops;
  IpAddress source;
  IpAddress destination;
};

inline constexpr uint16_t kMoreFragments4 = 0x2000;

struct [[gnu::packed]] FragmentHeader6 {
  uint8_t next;
  uint8_t reserved;
  uint16_t offset_flags;  // offset in bytes, a multiple of 8; bit 0: more fragments
  uint32_t id;
};

struct [[gnu::packed]] UdpHeader {
  uint16_t source;
  uint16_t destination;
  uint16_t bytes;  // header and payload
  uint16_t checksum;
};

/// Echo request and reply of either ICMP.
struct [[gnu::packed]] IcmpHeader {
  uint8_t type;
  uint8_t code;
  uint16_t checksum;
  uint16_t id;
  uint16_t sequence;
};
inline constexpr uint8_t kEchoRequest4 = 8;
inline constexpr uint8_t kEchoReply4 = 0;
inline constexpr uint8_t kEchoRequest6 = 128;
inline constexpr uint8_t kEchoReply6 = 129;

/// Neighbour solicitation and advertisement, without options.
struct [[gnu::packed]] NeighbourMessage {
  uint8_t type;
  uint8_t code;
  uint16_t checksum;
  uint32_t flags;
  IpAddress target;
};
inline constexpr uint8_t kNeighbourSolicitation = 135;
inline constexpr uint8_t kNeighbourAdvertisement = 136;

inline constexpr size_t kIpv4UdpBytes = sizeof(Ipv4Header) + sizeof(UdpHeader);
inline constexpr size_t kIpv6UdpBytes = sizeof(Ipv6Header) + sizeof(UdpHeader);

static_assert(sizeof(EthernetHeader) == 14 && sizeof(ArpPacket) == 28);
static_assert(sizeof(Ipv4Header) == 20 && sizeof(Ipv6Header) == 40 && sizeof(FragmentHeader6) == 8);
static_assert(sizeof(UdpHeader) == 8 && sizeof(IcmpHeader) == 8 && sizeof(NeighbourMessage) == 24);

}  // namespace dinomo::ingress
