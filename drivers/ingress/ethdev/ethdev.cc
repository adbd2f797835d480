// SPDX-License-Identifier: BSD-3-Clause
// The `ethdev` ingress: any port that DPDK has a poll mode driver for. EAL must have been
// initialised.
#include <rte_errno.h>
#include <rte_lcore.h>

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "drivers/ingress/ethdev/port.h"
#include "drivers/ingress/ethdev/queue.h"
#include "drivers/ingress/ethdev/wait.h"
#include "ingress/driver.h"

namespace dinomo::ingress::ethdev {

namespace {

constexpr uint32_t kLargePerWorker = 128;  // half being put together, half held by the engine

class EthIngress final : public Ingress {
 public:
  EthIngress() = default;
  ~EthIngress() override { stop(); }
  EthIngress(const EthIngress&) = delete;
  EthIngress& operator=(const EthIngress&) = delete;

  Status open(const Config& config, std::string* why);

  Status start(std::string* why) override;
  void stop() override;

  Queue& queue(uint16_t worker) noexcept override { return *queues_[worker]; }
  WaitSource& wait_source(uint16_t worker) noexcept override { return *waits_[worker]; }
  const Capabilities& capabilities() const noexcept override { return port_.capabilities(); }
  const Endpoint& endpoint() const noexcept override { return shared_.us; }
  PortCounters port_counters() const noexcept override { return port_.counters(); }
  bool link_up() noexcept override { return port_.link_up(); }

 private:
  rte_ring* make_ring(uint16_t slots, std::string* why);
  Status make_queues(const Config& config, std::string* why);
  Status make_rings(const Config& config, std::vector<QueueSetup>* setups, std::string* why);

  // Order matters: queues give their buffers back before the pool goes with the port.
  Port port_;
  PortShared shared_;
  std::vector<RingPointer> rings_;
  std::vector<std::unique_ptr<EthQueue>> queues_;
  std::vector<std::unique_ptr<EthWait>> waits_;
};

Status EthIngress::open(const Config& config, std::string* why) {
  if (const Status s = check_config(config, why); !ok(s)) return s;
  if (const Status s = port_.open(config, why); !ok(s)) return s;
  const Capabilities& c = port_.capabilities();
  shared_.port_id = port_.id();
  shared_.mtu = c.mtu;
  shared_.trust_rx_checksum = !c.rx_checksum_verified;
  shared_.rx_flags_valid = c.rx_checksum_offload;
  shared_.tx_offload = c.tx_checksum_offload;
  shared_.tx_work = c.tx_checksum_offload      ? ChecksumWork::kPseudoOnly
                    : config.ipv4_udp_checksum ? ChecksumWork::kFull
                                               : ChecksumWork::kNoUdp;
  shared_.pool = port_.pool();
  shared_.us.mac = c.mac;
  shared_.us.base_port = config.base_port;
  shared_.us.ports = config.workers;
  shared_.us.shared_port = config.shared_port;
  for (const LocalAddress& a : config.addresses) shared_.us.add(a);
  return make_queues(config, why);
}

rte_ring* EthIngress::make_ring(uint16_t slots, std::string* why) {
  static std::atomic<uint32_t> made{0};
  const std::string name = "dinomo_in" + std::to_string(made.fetch_add(1));
  rte_ring* const ring =
      rte_ring_create(name.c_str(), slots, rte_eth_dev_socket_id(port_.id()), RING_F_SC_DEQ);
  if (ring == nullptr) {
    *why = "not enough memory for a hand-over ring of " + std::to_string(slots) +
           " slots: " + rte_strerror(rte_errno) + "; lower 'handover_slots' or give EAL more";
  } else {
    rings_.emplace_back(ring);
  }
  return ring;
}

Status EthIngress::make_rings(const Config& config, std::vector<QueueSetup>* setups,
                              std::string* why) {
  if (config.workers == 1) return Status::kOk;
  const uint16_t tx_queues = port_.capabilities().tx_queues;
  for (QueueSetup& s : *setups) {
    s.inbox = make_ring(config.handover_slots, why);
    if (s.inbox == nullptr) return Status::kNoSpace;
    if (s.tx_queue >= 0 && s.worker + tx_queues < config.workers) {  // others send through it
      s.tx_inbox = make_ring(config.handover_slots, why);
      if (s.tx_inbox == nullptr) return Status::kNoSpace;
    }
  }
  return Status::kOk;
}

Status EthIngress::make_queues(const Config& config, std::string* why) {
  const Capabilities& c = port_.capabilities();
  std::vector<QueueSetup> setups(config.workers);
  for (uint16_t w = 0; w < config.workers; ++w) {
    queues_.push_back(std::make_unique<EthQueue>(shared_));
    waits_.push_back(std::make_unique<EthWait>());
    shared_.workers.push_back(queues_.back().get());
    setups[w].worker = w;
    setups[w].rx_queue = w < c.rx_queues ? w : -1;
    setups[w].tx_queue = w < c.tx_queues ? w : -1;
    if (setups[w].tx_queue < 0) setups[w].tx_owner = queues_[w % c.tx_queues].get();
  }
  if (const Status s = make_rings(config, &setups, why); !ok(s)) return s;
  const uint32_t large =
      config.large_datagrams != 0 ? config.large_datagrams : kLargePerWorker * config.workers;
  if (!shared_.large.make(large, rte_eth_dev_socket_id(port_.id()))) {
    *why = "not enough memory for " + std::to_string(large) +
           " reassembled datagrams of 64 KiB; lower 'large_datagrams'";
    return Status::kNoSpace;
  }
  for (uint16_t w = 0; w < config.workers; ++w) queues_[w]->setup(setups[w]);
  return Status::kOk;
}

Status EthIngress::start(std::string* why) {
  if (port_.started()) return Status::kOk;
  if (const Status s = port_.start(shared_.us, why); !ok(s)) return s;
  const Capabilities& c = port_.capabilities();
  const auto workers = static_cast<uint16_t>(waits_.size());
  for (uint16_t w = 0; w < workers; ++w) {
    const bool polls_port = w < c.rx_queues;
    if (polls_port) queues_[w]->set_packet_socket(port_.packet_socket(w));
    waits_[w]->attach(queues_[w].get(), port_.id(), polls_port ? w : -1,
                      polls_port ? port_.socket(w) : -1,
                      polls_port ? port_.interrupt() : Interrupt::kNone,
                      polls_port && c.wait == WaitMethod::kNone);
  }
  return Status::kOk;
}

void EthIngress::stop() {
  port_.stop();
  for (const auto& q : queues_) q->discard();
}

Result<std::unique_ptr<Ingress>> open(const Config& config, std::string* why) {
  auto ingress = std::make_unique<EthIngress>();
  if (const Status s = ingress->open(config, why); !ok(s)) return std::unexpected(s);
  return ingress;
}

constexpr Driver kEthdev{.name = "ethdev",
                         .help = "a DPDK port: NIC, af_packet, af_xdp, tap, memif, vhost",
                         .open = open};
DINOMO_INGRESS_DRIVER(kEthdev);

}  // namespace

}  // namespace dinomo::ingress::ethdev
