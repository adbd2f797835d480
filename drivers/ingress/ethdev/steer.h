// SPDX-License-Identifier: BSD-3-Clause
// Flow rules by which a port puts a worker's datagrams into that worker's receive queue itself.
//
// Speed only: what the port delivers elsewhere (fragments, which carry no ports, and everything on
// a port without rules) is handed over. Thread rule: control thread, while the port runs.
#pragma once

#include <rte_flow.h>

#include <string>
#include <vector>

#include "ingress/responder.h"

namespace dinomo::ingress::ethdev {

class FlowRules {
 public:
  FlowRules() = default;
  ~FlowRules() { clear(); }
  FlowRules(const FlowRules&) = delete;
  FlowRules& operator=(const FlowRules&) = delete;

  /// One rule for each UDP port of `us` and address family that it has: port base + w goes to queue
  /// w modulo `queues`. All or none: false if the port refuses one, with its reason.
  bool make(uint16_t port_id, const Endpoint& us, uint16_t queues, std::string* why);
  /// Before the port is stopped.
  void clear() noexcept;

 private:
  bool add(bool ipv4, uint16_t udp_port, uint16_t queue, std::string* why);

  uint16_t port_id_ = 0;
  std::vector<rte_flow*> rules_;
};

}  // namespace dinomo::ingress::ethdev
