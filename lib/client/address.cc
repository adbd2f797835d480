// SPDX-License-Identifier: BSD-3-Clause
#include "client/address.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <optional>

namespace dinomo::client {

namespace {

constexpr std::array<uint8_t, 12> kMappedPrefix{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

struct HostPort {
  std::string host;
  uint16_t port;
};

std::optional<uint16_t> parse_port(std::string_view text) {
  uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc{} || end != text.data() + text.size() || port == 0) return std::nullopt;
  return port;
}

std::optional<HostPort> split(std::string_view text, uint16_t default_port) {
  if (text.empty()) return std::nullopt;
  if (text.front() == '[') {
    const size_t close = text.find(']');
    if (close == std::string_view::npos || close < 2) return std::nullopt;
    const std::string_view rest = text.substr(close + 1);
    std::optional<uint16_t> port = default_port;
    if (!rest.empty()) port = rest.front() == ':' ? parse_port(rest.substr(1)) : std::nullopt;
    if (!port) return std::nullopt;
    return HostPort{std::string(text.substr(1, close - 1)), *port};
  }
  const size_t colon = text.rfind(':');
  const bool bare_ipv6 = colon != std::string_view::npos && text.find(':') != colon;
  if (colon == std::string_view::npos || bare_ipv6)
    return HostPort{std::string(text), default_port};
  const auto port = parse_port(text.substr(colon + 1));
  if (!port || colon == 0) return std::nullopt;
  return HostPort{std::string(text.substr(0, colon)), *port};
}

Address from_sockaddr(const sockaddr* from, uint16_t port) {
  Address address;
  address.port = port;
  if (from->sa_family == AF_INET) {
    const auto* in = reinterpret_cast<const sockaddr_in*>(from);
    std::ranges::copy(kMappedPrefix, address.ip.begin());
    std::memcpy(address.ip.data() + kMappedPrefix.size(), &in->sin_addr, 4);
  } else {
    const auto* in6 = reinterpret_cast<const sockaddr_in6*>(from);
    std::memcpy(address.ip.data(), &in6->sin6_addr, 16);
  }
  return address;
}

}  // namespace

bool Address::is_ipv4() const noexcept {
  return std::equal(kMappedPrefix.begin(), kMappedPrefix.end(), ip.begin());
}

bool Address::is_unspecified() const noexcept {
  const size_t from = is_ipv4() ? kMappedPrefix.size() : 0;
  return std::all_of(ip.begin() + static_cast<ptrdiff_t>(from), ip.end(),
                     [](uint8_t b) { return b == 0; });
}

std::string Address::text() const {
  char buffer[INET6_ADDRSTRLEN] = {};
  if (is_ipv4()) {
    inet_ntop(AF_INET, ip.data() + kMappedPrefix.size(), buffer, sizeof buffer);
    return std::string(buffer) + ":" + std::to_string(port);
  }
  inet_ntop(AF_INET6, ip.data(), buffer, sizeof buffer);
  return "[" + std::string(buffer) + "]:" + std::to_string(port);
}

Result<Address> parse_address(std::string_view text, uint16_t default_port) {
  const auto parts = split(text, default_port);
  if (!parts) return std::unexpected(Status::kInvalid);
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_DGRAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(parts->host.c_str(), nullptr, &hints, &found) != 0 || found == nullptr) {
    return std::unexpected(Status::kNotFound);
  }
  // IPv4 first: a name such as localhost has both, and a KN often serves only IPv4.
  const addrinfo* chosen = found;
  for (const addrinfo* a = found; a != nullptr; a = a->ai_next) {
    if (a->ai_family == AF_INET) {
      chosen = a;
      break;
    }
  }
  const Address address = from_sockaddr(chosen->ai_addr, parts->port);
  freeaddrinfo(found);
  return address;
}

Result<std::vector<Address>> parse_addresses(std::string_view text, uint16_t default_port) {
  std::vector<Address> out;
  while (true) {
    const size_t comma = text.find(',');
    auto address = parse_address(text.substr(0, comma), default_port);
    if (!address) return std::unexpected(address.error());
    out.push_back(*address);
    if (comma == std::string_view::npos) return out;
    text.remove_prefix(comma + 1);
  }
}

}  // namespace dinomo::client
