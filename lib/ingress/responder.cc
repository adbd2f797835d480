// SPDX-License-Identifier: BSD-3-Clause
#include "ingress/responder.h"

#include <algorithm>
#include <cstddef>
#include <cstring>

namespace dinomo::ingress {

namespace {

constexpr size_t kL3 = sizeof(EthernetHeader);
constexpr uint8_t kNeighbourHops = 255;  // RFC 4861: proves that no router forwarded it
constexpr uint32_t kSolicited = 0x4000'0000;
constexpr uint32_t kOverride = 0x2000'0000;
constexpr uint8_t kOptionSourceMac = 1;
constexpr uint8_t kOptionTargetMac = 2;
constexpr uint8_t kHops = 64;

constexpr MacAddress kBroadcastMac{0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
constexpr MacAddress kAllNodesMac{0x33, 0x33, 0, 0, 0, 1};
constexpr IpAddress kAllNodes{0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};

bool group_mac(const MacAddress& mac) noexcept { return (mac[0] & 1) != 0; }

/// A station that can be answered.
bool usable_mac(const MacAddress& mac) noexcept { return !group_mac(mac) && mac != MacAddress{}; }

bool usable_source4(uint32_t ip, const Endpoint& us) noexcept {
  const uint32_t top = net32(ip) >> 24;
  if (top == 0 || top == 127 || top >= 224) return false;
  for (uint8_t i = 0; i < us.ipv4_count; ++i) {
    if (ip == us.ipv4[i] || ip == us.ipv4_broadcast[i]) return false;
  }
  return true;
}

bool usable_source6(const IpAddress& ip, const Endpoint& us) noexcept {
  if (ip[0] == 0xff || us.owns_ipv6(ip)) return false;
  const auto low = load<uint64_t>(reinterpret_cast<const std::byte*>(ip.data()));
  if (low != 0) return true;
  IpAddress loopback{};
  loopback[15] = 1;
  return ip != IpAddress{} && ip != loopback && !is_ipv4(ip);
}

uint64_t pseudo_sum4(const Ipv4Header& ip, uint16_t l4_bytes, uint8_t protocol) noexcept {
  return uint64_t{ip.source} + ip.destination + net16(protocol) + net16(l4_bytes);
}

uint64_t pseudo_sum6(const Ipv6Header& ip, uint16_t l4_bytes, uint8_t protocol) noexcept {
  const auto* const addresses =
      reinterpret_cast<const std::byte*>(&ip) + offsetof(Ipv6Header, source);
  return sum_words({addresses, 2 * sizeof(IpAddress)}, uint64_t{net16(protocol)} + net16(l4_bytes));
}

/// Over a stretch that includes its own checksum, the folded sum is 0 if it is intact.
bool intact(Bytes data, uint64_t pseudo) noexcept { return fold_sum(sum_words(data, pseudo)) == 0; }

/// A checksum of 0 means "none" in UDP, so 0 travels as its equal in one's complement.
uint16_t udp_fold(uint64_t sum) noexcept {
  const uint16_t folded = fold_sum(sum);
  return folded != 0 ? folded : 0xffff;
}

Verdict sort_udp(Bytes segment, const Endpoint& us, bool verify, uint64_t pseudo_addresses,
                 bool ipv6, Datagram* out) noexcept {
  if (segment.size() < sizeof(UdpHeader)) return Verdict::kMalformed;
  const auto udp = load<UdpHeader>(segment.data());
  const uint16_t udp_bytes = net16(udp.bytes);
  if (udp_bytes < sizeof(UdpHeader) || udp_bytes > segment.size()) return Verdict::kMalformed;
  const uint16_t port = net16(udp.destination);
  if (!us.owns_port(port)) return Verdict::kNotOurs;
  if (udp.source == 0) return Verdict::kMalformed;  // nobody to answer
  if (verify && (udp.checksum != 0 || ipv6)) {
    const uint64_t pseudo = pseudo_addresses + net16(kProtocolUdp) + net16(udp_bytes);
    if (udp.checksum == 0 || !intact(segment.first(udp_bytes), pseudo)) return Verdict::kChecksum;
  }
  out->peer.remote_port = net16(udp.source);
  out->peer.local_port = port;
  out->payload = segment.subspan(sizeof(UdpHeader), udp_bytes - sizeof(UdpHeader));
  return Verdict::kDatagram;
}

Verdict sort_ipv4(Bytes frame, const EthernetHeader& ethernet, const Endpoint& us, Vouched vouched,
                  Datagram* out, Fragment* fragment) noexcept {
  if (frame.size() < kL3 + sizeof(Ipv4Header)) return Verdict::kMalformed;
  const auto ip = load<Ipv4Header>(frame.data() + kL3);
  if (!us.owns_ipv4(ip.destination)) return Verdict::kNotOurs;
  const uint16_t total_bytes = net16(ip.total_bytes);
  if (ip.version_words != 0x45 || total_bytes < sizeof(Ipv4Header) ||
      total_bytes > frame.size() - kL3) {
    return Verdict::kMalformed;
  }
  const Bytes packet = frame.subspan(kL3, total_bytes);
  if (!vouched.ip_header && !intact(packet.first(sizeof(Ipv4Header)), 0)) {
    return Verdict::kChecksum;
  }
  if (!usable_source4(ip.source, us)) return Verdict::kMalformed;
  const Bytes segment = packet.subspan(sizeof(Ipv4Header));
  if (const uint16_t bits = net16(ip.fragment); (bits & 0x3fff) != 0) {
    if (ip.protocol != kProtocolUdp) return Verdict::kNotOurs;
    *fragment = {.source = mapped_ipv4(ip.source),
                 .destination = mapped_ipv4(ip.destination),
                 .from = ethernet.from,
                 .id = net16(ip.id),
                 .offset = size_t{8} * (bits & 0x1fff),
                 .more = (bits & kMoreFragments4) != 0,
                 .data = segment};
    return Verdict::kFragment;
  }
  if (ip.protocol == kProtocolUdp) {
    out->peer.remote_address = mapped_ipv4(ip.source);
    out->peer.local_address = mapped_ipv4(ip.destination);
    out->peer.remote_mac = ethernet.from;
    return sort_udp(segment, us, !vouched.udp, uint64_t{ip.source} + ip.destination, false, out);
  }
  if (ip.protocol != kProtocolIcmp) return Verdict::kNotOurs;
  if (segment.size() < sizeof(IcmpHeader)) return Verdict::kMalformed;
  const auto icmp = load<IcmpHeader>(segment.data());
  if (icmp.type != kEchoRequest4 || icmp.code != 0) return Verdict::kNotOurs;
  return intact(segment, 0) ? Verdict::kPing : Verdict::kChecksum;
}

/// Options of a solicitation: RFC 4861 7.1.1 wants every length above 0 and the source's MAC absent
/// when the source is unspecified.
bool valid_options(Bytes options, bool unspecified_source) noexcept {
  while (!options.empty()) {
    if (options.size() < 8) return false;
    const auto type = std::to_integer<uint8_t>(options[0]);
    const size_t option_bytes = 8 * std::to_integer<size_t>(options[1]);
    if (option_bytes == 0 || option_bytes > options.size()) return false;
    if (type == kOptionSourceMac && unspecified_source) return false;
    options = options.subspan(option_bytes);
  }
  return true;
}

bool solicited_node(const IpAddress& group, const IpAddress& target) noexcept {
  constexpr std::array<uint8_t, 13> kPrefix{0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff};
  return std::equal(kPrefix.begin(), kPrefix.end(), group.begin()) &&
         std::equal(group.begin() + 13, group.end(), target.begin() + 13);
}

Verdict sort_solicitation(Bytes segment, const Ipv6Header& ip, const Endpoint& us) noexcept {
  if (segment.size() < sizeof(NeighbourMessage) || ip.hops != kNeighbourHops) {
    return Verdict::kMalformed;
  }
  const auto message = load<NeighbourMessage>(segment.data());
  if (message.code != 0) return Verdict::kMalformed;
  if (!us.owns_ipv6(message.target)) return Verdict::kNotOurs;
  const bool to_group = solicited_node(ip.destination, message.target);
  if (!to_group && ip.destination != message.target) return Verdict::kMalformed;
  const bool unspecified = ip.source == IpAddress{};
  if (unspecified ? !to_group : !usable_source6(ip.source, us)) return Verdict::kMalformed;
  if (!valid_options(segment.subspan(sizeof(NeighbourMessage)), unspecified)) {
    return Verdict::kMalformed;
  }
  const auto bytes = static_cast<uint16_t>(segment.size());
  return intact(segment, pseudo_sum6(ip, bytes, kProtocolIcmp6)) ? Verdict::kNeighbour
                                                                 : Verdict::kChecksum;
}

bool extension_header(uint8_t next) noexcept {
  return next == 0 || next == 43 || next == 50 || next == 51 || next == 60 || next == 135;
}

Verdict sort_fragment6(Bytes payload, const Ipv6Header& ip, const EthernetHeader& ethernet,
                       const Endpoint& us, Fragment* fragment) noexcept {
  if (payload.size() < sizeof(FragmentHeader6) || !usable_source6(ip.source, us)) {
    return Verdict::kMalformed;
  }
  const auto header = load<FragmentHeader6>(payload.data());
  if (header.next != kProtocolUdp) return Verdict::kNotOurs;
  const uint16_t bits = net16(header.offset_flags);
  *fragment = {.source = ip.source,
               .destination = ip.destination,
               .from = ethernet.from,
               .id = net32(header.id),
               .offset = bits & 0xfff8u,
               .more = (bits & 1) != 0,
               .data = payload.subspan(sizeof header)};
  return Verdict::kFragment;
}

Verdict sort_ipv6(Bytes frame, const EthernetHeader& ethernet, const Endpoint& us, Vouched vouched,
                  Datagram* out, Fragment* fragment) noexcept {
  if (frame.size() < kL3 + sizeof(Ipv6Header)) return Verdict::kMalformed;
  const auto ip = load<Ipv6Header>(frame.data() + kL3);
  const uint16_t payload_bytes = net16(ip.payload_bytes);
  if ((net32(ip.version_flow) >> 28) != 6 || payload_bytes > frame.size() - kL3 - sizeof ip) {
    return Verdict::kMalformed;
  }
  const Bytes segment = frame.subspan(kL3 + sizeof ip, payload_bytes);
  const bool to_us = !group_mac(ethernet.to) && us.owns_ipv6(ip.destination);
  if (ip.next == kProtocolUdp && to_us) {
    if (!usable_source6(ip.source, us)) return Verdict::kMalformed;
    out->peer.remote_address = ip.source;
    out->peer.local_address = ip.destination;
    out->peer.remote_mac = ethernet.from;
    const uint64_t addresses = vouched.udp ? 0 : pseudo_sum6(ip, 0, 0);
    return sort_udp(segment, us, !vouched.udp, addresses, true, out);
  }
  if (ip.next == kProtocolIcmp6 && !segment.empty() &&
      std::to_integer<uint8_t>(segment[0]) == kNeighbourSolicitation) {
    return sort_solicitation(segment, ip, us);
  }
  if (!to_us) return Verdict::kNotOurs;
  if (ip.next == kProtocolFragment6) return sort_fragment6(segment, ip, ethernet, us, fragment);
  if (extension_header(ip.next)) return Verdict::kMalformed;
  if (ip.next != kProtocolIcmp6) return Verdict::kNotOurs;
  if (segment.size() < sizeof(IcmpHeader)) return Verdict::kMalformed;
  const auto icmp = load<IcmpHeader>(segment.data());
  if (icmp.type != kEchoRequest6 || icmp.code != 0) return Verdict::kNotOurs;
  if (!usable_source6(ip.source, us)) return Verdict::kMalformed;
  return intact(segment, pseudo_sum6(ip, payload_bytes, kProtocolIcmp6)) ? Verdict::kPing
                                                                         : Verdict::kChecksum;
}

Verdict sort_arp(Bytes frame, const Endpoint& us) noexcept {
  if (frame.size() < kL3 + sizeof(ArpPacket)) return Verdict::kMalformed;
  const auto arp = load<ArpPacket>(frame.data() + kL3);
  if (arp.hardware != net16(1) || arp.protocol != net16(kTypeIpv4) || arp.hardware_bytes != 6 ||
      arp.protocol_bytes != 4) {
    return Verdict::kMalformed;
  }
  if (arp.operation != net16(1) || !us.owns_ipv4(arp.target_ip)) return Verdict::kNotOurs;
  // A sender of 0 is a probe (RFC 5227) and gets its answer, so that our address is defended.
  if (arp.sender_ip != 0 && !usable_source4(arp.sender_ip, us)) return Verdict::kMalformed;
  return usable_mac(arp.sender_mac) ? Verdict::kArp : Verdict::kMalformed;
}

size_t answer_arp(MutableBytes frame, const Endpoint& us) noexcept {
  const auto request = load<ArpPacket>(frame.data() + kL3);
  ArpPacket reply = request;
  reply.operation = net16(2);
  reply.sender_mac = us.mac;
  reply.sender_ip = request.target_ip;
  reply.target_mac = request.sender_mac;
  reply.target_ip = request.sender_ip;
  store(frame.data(), EthernetHeader{request.sender_mac, us.mac, net16(kTypeArp)});
  store(frame.data() + kL3, reply);
  return kL3 + sizeof reply;
}

/// RFC 1624: the checksum after one 16-bit word changed.
uint16_t patch_checksum(uint16_t checksum, uint16_t before, uint16_t after) noexcept {
  return fold_sum(uint64_t{static_cast<uint16_t>(~checksum)} + static_cast<uint16_t>(~before) +
                  after);
}

void answer_echo(std::byte* segment, uint8_t reply_type) noexcept {
  const auto type_word = load<uint16_t>(segment);
  auto icmp = load<IcmpHeader>(segment);
  icmp.type = reply_type;
  store(segment, icmp);
  icmp.checksum = patch_checksum(icmp.checksum, type_word, load<uint16_t>(segment));
  store(segment, icmp);
}

size_t answer_ping4(MutableBytes frame, const Endpoint& us) noexcept {
  const auto ethernet = load<EthernetHeader>(frame.data());
  auto ip = load<Ipv4Header>(frame.data() + kL3);
  const uint32_t asker = ip.source;
  ip.source = ip.destination;
  ip.destination = asker;
  ip.hops = kHops;
  ip.id = 0;
  ip.fragment = net16(0x4000);
  ip.checksum = 0;
  ip.checksum = fold_sum(sum_words(object_bytes(ip)));
  store(frame.data(), EthernetHeader{ethernet.from, us.mac, ethernet.type});
  store(frame.data() + kL3, ip);
  answer_echo(frame.data() + kL3 + sizeof ip, kEchoReply4);
  return kL3 + net16(ip.total_bytes);
}

size_t answer_ping6(MutableBytes frame, const Endpoint& us) noexcept {
  const auto ethernet = load<EthernetHeader>(frame.data());
  auto ip = load<Ipv6Header>(frame.data() + kL3);
  std::swap(ip.source, ip.destination);
  ip.hops = kHops;
  store(frame.data(), EthernetHeader{ethernet.from, us.mac, ethernet.type});
  store(frame.data() + kL3, ip);
  answer_echo(frame.data() + kL3 + sizeof ip, kEchoReply6);
  return kL3 + sizeof ip + net16(ip.payload_bytes);
}

struct [[gnu::packed]] MacOption {
  uint8_t type;
  uint8_t units;  // of 8 bytes
  MacAddress mac;
};
static_assert(sizeof(MacOption) == 8);

/// The advertisement carries our MAC as an option only where the solicitation had room for one: the
/// answer never grows. Without it the asker takes the frame's source, or (duplicate address
/// detection) only wants to know that somebody answers.
size_t answer_solicitation(MutableBytes frame, const Endpoint& us) noexcept {
  const auto ethernet = load<EthernetHeader>(frame.data());
  auto ip = load<Ipv6Header>(frame.data() + kL3);
  std::byte* const segment = frame.data() + kL3 + sizeof ip;
  auto message = load<NeighbourMessage>(segment);
  const bool unspecified = ip.source == IpAddress{};
  const bool with_mac = net16(ip.payload_bytes) >= sizeof message + sizeof(MacOption);
  const auto bytes = static_cast<uint16_t>(sizeof message + (with_mac ? sizeof(MacOption) : 0));

  ip.destination = unspecified ? kAllNodes : ip.source;
  ip.source = message.target;
  ip.version_flow = net32(6u << 28);
  ip.payload_bytes = net16(bytes);
  ip.hops = kNeighbourHops;
  message.type = kNeighbourAdvertisement;
  message.flags = net32(kOverride | (unspecified ? 0 : kSolicited));
  message.checksum = 0;
  store(segment, message);
  if (with_mac) store(segment + sizeof message, MacOption{kOptionTargetMac, 1, us.mac});
  message.checksum = fold_sum(sum_words({segment, bytes}, pseudo_sum6(ip, bytes, kProtocolIcmp6)));
  store(segment, message);
  store(frame.data(),
        EthernetHeader{unspecified ? kAllNodesMac : ethernet.from, us.mac, ethernet.type});
  store(frame.data() + kL3, ip);
  return kL3 + sizeof ip + bytes;
}

void write_ipv4(std::byte* frame, const Peer& peer, UdpHeader udp, size_t payload_bytes,
                ChecksumWork work) noexcept {
  Ipv4Header ip{.version_words = 0x45,
                .service = 0,
                .total_bytes = net16(static_cast<uint16_t>(kIpv4UdpBytes + payload_bytes)),
                .id = 0,
                .fragment = net16(0x4000),
                .hops = kHops,
                .protocol = kProtocolUdp,
                .checksum = 0,
                .source = unmapped_ipv4(peer.local_address),
                .destination = unmapped_ipv4(peer.remote_address)};
  const uint64_t pseudo = pseudo_sum4(ip, net16(udp.bytes), kProtocolUdp);
  std::byte* const segment = frame + kL3 + sizeof ip;
  if (work == ChecksumWork::kPseudoOnly) {
    udp.checksum = static_cast<uint16_t>(~fold_sum(pseudo));
  } else {
    // The addresses' part of the pseudo header is part of the header's own sum.
    const uint64_t rest = uint64_t{load<uint32_t>(reinterpret_cast<const std::byte*>(&ip))} +
                          ip.fragment + load<uint16_t>(reinterpret_cast<const std::byte*>(&ip) + 8);
    ip.checksum = fold_sum(rest + ip.source + ip.destination);
    if (work == ChecksumWork::kFull) {
      const uint64_t header = uint64_t{udp.source} + udp.destination + udp.bytes;
      udp.checksum = udp_fold(sum_words({segment + sizeof udp, payload_bytes}, pseudo + header));
    }
  }
  store(frame + kL3, ip);
  store(segment, udp);
}

void write_ipv6(std::byte* frame, const Peer& peer, UdpHeader udp, size_t payload_bytes,
                ChecksumWork work) noexcept {
  const Ipv6Header ip{.version_flow = net32(6u << 28),
                      .payload_bytes = udp.bytes,
                      .next = kProtocolUdp,
                      .hops = kHops,
                      .source = peer.local_address,
                      .destination = peer.remote_address};
  const uint64_t pseudo = pseudo_sum6(ip, net16(udp.bytes), kProtocolUdp);
  std::byte* const segment = frame + kL3 + sizeof ip;
  if (work == ChecksumWork::kPseudoOnly) {
    udp.checksum = static_cast<uint16_t>(~fold_sum(pseudo));
  } else {
    const uint64_t header = uint64_t{udp.source} + udp.destination + udp.bytes;
    udp.checksum = udp_fold(sum_words({segment + sizeof udp, payload_bytes}, pseudo + header));
  }
  store(frame + kL3, ip);
  store(segment, udp);
}

}  // namespace

uint64_t sum_words(Bytes data, uint64_t sum) noexcept {
  // 32-bit words into 64-bit sums: no carries to chase (2^32 words would fit), and it vectorises.
  const std::byte* at = data.data();
  size_t left = data.size();
  uint64_t wide = 0;
  for (size_t words = left / 4, i = 0; i < words; ++i) wide += load<uint32_t>(at + 4 * i);
  at += left & ~size_t{3};
  left &= 3;
  sum += (wide & 0xffff'ffff) + (wide >> 32);
  if (left >= 2) {
    sum += load<uint16_t>(at);
    at += 2;
    left -= 2;
  }
  if (left != 0) {
    const std::array<std::byte, 2> last{*at, std::byte{0}};
    sum += load<uint16_t>(last.data());
  }
  return sum;
}

uint16_t fold_sum(uint64_t sum) noexcept {
  sum = (sum & 0xffff'ffff) + (sum >> 32);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}

Verdict sort_frame(Bytes frame, const Endpoint& us, Vouched vouched, Datagram* out,
                   Fragment* fragment) noexcept {
  if (frame.size() < sizeof(EthernetHeader)) return Verdict::kMalformed;
  const auto ethernet = load<EthernetHeader>(frame.data());
  const bool to_us = ethernet.to == us.mac;
  if (!to_us && !group_mac(ethernet.to)) return Verdict::kNotOurs;
  if (!usable_mac(ethernet.from)) return Verdict::kMalformed;
  switch (net16(ethernet.type)) {
    case kTypeIpv4:
      return to_us ? sort_ipv4(frame, ethernet, us, vouched, out, fragment) : Verdict::kNotOurs;
    case kTypeIpv6: return sort_ipv6(frame, ethernet, us, vouched, out, fragment);
    case kTypeArp:
      return to_us || ethernet.to == kBroadcastMac ? sort_arp(frame, us) : Verdict::kNotOurs;
    default: return Verdict::kNotOurs;
  }
}

size_t answer(MutableBytes frame, const Endpoint& us, Verdict verdict) noexcept {
  switch (verdict) {
    case Verdict::kArp: return answer_arp(frame, us);
    case Verdict::kNeighbour: return answer_solicitation(frame, us);
    case Verdict::kPing:
      return load<EthernetHeader>(frame.data()).type == net16(kTypeIpv4) ? answer_ping4(frame, us)
                                                                         : answer_ping6(frame, us);
    default: return 0;
  }
}

size_t header_bytes(const Peer& peer) noexcept {
  return sizeof(EthernetHeader) + (is_ipv4(peer.remote_address) ? kIpv4UdpBytes : kIpv6UdpBytes);
}

void write_headers(std::byte* frame, const Peer& peer, const MacAddress& own, size_t payload_bytes,
                   ChecksumWork work) noexcept {
  const bool ipv4 = is_ipv4(peer.remote_address);
  const UdpHeader udp{.source = net16(peer.local_port),
                      .destination = net16(peer.remote_port),
                      .bytes = net16(static_cast<uint16_t>(sizeof(UdpHeader) + payload_bytes)),
                      .checksum = 0};
  store(frame, EthernetHeader{peer.remote_mac, own, net16(ipv4 ? kTypeIpv4 : kTypeIpv6)});
  if (ipv4) {
    write_ipv4(frame, peer, udp, payload_bytes, work);
  } else {
    write_ipv6(frame, peer, udp, payload_bytes, work);
  }
}

}  // namespace dinomo::ingress
