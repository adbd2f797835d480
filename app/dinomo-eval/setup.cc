// SPDX-License-Identifier: BSD-3-Clause
#include "app/dinomo-eval/setup.h"

#include <cstdio>
#include <cstdlib>

#include "drivers/fabric/sim/sim_fabric.h"

namespace dinomo::eval {

namespace {

constexpr uint32_t kQueueDepth = 1024;

template <class T>
T need(Result<T> result, const std::string& what, const std::string& why) {
  if (result) return std::move(*result);
  std::fprintf(stderr, "dinomo-eval: %s: %s\n", what.c_str(), why.c_str());
  std::abort();
}

}  // namespace

fabric::sim::FabricFaults fabric_of(const Calibration& c) noexcept {
  fabric::sim::FabricFaults f;
  f.delay_ns = c.one_way_ns;
  f.jitter_ns = c.jitter_ns;
  f.verb_ns = c.verb_ns;
  f.bytes_per_us = c.bytes_per_us;
  f.atomic_ns = c.atomic_ns;
  f.full_duplex = true;
  return f;
}

std::unique_ptr<fabric::Target> listen(const std::string& address, MutableBytes memory,
                                       uint16_t slots) {
  fabric::PoolExport exported;
  exported.memory = memory;
  exported.kn_slots = slots;
  std::string why;
  auto target = fabric::find_driver("sim")->listen(address, exported, &why);
  return need(std::move(target), address, why);
}

void on_landed(fabric::Target* target, std::function<void(uint64_t offset)> hears) {
  static_cast<fabric::sim::SimTarget*>(target)->landed =
      [hears = std::move(hears)](uint64_t offset, uint64_t, bool persistent) {
        if (!persistent) hears(offset);
      };
}

std::unique_ptr<fabric::Fabric> connect(const std::string& address, uint16_t slot) {
  std::string why;
  auto fabric = fabric::find_driver("sim")->connect({.target = address, .kn_slot = slot}, &why);
  return need(std::move(fabric), address, why);
}

std::unique_ptr<fabric::Queue> open_queue(fabric::Fabric& fabric, SimThread* thread) {
  fabric::sim::SimNetwork* network = fabric::sim::SimNetwork::current();
  network->set_actor(thread);
  auto queue = fabric.open_queue({.depth = kQueueDepth});
  network->set_actor(nullptr);
  auto opened = need(std::move(queue), "queue", "refused");
  thread->add_queue(opened.get());
  return opened;
}

}  // namespace dinomo::eval
