// SPDX-License-Identifier: BSD-3-Clause
#include <stdexcept>

#include "app/dinomo-bench/port.h"
#include "client/udp_transport.h"

namespace dinomo::bench {

namespace {

class UdpPort final : public Port {
 public:
  const char* name() const noexcept override { return "udp"; }
  std::unique_ptr<client::Transport> transport(uint32_t) override {
    auto transport = client::UdpTransport::create({});
    if (!transport) throw std::runtime_error("cannot open a UDP socket");
    return std::move(*transport);
  }
};

}  // namespace

std::unique_ptr<Port> open_udp_port() { return std::make_unique<UdpPort>(); }

}  // namespace dinomo::bench
