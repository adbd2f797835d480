// SPDX-License-Identifier: BSD-3-Clause
// Addresses: text, families, and the Endpoint's tables. Nothing here is on the data path.
#include <arpa/inet.h>

#include <charconv>
#include <cstdio>
#include <cstring>

#include "ingress/responder.h"

namespace dinomo::ingress {

namespace {

constexpr std::array<uint8_t, 12> kMappedPrefix{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool unicast_ipv4(uint32_t address) noexcept {
  const uint32_t host = net32(address);
  const uint32_t top = host >> 24;
  return top != 0 && top != 127 && top < 224;
}

bool unicast_ipv6(const IpAddress& a) noexcept {
  IpAddress loopback{};
  loopback[15] = 1;
  return a[0] != 0xff && a != IpAddress{} && a != loopback;
}

}  // namespace

bool is_ipv4(const IpAddress& address) noexcept {
  return std::memcmp(address.data(), kMappedPrefix.data(), kMappedPrefix.size()) == 0;
}

IpAddress mapped_ipv4(uint32_t ip) noexcept {
  IpAddress out{};
  std::memcpy(out.data(), kMappedPrefix.data(), kMappedPrefix.size());
  std::memcpy(out.data() + 12, &ip, sizeof ip);
  return out;
}

uint32_t unmapped_ipv4(const IpAddress& address) noexcept {
  uint32_t ip;
  std::memcpy(&ip, address.data() + 12, sizeof ip);
  return ip;
}

Result<LocalAddress> parse_address(const std::string& text) {
  const size_t slash = text.find('/');
  const std::string host = text.substr(0, slash);
  LocalAddress out;
  unsigned bits_max = 128;
  uint32_t ip = 0;
  if (inet_pton(AF_INET, host.c_str(), &ip) == 1) {
    out.address = mapped_ipv4(ip);
    bits_max = 32;
  } else if (inet_pton(AF_INET6, host.c_str(), out.address.data()) != 1) {
    return std::unexpected(Status::kInvalid);
  }
  unsigned bits = bits_max;
  if (slash != std::string::npos) {
    const char* const first = text.data() + slash + 1;
    const char* const last = text.data() + text.size();
    const auto [end, error] = std::from_chars(first, last, bits);
    if (first == last || error != std::errc{} || end != last || bits > bits_max) {
      return std::unexpected(Status::kInvalid);
    }
  }
  out.prefix_bits = static_cast<uint8_t>(bits);
  return out;
}

static_assert(kAddressTextBytesMax == INET6_ADDRSTRLEN);

std::string_view format_address(const IpAddress& address,
                                std::array<char, kAddressTextBytesMax>* room) noexcept {
  if (is_ipv4(address)) {
    inet_ntop(AF_INET, address.data() + 12, room->data(), room->size());
  } else {
    inet_ntop(AF_INET6, address.data(), room->data(), room->size());
  }
  return room->data();
}

std::string format_address(const IpAddress& address) {
  std::array<char, kAddressTextBytesMax> text{};
  return std::string(format_address(address, &text));
}

std::string format_mac(const MacAddress& mac) {
  std::array<char, 18> text{};
  std::snprintf(text.data(), text.size(), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
                mac[3], mac[4], mac[5]);
  return text.data();
}

bool Endpoint::add(const LocalAddress& local) noexcept {
  if (is_ipv4(local.address)) {
    const uint32_t ip = unmapped_ipv4(local.address);
    if (ipv4_count == kAddressesMax || !unicast_ipv4(ip)) return false;
    const uint32_t hosts = local.prefix_bits == 0 ? ~0u : (1ull << (32 - local.prefix_bits)) - 1;
    const uint32_t broadcast = net32(net32(ip) | hosts);
    ipv4_broadcast[ipv4_count] = hosts > 1 ? broadcast : 0;
    ipv4[ipv4_count++] = ip;
    return true;
  }
  if (ipv6_count == kAddressesMax || !unicast_ipv6(local.address)) return false;
  ipv6[ipv6_count++] = local.address;
  return true;
}

}  // namespace dinomo::ingress
