// SPDX-License-Identifier: BSD-3-Clause
// Sending a datagram as fragments: headers and checksum.
#include "ingress/fragment.h"

namespace dinomo::ingress {

namespace {

constexpr size_t kL3 = sizeof(EthernetHeader);
constexpr uint8_t kHops = 64;

uint64_t address_sum(const Peer& peer) noexcept {
  if (is_ipv4(peer.remote_address)) {
    return uint64_t{unmapped_ipv4(peer.local_address)} + unmapped_ipv4(peer.remote_address);
  }
  return sum_words(object_bytes(peer.local_address)) + sum_words(object_bytes(peer.remote_address));
}

size_t ip_bytes(const Peer& peer) noexcept {
  return is_ipv4(peer.remote_address) ? sizeof(Ipv4Header)
                                      : sizeof(Ipv6Header) + sizeof(FragmentHeader6);
}

}  // namespace

size_t fragment_data_bytes(const Peer& peer, uint16_t mtu) noexcept {
  return (mtu - ip_bytes(peer)) & ~size_t{7};
}

size_t fragment_header_bytes(const Peer& peer) noexcept { return kL3 + ip_bytes(peer); }

void write_fragment_headers(std::byte* frame, const Peer& peer, const MacAddress& own, uint32_t id,
                            size_t offset, size_t data_bytes, bool more) noexcept {
  const bool ipv4 = is_ipv4(peer.remote_address);
  store(frame, EthernetHeader{peer.remote_mac, own, net16(ipv4 ? kTypeIpv4 : kTypeIpv6)});
  if (ipv4) {
    const auto flags = static_cast<uint16_t>(offset / 8 | (more ? kMoreFragments4 : 0));
    Ipv4Header ip{.version_words = 0x45,
                  .service = 0,
                  .total_bytes = net16(static_cast<uint16_t>(sizeof(Ipv4Header) + data_bytes)),
                  .id = net16(static_cast<uint16_t>(id)),
                  .fragment = net16(flags),
                  .hops = kHops,
                  .protocol = kProtocolUdp,
                  .checksum = 0,
                  .source = unmapped_ipv4(peer.local_address),
                  .destination = unmapped_ipv4(peer.remote_address)};
    ip.checksum = fold_sum(sum_words(object_bytes(ip)));
    store(frame + kL3, ip);
    return;
  }
  const auto payload = static_cast<uint16_t>(sizeof(FragmentHeader6) + data_bytes);
  store(frame + kL3, Ipv6Header{.version_flow = net32(6u << 28),
                                .payload_bytes = net16(payload),
                                .next = kProtocolFragment6,
                                .hops = kHops,
                                .source = peer.local_address,
                                .destination = peer.remote_address});
  store(frame + kL3 + sizeof(Ipv6Header),
        FragmentHeader6{.next = kProtocolUdp,
                        .reserved = 0,
                        .offset_flags = net16(static_cast<uint16_t>(offset | (more ? 1 : 0))),
                        .id = net32(id)});
}

UdpHeader large_udp_header(const Peer& peer, size_t payload_bytes) noexcept {
  return {.source = net16(peer.local_port),
          .destination = net16(peer.remote_port),
          .bytes = net16(static_cast<uint16_t>(sizeof(UdpHeader) + payload_bytes)),
          .checksum = 0};
}

uint16_t large_udp_checksum(const Peer& peer, size_t payload_bytes, uint64_t sum) noexcept {
  const auto bytes = static_cast<uint16_t>(sizeof(UdpHeader) + payload_bytes);
  const uint16_t folded = fold_sum(sum + address_sum(peer) + net16(kProtocolUdp) + net16(bytes));
  return folded != 0 ? folded : 0xffff;  // 0 would say that there is none
}

}  // namespace dinomo::ingress
