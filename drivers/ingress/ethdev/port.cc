// SPDX-License-Identifier: BSD-3-Clause
#include "drivers/ingress/ethdev/port.h"

#include <linux/if_packet.h>
#include <linux/if_xdp.h>
#include <rte_cycles.h>
#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_mbuf_pool_ops.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdlib>
#include <cstring>

#include "drivers/ingress/ethdev/hints.h"
#include "drivers/ingress/ethdev/interrupts.h"
#include "drivers/ingress/ethdev/queue.h"

namespace dinomo::ingress::ethdev {

namespace {

#ifndef AF_XDP
constexpr int kAfXdp = 44;
#else
constexpr int kAfXdp = AF_XDP;
#endif

#ifndef SOL_XDP
constexpr int kSolXdp = 283;
#else
constexpr int kSolXdp = SOL_XDP;
#endif

constexpr int kWholePacketsBytes = 16 << 20;

constexpr uint32_t kPoolCache = 256;           // buffers that an lcore keeps to itself
constexpr uint32_t kInFlightPerWorker = 1024;  // received or allocated, and held by the engine
constexpr uint64_t kRxChecksums = RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM;
constexpr uint64_t kTxChecksums = RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM;
constexpr uint32_t kBindTries = 10;  // af_xdp: EBUSY for up to 0.3 s after another's close
constexpr uint32_t kBindPauseMs = 100;
constexpr uint32_t kLinkPauseMs = 10;

bool is_number(const std::string& text) noexcept {
  return !text.empty() && text.size() <= 5 &&
         std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

/// As rte_pktmbuf_pool_create(), which always keeps an object within a page. Without hugepages that
/// leaves a gap behind every buffer, and net_af_xdp reckons without gaps: it registers count times
/// the object's size with the kernel, which then drops, silently, every frame sent from a buffer
/// beyond that. `dense`: no gaps. Nullptr and rte_errno on failure.
rte_mempool* make_buffer_pool(const char* name, uint32_t count, uint32_t cache, uint16_t data_room,
                              int socket_id, bool dense) {
  rte_pktmbuf_pool_private layout{};
  layout.mbuf_data_room_size = data_room;
  const auto element_bytes = static_cast<uint32_t>(sizeof(rte_mbuf) + data_room);
  PoolPointer pool(rte_mempool_create_empty(name, count, element_bytes, cache, sizeof layout,
                                            socket_id, dense ? RTE_MEMPOOL_F_NO_IOVA_CONTIG : 0));
  if (pool == nullptr) return nullptr;
  int error = rte_mempool_set_ops_byname(pool.get(), rte_mbuf_best_mempool_ops(), nullptr);
  if (error == 0) {
    rte_pktmbuf_pool_init(pool.get(), &layout);
    error = std::min(rte_mempool_populate_default(pool.get()), 0);
  }
  if (error != 0) {
    pool.reset();
    rte_errno = -error;
    return nullptr;
  }
  rte_mempool_obj_iter(pool.get(), rte_pktmbuf_init, nullptr);
  return pool.release();
}

/// Packets larger than a frame of the ring wait in the socket's queue.
void keep_whole_packets(int socket) noexcept {
  const int on = 1;
  setsockopt(socket, SOL_PACKET, PACKET_COPY_THRESH, &on, sizeof on);
  if (setsockopt(socket, SOL_SOCKET, SO_RCVBUFFORCE, &kWholePacketsBytes,
                 sizeof kWholePacketsBytes) != 0) {
    setsockopt(socket, SOL_SOCKET, SO_RCVBUF, &kWholePacketsBytes, sizeof kWholePacketsBytes);
  }
}

/// Peers of these come and go: having none is no error.
bool link_is_peer(const std::string& device) noexcept {
  return device == "net_memif" || device == "net_vhost" || device == "net_virtio_user" ||
         device == "net_virtio";
}

}  // namespace

std::string Port::named(const std::string& rest) const {
  return "port " + capabilities_.port + " (" + capabilities_.device + "): " + rest;
}

Port::~Port() {
  stop();
  if (id_ == RTE_MAX_ETHPORTS) return;
  wait_for_interrupt_thread();
  rte_eth_dev_close(id_);
  wait_for_interrupt_thread();
}

Status Port::open(const Config& config, std::string* why) {
  config_ = config;
  if (const Status s = find(why); !ok(s)) return s;
  choose_queues();
  rx_descriptors_ = config.rx_descriptors;
  tx_descriptors_ = config.tx_descriptors;
  // Kernel ports have none and would only complain; nor do the memory-only ones.
  const bool may_interrupt = !fast_path_kernel() && !device_is("net_ring") &&
                             !device_is("net_null") && !device_is("net_pcap") &&
                             !device_is("net_memif");
  Status s = configure(may_interrupt, why);
  if (!ok(s) && may_interrupt && s != Status::kInvalid) s = configure(false, why);
  if (!ok(s) && s != Status::kInvalid && capabilities_.rx_queues > 1) {
    // A bonded port says that it has 1024, and has as many as the ports that it is made of.
    take_queues(1);
    s = configure(false, why);
  }
  if (!ok(s)) return s;
  if (s = read_mac(why); !ok(s)) return s;
  if (s = make_pool(why); !ok(s)) return s;
  return set_up_queues(why);
}

Status Port::find(std::string* why) {
  uint16_t id = RTE_MAX_ETHPORTS;
  if (config_.port.empty()) {
    id = static_cast<uint16_t>(rte_eth_find_next(0));
  } else if (rte_eth_dev_get_port_by_name(config_.port.c_str(), &id) != 0 &&
             is_number(config_.port)) {
    id = static_cast<uint16_t>(std::min(std::stoul(config_.port), 65535ul));
  }
  if (id >= RTE_MAX_ETHPORTS || rte_eth_dev_is_valid_port(id) == 0) {
    *why = missing_port(config_.port);
    return Status::kNotFound;
  }
  id_ = id;
  char name[RTE_ETH_NAME_MAX_LEN] = "";
  rte_eth_dev_get_name_by_port(id, name);
  capabilities_.port = name;
  if (const int error = rte_eth_dev_info_get(id, &info_); error != 0) {
    *why = named("cannot be asked what it is: " + reason(error));
    return Status::kInternal;
  }
  capabilities_.device = info_.driver_name;
  return Status::kOk;
}

/// Of a configured port: bonded ones have none before.
Status Port::read_mac(std::string* why) {
  rte_ether_addr mac{};
  if (const int error = rte_eth_macaddr_get(id_, &mac); error != 0) {
    *why = named("has no MAC address: " + reason(error));
    return Status::kInternal;
  }
  std::memcpy(capabilities_.mac.data(), mac.addr_bytes, sizeof mac.addr_bytes);
  return Status::kOk;
}

void Port::choose_queues() noexcept {
  const uint16_t wanted =
      config_.queues != 0 ? std::min(config_.queues, config_.workers) : config_.workers;
  take_queues(wanted);
  Capabilities& c = capabilities_;
  c.rx_checksum_offload = (info_.rx_offload_capa & kRxChecksums) == kRxChecksums;
  c.tx_checksum_offload = (info_.tx_offload_capa & kTxChecksums) == kTxChecksums;
  c.scattered_tx = (info_.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS) != 0;
  c.rx_checksum_verified = config_.rx_checksum == RxChecksum::kVerify ||
                           (config_.rx_checksum == RxChecksum::kAuto && !fast_path_kernel());
}

void Port::take_queues(uint16_t wanted) noexcept {
  capabilities_.rx_queues = std::max<uint16_t>(1, std::min(wanted, info_.max_rx_queues));
  capabilities_.tx_queues = std::max<uint16_t>(1, std::min(wanted, info_.max_tx_queues));
}

bool Port::fast_path_kernel() const noexcept {
  return device_is("net_af_packet") || device_is("net_af_xdp");
}

bool Port::needs_physical_addresses() const noexcept {
  return rte_eal_iova_mode() != RTE_IOVA_VA && !fast_path_kernel();
}

Status Port::configure(bool interrupts, std::string* why) {
  Capabilities& c = capabilities_;
  rte_eth_conf conf{};
  conf.intr_conf.rxq = interrupts ? 1 : 0;
  if (c.rx_checksum_offload) conf.rxmode.offloads |= kRxChecksums;
  if (c.tx_checksum_offload) conf.txmode.offloads |= kTxChecksums;
  // Allowed: every frame comes from the one pool, with a single reference.
  conf.txmode.offloads |= info_.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE;
  const uint64_t hashes =
      info_.flow_type_rss_offloads & (RTE_ETH_RSS_NONFRAG_IPV4_UDP | RTE_ETH_RSS_NONFRAG_IPV6_UDP);
  c.steering = config_.workers == 1 ? Steering::kSingle : Steering::kSoftware;
  if (c.rx_queues > 1 && hashes != 0) {
    conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
    conf.rx_adv_conf.rss_conf.rss_hf = hashes;
    c.steering = Steering::kRss;
  }
  const int error = rte_eth_dev_configure(id_, c.rx_queues, c.tx_queues, &conf);
  if (error != 0) {
    *why =
        named("refuses " + std::to_string(c.rx_queues) + " receive and " +
              std::to_string(c.tx_queues) + " transmit queues: " + reason(error) + "; it allows " +
              std::to_string(info_.max_rx_queues) + " and " + std::to_string(info_.max_tx_queues));
    return Status::kUnsupported;
  }
  interrupts_ = interrupts;
  return set_mtu(why);
}

Status Port::make_pool(std::string* why) {
  rte_eth_dev_adjust_nb_rx_tx_desc(id_, &rx_descriptors_, &tx_descriptors_);
  Capabilities& c = capabilities_;
  uint32_t count = config_.buffers;
  if (count == 0) {
    const uint32_t handover = config_.workers > 1 ? config_.handover_slots : 0;
    count = c.rx_queues * uint32_t{rx_descriptors_} + c.tx_queues * uint32_t{tx_descriptors_} +
            config_.workers * (kInFlightPerWorker + 2 * kPoolCache + kPendingMax + handover);
    count = std::bit_ceil(count) - 1;  // rte_mempool's best size
  }
  const uint32_t frame_bytes = c.mtu + RTE_ETHER_HDR_LEN + RTE_ETHER_CRC_LEN;
  uint32_t room = std::max<uint32_t>(frame_bytes, RTE_MBUF_DEFAULT_DATAROOM);
  // It wants a buffer to hold all that a frame of its ring can.
  if (device_is("net_af_packet")) room = std::max(room, ring_frame_bytes());
  const auto data_room =
      static_cast<uint16_t>(RTE_PKTMBUF_HEADROOM + RTE_ALIGN_CEIL(room, RTE_CACHE_LINE_SIZE));
  const uint32_t cache = std::min(kPoolCache, count / 8);
  // A name may be used again only after the pool is gone; a counter spares us the question.
  static std::atomic<uint32_t> made{0};
  const std::string name = "dinomo_rx" + std::to_string(made.fetch_add(1));
  pool_.reset(make_buffer_pool(name.c_str(), count, cache, data_room, rte_eth_dev_socket_id(id_),
                               !needs_physical_addresses()));
  if (pool_ == nullptr) {
    const uint64_t mib = uint64_t{count} * (data_room + sizeof(rte_mbuf) + 64) >> 20;
    *why = named("not enough memory for " + std::to_string(count) + " packet buffers (" +
                 std::to_string(mib) + " MiB): " + reason(rte_errno) +
                 "; give EAL more (hugepages, or a larger -m with --no-huge), or lower 'buffers', "
                 "'rx_descriptors' or 'workers'");
    return Status::kNoSpace;
  }
  if (device_is("net_af_xdp") && pool_->nb_mem_chunks != 1) {
    *why = named("its " + std::to_string(count) + " packet buffers lie in " +
                 std::to_string(pool_->nb_mem_chunks) +
                 " pieces of memory, and af_xdp can lend the kernel only one; give EAL more "
                 "memory, or lower 'buffers', 'rx_descriptors' or 'workers'");
    return Status::kNoSpace;
  }
  c.buffers = count;
  return Status::kOk;
}

Status Port::set_up_rx_queue(uint16_t queue, std::string* why) {
  const int socket_id = rte_eth_dev_socket_id(id_);
  const std::vector<int> before = sockets_of(kAfXdp);
  int error = 0;
  for (uint32_t i = 0; i < kBindTries; ++i) {
    error = rte_eth_rx_queue_setup(id_, queue, rx_descriptors_, static_cast<unsigned>(socket_id),
                                   nullptr, pool_.get());
    if (error == 0 || !device_is("net_af_xdp")) break;
    rte_delay_us_sleep(kBindPauseMs * 1000);
  }
  if (error != 0) {
    *why = named("receive queue " + std::to_string(queue) + " of " +
                 std::to_string(rx_descriptors_) + " descriptors: " + reason(error) +
                 (device_is("net_af_xdp")
                      ? "; af_xdp needs root, and the netdev to itself: is another program on it?"
                      : "; try another 'rx_descriptors'"));
    return Status::kUnsupported;
  }
  if (device_is("net_af_xdp")) {  // its socket has no name to ask for; it is the new one
    for (const int candidate : sockets_of(kAfXdp)) {
      if (std::ranges::find(before, candidate) == before.end()) sockets_[queue] = candidate;
    }
  }
  return Status::kOk;
}

Status Port::set_up_queues(std::string* why) {
  const auto socket_id = static_cast<unsigned>(rte_eth_dev_socket_id(id_));
  sockets_.assign(capabilities_.rx_queues, -1);
  for (uint16_t q = 0; q < capabilities_.rx_queues; ++q) {
    if (const Status s = set_up_rx_queue(q, why); !ok(s)) return s;
  }
  for (uint16_t q = 0; q < capabilities_.tx_queues; ++q) {
    const int error = rte_eth_tx_queue_setup(id_, q, tx_descriptors_, socket_id, nullptr);
    if (error != 0) {
      *why =
          named("transmit queue " + std::to_string(q) + " of " + std::to_string(tx_descriptors_) +
                " descriptors: " + reason(error) + "; try another 'tx_descriptors'");
      return Status::kUnsupported;
    }
  }
  return Status::kOk;
}

Status Port::start(const Endpoint& us, std::string* why) {
  if (const Status s = check_netdev(why); !ok(s)) return s;
  int error = rte_eth_dev_start(id_);
  if (error != 0 && interrupts_) {  // some ports take the setting and fail only here
    if (const Status s = configure(false, why); !ok(s)) return s;
    if (const Status s = set_up_queues(why); !ok(s)) return s;
    error = rte_eth_dev_start(id_);
  }
  if (error != 0) {
    *why = named("does not start: " + reason(error));
    return Status::kUnreachable;
  }
  started_ = true;
  // Not every port can, and those that cannot hand over every frame anyway.
  if (config_.promiscuous) rte_eth_promiscuous_enable(id_);
  rte_eth_allmulticast_enable(id_);  // solicited-node groups of IPv6
  if (const Status s = wait_for_link(why); !ok(s)) return s;
  choose_steering(us);
  choose_wait_method();
  rte_eth_stats_reset(id_);
  return Status::kOk;
}

void Port::choose_steering(const Endpoint& us) {
  Capabilities& c = capabilities_;
  if (config_.workers == 1) return;
  if (c.rx_queues == 1) {
    c.steering_why = "the port has one receive queue";
  } else if (rules_.make(id_, us, c.rx_queues, &c.steering_why)) {
    c.steering = Steering::kHardware;
  }
}

void Port::stop() noexcept {
  rules_.clear();
  if (!started_) return;
  wait_for_interrupt_thread();
  rte_eth_dev_stop(id_);
  started_ = false;
}

PortCounters Port::counters() const noexcept {
  rte_eth_stats stats{};
  if (rte_eth_stats_get(id_, &stats) != 0) return {};
  PortCounters c{.frames_in = stats.ipackets,
                 .frames_out = stats.opackets,
                 .bytes_in = stats.ibytes,
                 .bytes_out = stats.obytes,
                 .missed = stats.imissed,
                 .errors_in = stats.ierrors,
                 .errors_out = stats.oerrors,
                 .no_buffer = stats.rx_nombuf};
  if (device_is("net_af_xdp")) add_xdp_counters(&c);
  return c;
}

/// What the kernel dropped between its ring and ours; the poll mode driver tells only part of it.
void Port::add_xdp_counters(PortCounters* c) const noexcept {
  for (const int socket : sockets_) {
    xdp_statistics x{};
    socklen_t bytes = sizeof x;
    if (socket < 0 || getsockopt(socket, kSolXdp, XDP_STATISTICS, &x, &bytes) != 0) continue;
    c->missed += x.rx_ring_full;
    c->no_buffer += x.rx_fill_ring_empty_descs;
    c->errors_in += x.rx_invalid_descs;
    c->errors_out += x.tx_invalid_descs;
  }
}

bool Port::link_up() noexcept {
  rte_eth_link link{};
  capabilities_.link_up = rte_eth_link_get_nowait(id_, &link) == 0 && link.link_status != 0;
  return capabilities_.link_up;
}

Status Port::wait_for_link(std::string* why) {
  const uint32_t tries =
      link_is_peer(capabilities_.device) ? 1 : config_.link_timeout_ms / kLinkPauseMs + 1;
  for (uint32_t i = 0; i < tries; ++i) {
    if (link_up()) return Status::kOk;
    if (i + 1 < tries) rte_delay_us_sleep(kLinkPauseMs * 1000);
  }
  if (link_is_peer(capabilities_.device)) return Status::kOk;
  *why = named("no link after " + std::to_string(config_.link_timeout_ms) +
               " ms; check the cable or bring the other end up, or raise 'link_timeout_ms'");
  return Status::kTimeout;
}

void Port::choose_wait_method() noexcept {
  Capabilities& c = capabilities_;
  if (device_is("net_af_packet")) {
    // Opened when EAL made the port, one a queue, in order.
    const std::vector<int> found = sockets_of(AF_PACKET, static_cast<int>(info_.if_index));
    if (found.size() >= sockets_.size()) {
      std::copy_n(found.begin(), sockets_.size(), sockets_.begin());
    }
    for (const int socket : sockets_) keep_whole_packets(socket);
  }
  const bool all_sockets = std::ranges::none_of(sockets_, [](int s) { return s < 0; });
  c.wait = all_sockets ? WaitMethod::kSocket : WaitMethod::kNone;
  if (!interrupts_) return;
  // The only way to learn whether a port has interrupts is to ask for one.
  const int error = rte_eth_dev_rx_intr_enable(id_, 0);
  if (error == 0) rte_eth_dev_rx_intr_disable(id_, 0);
  if ((error != 0 && error != -ENOTSUP) || rte_eth_dev_rx_intr_ctl_q_get_fd(id_, 0) < 0) return;
  interrupt_ = error == 0 ? Interrupt::kArmed : Interrupt::kLevel;
  c.wait = WaitMethod::kRxInterrupt;
}

int Port::socket(uint16_t rx_queue) const noexcept {
  return rx_queue < sockets_.size() ? sockets_[rx_queue] : -1;
}

}  // namespace dinomo::ingress::ethdev
