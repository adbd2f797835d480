// SPDX-License-Identifier: BSD-3-Clause
// What a port has to do with an interface of this kernel, if one is behind it: its MTU, its ring,
// whether it is up.
#include <net/if.h>
#include <rte_devargs.h>
#include <rte_ethdev.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <string_view>

#include "drivers/ingress/ethdev/hints.h"
#include "drivers/ingress/ethdev/port.h"

namespace dinomo::ingress::ethdev {

namespace {

constexpr uint32_t kRingHeadBytes = 128;  // what PACKET_RX_RING puts before a frame, at most

/// Of a net_af_packet port: a number of its --vdev's arguments, such as "framesz=".
uint32_t ring_argument(const rte_device* device, std::string_view key,
                       uint32_t otherwise) noexcept {
  const rte_devargs* const arguments = device != nullptr ? rte_dev_devargs(device) : nullptr;
  if (arguments == nullptr || arguments->args == nullptr) return otherwise;
  const std::string_view text = arguments->args;
  const size_t at = text.find(key);
  if (at == std::string_view::npos) return otherwise;
  return static_cast<uint32_t>(std::strtoul(text.data() + at + key.size(), nullptr, 10));
}

/// False if the interface, or a socket to ask by, cannot be had: then nothing is known.
bool ask_kernel(uint32_t if_index, unsigned long what, ifreq* answer) noexcept {
  if (if_indextoname(if_index, answer->ifr_name) == nullptr) return false;
  const int probe = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (probe < 0) return false;
  const int error = ioctl(probe, what, answer);
  close(probe);
  return error == 0;
}

}  // namespace

/// What a frame of its ring holds, its head included.
uint32_t Port::ring_frame_bytes() const noexcept {
  return ring_argument(info_.device, "framesz=", 2048);
}

Status Port::set_mtu(std::string* why) {
  Capabilities& c = capabilities_;
  if (device_is("net_af_packet") && config_.mtu > RTE_ETHER_MTU) {
    if (const Status s = check_kernel_mtu(why); !ok(s)) return s;
    c.mtu = config_.mtu;
    return Status::kOk;
  }
  if (config_.mtu != 0) {
    if (const int bad = rte_eth_dev_set_mtu(id_, config_.mtu); bad != 0) {
      *why = named("does not take an MTU of " + std::to_string(config_.mtu) + ": " + reason(bad) +
                   "; it allows " + std::to_string(info_.min_mtu) + " to " +
                   std::to_string(info_.max_mtu) +
                   ". Leave 'mtu' out to use the port's own, and set a netdev's by ip link");
      return Status::kInvalid;
    }
  }
  uint16_t mtu = 0;
  if (rte_eth_dev_get_mtu(id_, &mtu) != 0 || mtu < kIpv6UdpBytes + 512) mtu = RTE_ETHER_MTU;
  c.mtu = mtu;
  return Status::kOk;
}

/// net_af_packet says that it takes no frame above 1518 bytes. It takes what its ring and the
/// netdev take, and drops, without a word, what does not fit the ring.
Status Port::check_kernel_mtu(std::string* why) const {
  const uint32_t wanted = config_.mtu;
  const uint32_t room = ring_frame_bytes();
  const uint32_t block = ring_argument(info_.device, "blocksz=", 4096);
  // The port looks for its frames as if no block had a gap at its end.
  if (wanted + RTE_ETHER_HDR_LEN + kRingHeadBytes > room || block % room != 0) {
    *why = named("its ring has blocks of " + std::to_string(block) + " bytes and frames of " +
                 std::to_string(room) + "; for an MTU of " + std::to_string(wanted) +
                 " a frame has to hold " + std::to_string(kRingHeadBytes + RTE_ETHER_HDR_LEN) +
                 " bytes more, and a block a whole number of frames: up to 9000, add " +
                 "blocksz=36864,framesz=9216 to its --vdev");
    return Status::kInvalid;
  }
  ifreq request{};
  if (ask_kernel(info_.if_index, SIOCGIFMTU, &request) &&
      static_cast<uint32_t>(request.ifr_mtu) < wanted) {
    *why = named(std::string("the interface ") + request.ifr_name + " has an MTU of " +
                 std::to_string(request.ifr_mtu) + ", 'mtu' is " + std::to_string(wanted) +
                 "; raise it: ip link set " + request.ifr_name + " mtu " + std::to_string(wanted));
    return Status::kInvalid;
  }
  return Status::kOk;
}

Status Port::check_netdev(std::string* why) const {
  if (info_.if_index == 0 || !fast_path_kernel()) return Status::kOk;
  ifreq request{};
  if (ask_kernel(info_.if_index, SIOCGIFFLAGS, &request) && (request.ifr_flags & IFF_UP) == 0) {
    *why = named(std::string("the interface ") + request.ifr_name +
                 " is down; bring it up: ip link set " + request.ifr_name + " up");
    return Status::kUnreachable;
  }
  return Status::kOk;
}

}  // namespace dinomo::ingress::ethdev
