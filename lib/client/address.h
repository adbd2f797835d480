// SPDX-License-Identifier: BSD-3-Clause
// UDP addresses as the protocol carries them (IPv6, or IPv4 mapped into it), and their text forms.
//
// parse() knows "10.0.0.1", "10.0.0.1:11300", "[fe80::1]:11300", "::1", "host" and "host:port".
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/status.h"

namespace dinomo::client {

struct Address {
  std::array<uint8_t, 16> ip{};
  uint16_t port = 0;  // host order

  bool operator==(const Address&) const noexcept = default;

  bool is_ipv4() const noexcept;
  /// All zeros, as IPv6 or as mapped IPv4: "whatever address you reached me at".
  bool is_unspecified() const noexcept;
  /// "10.0.0.1:11300" or "[fe80::1]:11300".
  std::string text() const;
};

/// Resolves one "host[:port]". Start-up only: names are looked up in the system's resolver, which
/// may block for seconds. kInvalid for text that is no address, kNotFound for an unknown host.
Result<Address> parse_address(std::string_view text, uint16_t default_port);

/// The same for a comma-separated list; at least one.
Result<std::vector<Address>> parse_addresses(std::string_view text, uint16_t default_port);

}  // namespace dinomo::client
