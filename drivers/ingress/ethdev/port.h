// SPDX-License-Identifier: BSD-3-Clause
// Finding, configuring and starting an ethdev port. Control thread only; may allocate and block.
#pragma once

#include <rte_ethdev.h>
#include <rte_mempool.h>

#include <memory>
#include <string>
#include <vector>

#include "drivers/ingress/ethdev/steer.h"
#include "drivers/ingress/ethdev/wait.h"
#include "ingress/driver.h"

namespace dinomo::ingress::ethdev {

struct PoolDeleter {
  void operator()(rte_mempool* pool) const noexcept { rte_mempool_free(pool); }
};
using PoolPointer = std::unique_ptr<rte_mempool, PoolDeleter>;

/// A configured port. Closes it on destruction, after which EAL no longer has it.
class Port {
 public:
  ~Port();
  Port() = default;
  Port(const Port&) = delete;
  Port& operator=(const Port&) = delete;

  /// Finds and configures. `why` gets a sentence on failure.
  Status open(const Config& config, std::string* why);
  /// `us`: whose UDP ports the port is asked to steer by.
  Status start(const Endpoint& us, std::string* why);
  void stop() noexcept;

  uint16_t id() const noexcept { return id_; }
  bool started() const noexcept { return started_; }
  rte_mempool* pool() const noexcept { return pool_.get(); }
  const Capabilities& capabilities() const noexcept { return capabilities_; }
  Interrupt interrupt() const noexcept { return interrupt_; }
  bool fast_path_kernel() const noexcept;  // af_packet or af_xdp: frames come from this kernel
  /// The poll mode driver's socket of a receive queue; -1 if there is none.
  int socket(uint16_t rx_queue) const noexcept;
  /// Of a receive queue of af_packet, with whole packets where frames were cut; else -1.
  int packet_socket(uint16_t rx_queue) const noexcept {
    return device_is("net_af_packet") ? socket(rx_queue) : -1;
  }
  bool link_up() noexcept;
  /// Any thread.
  PortCounters counters() const noexcept;

 private:
  Status find(std::string* why);
  Status read_mac(std::string* why);
  Status make_pool(std::string* why);
  Status configure(bool interrupts, std::string* why);
  Status set_up_queues(std::string* why);
  Status set_up_rx_queue(uint16_t queue, std::string* why);
  Status wait_for_link(std::string* why);
  void choose_queues() noexcept;
  void take_queues(uint16_t wanted) noexcept;
  void choose_steering(const Endpoint& us);
  void choose_wait_method() noexcept;
  void add_xdp_counters(PortCounters* c) const noexcept;
  /// True if a device reads buffers by addresses that are not the process's own.
  bool needs_physical_addresses() const noexcept;
  // netdev.cc
  Status set_mtu(std::string* why);
  Status check_kernel_mtu(std::string* why) const;
  Status check_netdev(std::string* why) const;
  uint32_t ring_frame_bytes() const noexcept;

  std::string named(const std::string& rest) const;
  bool device_is(const char* name) const noexcept { return capabilities_.device == name; }

  Config config_;
  Capabilities capabilities_;
  rte_eth_dev_info info_{};
  PoolPointer pool_;
  FlowRules rules_;
  std::vector<int> sockets_;  // by receive queue
  uint16_t id_ = RTE_MAX_ETHPORTS;
  uint16_t rx_descriptors_ = 0;
  uint16_t tx_descriptors_ = 0;
  bool interrupts_ = false;  // asked for
  Interrupt interrupt_ = Interrupt::kNone;
  bool started_ = false;
};

}  // namespace dinomo::ingress::ethdev
