// SPDX-License-Identifier: BSD-3-Clause
#include "test/support/memif_pair.h"

#include <rte_cycles.h>
#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_mbuf.h>
#include <sched.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>

#include "drivers/ingress/ethdev/interrupts.h"

namespace dinomo::test {

using ingress::ethdev::wait_for_interrupt_thread;

namespace {

constexpr uint16_t kFarDescriptors = 1024;
constexpr unsigned kFarBuffers = 4095;
constexpr unsigned kFarCache = 128;
constexpr int kLinkTries = 500;
constexpr uint32_t kLinkPauseUs = 10'000;
constexpr uint32_t kSettlePauseUs = 1000;

std::string temporary_directory() {
  const char* directory = std::getenv("TMPDIR");
  return directory != nullptr ? directory : "/tmp";
}

bool connected(uint16_t port) {
  rte_eth_link link{};
  return rte_eth_link_get_nowait(port, &link) == 0 && link.link_status != 0;
}

}  // namespace

bool start_eal(const std::string& lcores) {
  const std::string map =
      "--lcores=" + (lcores.empty() ? "0@" + std::to_string(sched_getcpu()) : lcores);
  const char* arguments[] = {"test",     "--no-huge",      "--no-shconf",       "-m",       "128",
                             "--no-pci", "--no-telemetry", "--log-level=error", map.c_str()};
  if (rte_eal_init(std::size(arguments), const_cast<char**>(arguments)) >= 0) return true;
  std::fprintf(stderr, "EAL does not start: %s\n", rte_strerror(rte_errno));
  return false;
}

VirtualDevice::~VirtualDevice() {
  if (name_.empty()) return;
  wait_for_interrupt_thread();
  rte_eal_hotplug_remove("vdev", name_.c_str());
  wait_for_interrupt_thread();
}

bool VirtualDevice::make(const std::string& name, const std::string& arguments) {
  if (rte_eal_hotplug_add("vdev", name.c_str(), arguments.c_str()) != 0) return false;
  name_ = name;
  return true;
}

MemifPair::~MemifPair() {
  stop_far_end();
  rte_mempool_free(far_pool_);
  if (!socket_.empty()) unlink(socket_.c_str());
}

bool MemifPair::make(uint16_t queues, std::string* why) {
  static int made = 0;
  const std::string number = std::to_string(made++);
  queues_ = queues;
  socket_ = temporary_directory() + "/dinomo-memif-" + std::to_string(getpid()) + "-" + number;
  const std::string common = ",id=0,socket-abstract=no,socket=" + socket_;
  if (!near_.make("net_memif_near" + number, "role=server" + common) ||
      !far_.make("net_memif_far" + number, "role=client" + common)) {
    *why = "cannot make a memif pair (apt install librte-net-memif23)";
    return false;
  }
  if (rte_eth_dev_get_port_by_name(near_.name().c_str(), &near_port_) != 0 ||
      rte_eth_dev_get_port_by_name(far_.name().c_str(), &far_port_) != 0) {
    *why = "a memif port vanished";
    return false;
  }
  const std::string pool = "memif_far" + number;
  far_pool_ = rte_pktmbuf_pool_create(pool.c_str(), kFarBuffers, kFarCache, 0,
                                      RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
  if (far_pool_ != nullptr && configure_far_end()) return true;
  *why = "the far memif port cannot be configured";
  return false;
}

bool MemifPair::configure_far_end() {
  const rte_eth_conf conf{};
  if (rte_eth_dev_configure(far_port_, queues_, queues_, &conf) != 0) return false;
  for (uint16_t q = 0; q < queues_; ++q) {
    if (rte_eth_rx_queue_setup(far_port_, q, kFarDescriptors, 0, nullptr, far_pool_) != 0 ||
        rte_eth_tx_queue_setup(far_port_, q, kFarDescriptors, 0, nullptr) != 0) {
      return false;
    }
  }
  rte_ether_addr mac{};
  if (rte_eth_macaddr_get(far_port_, &mac) != 0) return false;
  std::memcpy(far_mac_.data(), mac.addr_bytes, far_mac_.size());
  return true;
}

bool MemifPair::start_far_end(std::string* why) {
  if (rte_eth_dev_start(far_port_) != 0) {
    *why = "the far memif port does not start";
    return false;
  }
  for (int i = 0; i < kLinkTries; ++i) {
    if (connected(far_port_) && connected(near_port_)) {
      // The client's first poll is what gives the server buffers to send into.
      rte_mbuf* none = nullptr;
      for (uint16_t q = 0; q < queues_; ++q) rte_eth_rx_burst(far_port_, q, &none, 1);
      return true;
    }
    rte_delay_us_sleep(kLinkPauseUs);
  }
  *why = "the memif pair does not connect";
  return false;
}

void MemifPair::stop_far_end() {
  if (far_port_ == RTE_MAX_ETHPORTS) return;
  wait_for_interrupt_thread();
  rte_eth_dev_stop(far_port_);
  for (int i = 0; i < kLinkTries && connected(near_port_); ++i) {
    rte_delay_us_sleep(kSettlePauseUs);
  }
  wait_for_interrupt_thread();
  rte_eth_dev_close(far_port_);
  far_port_ = RTE_MAX_ETHPORTS;
  wait_for_interrupt_thread();
}

}  // namespace dinomo::test
