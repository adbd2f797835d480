// SPDX-License-Identifier: BSD-3-Clause
// An own DPDK port: EAL, the ethdev ingress driver, one queue and one UDP port a thread.
#include <fmt/format.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <sched.h>

#include <chrono>
#include <cstring>
#include <stdexcept>
#include <thread>
#include <vector>

#include "app/dinomo-bench/port.h"
#include "client/ingress_transport.h"
#include "drivers/ingress/ethdev/hints.h"
#include "ingress/driver.h"

namespace dinomo::bench {

namespace {

using ingress::MacAddress;

constexpr int kArpTries = 20;
constexpr auto kArpWait = std::chrono::milliseconds(100);

[[noreturn]] void fail(const std::string& text) { throw std::runtime_error(text); }

void start_eal(const std::vector<std::string>& arguments) {
  std::vector<std::string> all{"dinomo-bench"};
  all.insert(all.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  argv.reserve(all.size());
  for (std::string& a : all) argv.push_back(a.data());
  // EAL pins this thread, and threads inherit that; where they run is the caller's business.
  cpu_set_t cpus;
  const bool known = sched_getaffinity(0, sizeof cpus, &cpus) == 0;
  if (rte_eal_init(static_cast<int>(argv.size()), argv.data()) < 0) {
    fail(
        fmt::format("EAL does not start ({}). Its arguments go after `--`; without hugepages they "
                    "include --no-huge -m 256",
                    rte_strerror(rte_errno)));
  }
  if (known) sched_setaffinity(0, sizeof cpus, &cpus);
}

MacAddress parse_mac(const std::string& text) {
  MacAddress mac{};
  unsigned b[6];
  char end = 0;
  if (std::sscanf(text.c_str(), "%2x:%2x:%2x:%2x:%2x:%2x%c", &b[0], &b[1], &b[2], &b[3], &b[4],
                  &b[5], &end) != 6) {
    fail(
        fmt::format("--server-mac {}: expected six hexadecimal bytes, as 02:00:00:00:00:01", text));
  }
  for (size_t i = 0; i < 6; ++i) mac[i] = static_cast<uint8_t>(b[i]);
  return mac;
}

/// Asks who has an IPv4 address. For use before any worker does: it receives on the port's queues
/// itself and drops whatever else comes.
class Arp {
 public:
  Arp(uint16_t port, uint16_t queues, const ingress::Endpoint& us)
      : port_(port),
        queues_(queues),
        us_(us),
        pool_(rte_pktmbuf_pool_create("arp", 63, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY)) {}
  ~Arp() { rte_mempool_free(pool_); }
  Arp(const Arp&) = delete;
  Arp& operator=(const Arp&) = delete;

  bool resolve(uint32_t ip, MacAddress* out) {
    for (int attempt = 0; attempt < kArpTries && pool_ != nullptr; ++attempt) {
      ask(ip);
      const auto until = std::chrono::steady_clock::now() + kArpWait;
      while (std::chrono::steady_clock::now() < until) {
        if (listen(ip, out)) return true;
      }
    }
    return false;
  }

 private:
  void ask(uint32_t ip) {
    rte_mbuf* frame = rte_pktmbuf_alloc(pool_);
    if (frame == nullptr) return;
    constexpr MacAddress kBroadcast{0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    const ingress::EthernetHeader ethernet{kBroadcast, us_.mac, ingress::net16(ingress::kTypeArp)};
    const ingress::ArpPacket arp{ingress::net16(1),
                                 ingress::net16(ingress::kTypeIpv4),
                                 6,
                                 4,
                                 ingress::net16(1),
                                 us_.mac,
                                 us_.ipv4[0],
                                 MacAddress{},
                                 ip};
    constexpr uint16_t kFrameBytes = 60;  // Ethernet's least
    char* const at = rte_pktmbuf_append(frame, kFrameBytes);
    std::memset(at, 0, kFrameBytes);
    std::memcpy(at, &ethernet, sizeof ethernet);
    std::memcpy(at + sizeof ethernet, &arp, sizeof arp);
    if (rte_eth_tx_burst(port_, 0, &frame, 1) != 1) rte_pktmbuf_free(frame);
  }

  bool listen(uint32_t ip, MacAddress* out) {
    bool found = false;
    for (uint16_t q = 0; q < queues_; ++q) {
      rte_mbuf* frames[32];
      const uint16_t n = rte_eth_rx_burst(port_, q, frames, 32);
      for (uint16_t i = 0; i < n; ++i) {
        ingress::ArpPacket arp{};
        const auto* const data = rte_pktmbuf_mtod(frames[i], const std::byte*);
        const size_t bytes = frames[i]->data_len;
        if (bytes >= sizeof(ingress::EthernetHeader) + sizeof arp) {
          const auto ethernet = load<ingress::EthernetHeader>(data);
          arp = load<ingress::ArpPacket>(data + sizeof ethernet);
          const bool reply = ethernet.type == ingress::net16(ingress::kTypeArp) &&
                             arp.operation == ingress::net16(2) && arp.sender_ip == ip;
          if (reply) *out = arp.sender_mac;
          found = found || reply;
        }
        rte_pktmbuf_free(frames[i]);
      }
    }
    return found;
  }

  uint16_t port_;
  uint16_t queues_;
  const ingress::Endpoint& us_;
  rte_mempool* pool_;
};

class DpdkPort final : public Port {
 public:
  DpdkPort(const Settings& settings, const client::Address& server) {
    start_eal(settings.eal_arguments);
    open(settings);
    local_.next_hop_mac =
        settings.server_mac.empty() ? ask_for(server) : parse_mac(settings.server_mac);
  }
  ~DpdkPort() override {
    if (ingress_) ingress_->stop();
    ingress_.reset();
    rte_eal_cleanup();
  }

  const char* name() const noexcept override { return "dpdk"; }

  std::unique_ptr<client::Transport> transport(uint32_t index) override {
    client::IngressTransport::Local local = local_;
    local.address.port = static_cast<uint16_t>(local.address.port + index);
    return std::make_unique<client::IngressTransport>(
        &ingress_->queue(static_cast<uint16_t>(index)), local);
  }

  // Gives the thread an lcore id, without which every buffer comes from the shared pool.
  void enter_thread() override { rte_thread_register(); }
  void leave_thread() override { rte_thread_unregister(); }

 private:
  void open(const Settings& settings) {
    ingress::Config config;
    config.port = settings.dpdk_port;
    config.base_port = settings.udp_port;
    config.workers = static_cast<uint16_t>(settings.threads);
    const auto address = ingress::parse_address(settings.ip);
    if (!address) fail(fmt::format("--ip {}: expected an address as 10.0.0.1/24", settings.ip));
    config.addresses.push_back(*address);
    std::string why;
    auto opened = ingress::find_driver("ethdev")->open(config, &why);
    if (!opened) fail(why);
    ingress_ = std::move(*opened);
    if (ingress_->start(&why) != Status::kOk) fail(why);
    const ingress::Capabilities& c = ingress_->capabilities();
    if (rte_eth_dev_get_port_by_name(c.port.c_str(), &local_.port_id) != 0) {
      fail(fmt::format("port {} has gone", c.port));
    }
    local_.address = {address->address, settings.udp_port};
  }

  MacAddress ask_for(const client::Address& server) {
    const ingress::Endpoint& us = ingress_->endpoint();
    if (!server.is_ipv4() || us.ipv4_count == 0) {
      fail("over IPv6 the server's MAC address must be given: --server-mac");
    }
    MacAddress mac{};
    Arp arp(local_.port_id, ingress_->capabilities().rx_queues, us);
    if (!arp.resolve(ingress::unmapped_ipv4(server.ip), &mac)) {
      fail(fmt::format(
          "nobody answers ARP for {} on port {}; is dinomo-kn running at the other end? "
          "Behind a router name its MAC address: --server-mac",
          server.text(), ingress_->capabilities().port));
    }
    return mac;
  }

  std::unique_ptr<ingress::Ingress> ingress_;
  client::IngressTransport::Local local_;
};

}  // namespace

std::unique_ptr<Port> open_dpdk_port(const Settings& settings, const client::Address& server) {
  return std::make_unique<DpdkPort>(settings, server);
}

}  // namespace dinomo::bench
