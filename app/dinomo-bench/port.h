// SPDX-License-Identifier: BSD-3-Clause
// What the load leaves through: kernel sockets, or an own DPDK port.
#pragma once

#include <memory>
#include <string>

#include "app/dinomo-bench/settings.h"
#include "client/address.h"
#include "client/transport.h"

namespace dinomo::bench {

class Port {
 public:
  virtual ~Port() = default;
  virtual const char* name() const noexcept = 0;
  /// The transport of thread `index`, made on the main thread. Throws std::runtime_error with
  /// advice.
  virtual std::unique_ptr<client::Transport> transport(uint32_t index) = 0;
  /// Called by each load-generating thread before and after its work.
  virtual void enter_thread() {}
  virtual void leave_thread() {}
};

std::unique_ptr<Port> open_udp_port();

/// Starts EAL with settings.eal_arguments and the port; finds out the MAC of `server` by ARP unless
/// settings name it. Throws std::runtime_error with advice.
std::unique_ptr<Port> open_dpdk_port(const Settings& settings, const client::Address& server);

}  // namespace dinomo::bench
