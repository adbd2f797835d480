// SPDX-License-Identifier: BSD-3-Clause
// What an appliance without a kernel network stack has to know of Ethernet and IP: sort a received
// frame, answer ARP, ping and neighbour solicitation, put headers before a UDP payload.
//
// Pure functions over frames: no allocation, no device, safe on any input. Every byte of a frame is
// looked at only after its bound was checked. VLAN-less Ethernet; IPv4 without options and IPv6
// without extension headers; fragments are told apart, fragment.h puts them together.
//
// No amplification: an answer is never longer than what asked for it, goes to the one station that
// asked (the all-nodes group for duplicate address detection), and nothing that claims a group,
// broadcast, loopback or our own address as its source is answered at all.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "common/bytes.h"
#include "common/status.h"
#include "ingress/headers.h"
#include "ingress/ingress.h"

namespace dinomo::ingress {

struct LocalAddress {
  IpAddress address{};
  uint8_t prefix_bits = 0;  // of 32 for IPv4, of 128 for IPv6

  bool operator==(const LocalAddress&) const noexcept = default;
};

/// "10.0.0.2", "10.0.0.2/24", "fd00::2", "fd00::2/64"; without a prefix it is the whole address.
Result<LocalAddress> parse_address(const std::string& text);
std::string format_address(const IpAddress& address);
/// The same in `room`, for who may not allocate.
inline constexpr size_t kAddressTextBytesMax = 46;  // INET6_ADDRSTRLEN
std::string_view format_address(const IpAddress& address,
                                std::array<char, kAddressTextBytesMax>* room) noexcept;
std::string format_mac(const MacAddress& mac);

bool is_ipv4(const IpAddress& address) noexcept;
/// `ip` in network order, as it lies in a frame.
IpAddress mapped_ipv4(uint32_t ip) noexcept;
uint32_t unmapped_ipv4(const IpAddress& address) noexcept;

/// Who we are on the link. Written before start, then only read.
struct Endpoint {
  static constexpr size_t kAddressesMax = 8;  // of each family

  MacAddress mac{};
  uint16_t base_port = 0;    // host order
  uint16_t ports = 0;        // base_port .. base_port + ports - 1 are ours
  uint16_t shared_port = 0;  // and this one, whose datagrams are whoever's receives them; 0 none
  uint8_t ipv4_count = 0;
  uint8_t ipv6_count = 0;
  std::array<uint32_t, kAddressesMax> ipv4{};            // network order
  std::array<uint32_t, kAddressesMax> ipv4_broadcast{};  // of its subnet; 0: none
  std::array<IpAddress, kAddressesMax> ipv6{};

  /// False if the table is full or the address is not unicast.
  bool add(const LocalAddress& address) noexcept;
  bool owns_port(uint16_t port) const noexcept {
    return static_cast<uint16_t>(port - base_port) < ports || (port == shared_port && port != 0);
  }
  bool owns_ipv4(uint32_t address) const noexcept {
    for (uint8_t i = 0; i < ipv4_count; ++i) {
      if (ipv4[i] == address) return true;
    }
    return false;
  }
  bool owns_ipv6(const IpAddress& address) const noexcept {
    for (uint8_t i = 0; i < ipv6_count; ++i) {
      if (ipv6[i] == address) return true;
    }
    return false;
  }
};

/// What need not be checked again: the port did, or policy says so.
struct Vouched {
  bool ip_header = false;
  bool udp = false;
};

/// A part of a UDP datagram to one of our addresses, that travelled as several IP packets.
struct Fragment {
  IpAddress source{};
  IpAddress destination{};
  MacAddress from{};
  uint32_t id = 0;  // host order
  size_t offset = 0;
  bool more = false;  // it is not the last
  Bytes data;         // points into the frame
};

enum class Verdict : uint8_t {
  kDatagram,  // for one of our ports
  kArp,       // the next three want answer()
  kPing,
  kNeighbour,
  kMalformed,  // lengths, options, extension headers, impossible sources
  kNotOurs,    // other station, address, port or protocol
  kChecksum,
  kFragment,  // of UDP
};

/// Sorts a frame. For kDatagram fills peer and payload of *out (the payload points into the frame);
/// port_id and handle are left to the caller. For kFragment fills *fragment.
Verdict sort_frame(Bytes frame, const Endpoint& us, Vouched vouched, Datagram* out,
                   Fragment* fragment) noexcept;

/// Turns the request in `frame` into its answer, in place; returns the answer's length, never more
/// than the frame's. REQUIRES: sort_frame() gave `verdict` for these very bytes.
size_t answer(MutableBytes frame, const Endpoint& us, Verdict verdict) noexcept;

/// Ethernet, IP and UDP header before a payload to `peer`.
inline constexpr size_t kHeaderBytesMax = sizeof(EthernetHeader) + kIpv6UdpBytes;
size_t header_bytes(const Peer& peer) noexcept;

enum class ChecksumWork : uint8_t {
  kFull,        // compute everything
  kNoUdp,       // IPv4: send 0 for UDP; on IPv6, where that is forbidden, as kFull
  kPseudoOnly,  // the port completes both; UDP gets its pseudo header's sum
};

/// Writes the headers at `frame`; the payload follows at frame + header_bytes(peer).
/// REQUIRES: payload_bytes <= 65535 - kIpv6UdpBytes.
void write_headers(std::byte* frame, const Peer& peer, const MacAddress& own, size_t payload_bytes,
                   ChecksumWork work) noexcept;

/// Internet checksum (RFC 1071) of `data` on top of `sum`, not folded, and its folding. The sum is
/// over words as they lie in memory, so the folded result is stored as it is.
uint64_t sum_words(Bytes data, uint64_t sum = 0) noexcept;
uint16_t fold_sum(uint64_t sum) noexcept;

}  // namespace dinomo::ingress
