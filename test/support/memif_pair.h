// SPDX-License-Identifier: BSD-3-Clause
// Two memif ports of this process, joined: one for the code under test, one for the test. Needs no
// root and no hugepages.
#pragma once

#include <rte_ethdev.h>
#include <rte_mempool.h>

#include <string>

#include "ingress/responder.h"

namespace dinomo::test {

/// EAL without hugepages, files and PCI; says why if it does not start. `lcores` as for --lcores;
/// empty: one, on the CPU that this thread is on.
bool start_eal(const std::string& lcores = "");

/// A vdev that lives as long as this does.
class VirtualDevice {
 public:
  VirtualDevice() = default;
  ~VirtualDevice();
  VirtualDevice(const VirtualDevice&) = delete;
  VirtualDevice& operator=(const VirtualDevice&) = delete;

  bool make(const std::string& name, const std::string& arguments);
  const std::string& name() const noexcept { return name_; }

 private:
  std::string name_;
};

class MemifPair {
 public:
  MemifPair() = default;
  ~MemifPair();
  MemifPair(const MemifPair&) = delete;
  MemifPair& operator=(const MemifPair&) = delete;

  /// Makes both ports and configures the far one.
  bool make(uint16_t queues, std::string* why);
  /// After the near port was started by whoever has it; waits, bounded, until the two are
  /// connected.
  bool start_far_end(std::string* why);

  /// Before the near port is closed: memif's own thread tidies up after a peer that leaves, and
  /// must not do so while the port is being closed from here.
  void stop_far_end();

  const std::string& near_name() const noexcept { return near_.name(); }
  uint16_t near_port() const noexcept { return near_port_; }
  uint16_t far_port() const noexcept { return far_port_; }
  uint16_t queues() const noexcept { return queues_; }
  rte_mempool* far_pool() const noexcept { return far_pool_; }
  ingress::MacAddress far_mac() const noexcept { return far_mac_; }

 private:
  bool configure_far_end();

  VirtualDevice near_;
  VirtualDevice far_;
  std::string socket_;
  rte_mempool* far_pool_ = nullptr;
  ingress::MacAddress far_mac_{};
  uint16_t near_port_ = RTE_MAX_ETHPORTS;
  uint16_t far_port_ = RTE_MAX_ETHPORTS;
  uint16_t queues_ = 1;
};

}  // namespace dinomo::test
