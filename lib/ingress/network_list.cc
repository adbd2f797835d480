// SPDX-License-Identifier: BSD-3-Clause
#include "ingress/network_list.h"

#include <bit>
#include <cstring>

namespace dinomo::ingress {

namespace {

constexpr unsigned kMappedBits = 96;  // that an IPv4 address has in front of it
constexpr unsigned kIpv4Bits = 32;

/// The `bits` highest of a word, in network order.
uint64_t mask_of(unsigned bits) noexcept {
  if (bits == 0) return 0;
  const uint64_t host = ~uint64_t{0} << (64 - bits);
  return std::endian::native == std::endian::little ? __builtin_bswap64(host) : host;
}

}  // namespace

NetworkList::Network NetworkList::network_of(const LocalAddress& prefix) noexcept {
  // A longer prefix of such an address was written as IPv6.
  const bool ipv4 = is_ipv4(prefix.address) && prefix.prefix_bits <= kIpv4Bits;
  const unsigned bits = prefix.prefix_bits + (ipv4 ? kMappedBits : 0);
  Network n;
  n.high_mask = mask_of(bits < 64 ? bits : 64);
  n.low_mask = mask_of(bits < 64 ? 0 : bits - 64);
  std::memcpy(&n.high, prefix.address.data(), 8);
  std::memcpy(&n.low, prefix.address.data() + 8, 8);
  return n;
}

Result<NetworkList> NetworkList::parse(const std::string& text, std::string* why) {
  constexpr const char* kBetween = ", \t";
  NetworkList list;
  size_t end = 0;
  for (size_t at = text.find_first_not_of(kBetween); at != std::string::npos;
       at = text.find_first_not_of(kBetween, end)) {
    end = std::min(text.find_first_of(kBetween, at), text.size());
    const std::string word = text.substr(at, end - at);
    const auto prefix = parse_address(word);
    if (!prefix) {
      *why = "'" + word + "' is no network: write it as 10.0.0.0/8 or fd00::/8";
      return std::unexpected(Status::kInvalid);
    }
    const Network n = network_of(*prefix);
    if ((n.high & ~n.high_mask) != 0 || (n.low & ~n.low_mask) != 0) {
      *why = "'" + word + "' is an address within a network: set its bits behind the first " +
             std::to_string(prefix->prefix_bits) + " to 0, or leave the /" +
             std::to_string(prefix->prefix_bits) + " out";
      return std::unexpected(Status::kInvalid);
    }
    if (list.networks_.size() == kNetworksMax) {
      *why = "more than " + std::to_string(kNetworksMax) + " networks: use shorter prefixes";
      return std::unexpected(Status::kInvalid);
    }
    list.networks_.push_back(n);
  }
  return list;
}

bool NetworkList::contains(const IpAddress& address) const noexcept {
  uint64_t high = 0;
  uint64_t low = 0;
  std::memcpy(&high, address.data(), 8);
  std::memcpy(&low, address.data() + 8, 8);
  for (const Network& n : networks_) {
    if ((high & n.high_mask) == n.high && (low & n.low_mask) == n.low) return true;
  }
  return false;
}

}  // namespace dinomo::ingress
