// SPDX-License-Identifier: BSD-3-Clause
// What every node of a simulated cluster shares: time, networks, the trace.
#pragma once

#include <functional>
#include <string>

#include "drivers/fabric/sim/sim_network.h"
#include "drivers/ingress/sim/sim_ingress.h"
#include "sim/event_loop.h"
#include "sim/network.h"

namespace dinomo::world {

/// One a thread at a time: the sim drivers find their networks through it.
struct Environment {
  explicit Environment(uint64_t seed) : network(&loop, seed * 3 + 1), fabric(&loop, seed * 3 + 2) {
    fabric::sim::SimNetwork::use(&fabric);
    ingress::sim::SimIngress::use(&network);
  }
  ~Environment() {
    fabric::sim::SimNetwork::use(nullptr);
    ingress::sim::SimIngress::use(nullptr);
  }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

  void say(const std::string& who, const std::string& what) const {
    if (trace) trace(loop.now_ns(), who, what);
  }

  sim::EventLoop loop;
  sim::Network network;
  fabric::sim::SimNetwork fabric;
  std::function<void(uint64_t at_ns, const std::string& who, const std::string& what)> trace;
};

}  // namespace dinomo::world
