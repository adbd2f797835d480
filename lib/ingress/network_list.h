// SPDX-License-Identifier: BSD-3-Clause
// Networks whose clients are let in: a list of prefixes, IPv4 and IPv6.
//
// Thread rule: made by the control thread, then read by any.
#pragma once

#include <string>
#include <vector>

#include "ingress/responder.h"

namespace dinomo::ingress {

class NetworkList {
 public:
  static constexpr size_t kNetworksMax = 64;

  /// "10.0.0.0/8, fd00::/8": prefixes, a single address being one of full length, with commas or
  /// spaces between. Without any the list is empty. kInvalid with a sentence.
  static Result<NetworkList> parse(const std::string& text, std::string* why);

  bool empty() const noexcept { return networks_.empty(); }
  /// A walk through the list: some nanoseconds for each network.
  bool contains(const IpAddress& address) const noexcept;

 private:
  struct Network {  // in network order, as two words
    uint64_t high = 0, low = 0;
    uint64_t high_mask = 0, low_mask = 0;
  };
  static Network network_of(const LocalAddress& prefix) noexcept;

  std::vector<Network> networks_;
};

}  // namespace dinomo::ingress
