// SPDX-License-Identifier: BSD-3-Clause
#include "drivers/ingress/sim/sim_ingress.h"

#include <algorithm>

namespace dinomo::ingress::sim {

namespace {

constexpr uint16_t kMtu = 1500;
constexpr uint32_t kBuffersMin = 1024;
constexpr uint32_t kLargeMax = 512;  // datagrams beyond a frame that a worker may hold

thread_local dinomo::sim::Network* current_network = nullptr;

constexpr Driver kSim{
    .name = "sim",
    .help = "simulated network in virtual time; only in programs that set a simulation up",
    .open = SimIngress::open,
};
DINOMO_INGRESS_DRIVER(kSim);

}  // namespace

SimIngressQueue::SimIngressQueue(dinomo::sim::Network* network, const Config& config)
    : network_(network),
      payload_bytes_max_((config.mtu != 0 ? config.mtu : kMtu) - kIpv4UdpBytes),
      waiting_max_(config.rx_descriptors),
      buffers_(std::max(kBuffersMin, config.buffers / config.workers)) {
  for (Buffer& b : buffers_) free_.push_back(&b);
}

SimIngressQueue::Buffer* SimIngressQueue::take() noexcept {
  if (free_.empty()) {
    ++counters_.no_buffer;
    return nullptr;
  }
  Buffer* b = free_.back();
  free_.pop_back();
  return b;
}

void SimIngressQueue::arrive(const dinomo::sim::NetworkAddress& from,
                             const dinomo::sim::NetworkAddress& to, Bytes payload, bool corrupted) {
  if (corrupted) {
    ++counters_.dropped_checksum;
    return;
  }
  if (payload.size() > kDatagramBytesMax) {
    ++counters_.dropped_malformed;
    return;
  }
  const bool large = payload.size() > payload_bytes_max_;
  if (arrived_.size() >= waiting_max_ || (large && large_held_ == kLargeMax)) {
    ++counters_.dropped_full;
    return;
  }
  Buffer* b = take();
  if (b == nullptr) return;
  b->peer = Peer{};
  b->peer.remote_address = from.ip;
  b->peer.remote_port = from.port;
  b->peer.local_address = to.ip;
  b->peer.local_port = to.port;
  b->bytes = payload.size();
  b->memory.assign(payload.begin(), payload.end());
  if (large) {
    ++counters_.reassembled;
    ++large_held_;
  }
  arrived_.push_back(b);
  if (waker_ != nullptr) waker_->wake();
}

uint32_t SimIngressQueue::receive(std::span<Datagram> out) noexcept {
  uint32_t n = 0;
  while (n < out.size() && !arrived_.empty()) {
    Buffer* b = arrived_.front();
    arrived_.pop_front();
    out[n].peer = b->peer;
    out[n].payload = Bytes(b->memory).first(b->bytes);
    out[n].handle = b;
    ++counters_.datagrams_in;
    counters_.bytes_in += b->bytes;
    ++n;
  }
  return n;
}

void SimIngressQueue::release(std::span<Datagram> datagrams) noexcept {
  for (const Datagram& d : datagrams) {
    auto* b = static_cast<Buffer*>(d.handle);
    if (b->bytes > payload_bytes_max_) --large_held_;
    free_.push_back(b);
  }
}

TransmitBuffer SimIngressQueue::allocate(const Peer& peer) noexcept {
  Buffer* b = take();
  if (b == nullptr) return {};
  b->peer = peer;
  b->memory.resize(payload_bytes_max_);
  return {b->memory, peer, b};
}

void SimIngressQueue::send(const TransmitBuffer& buffer, size_t bytes) noexcept {
  auto* b = static_cast<Buffer*>(buffer.handle);
  if (bytes > payload_bytes_max_) {
    ++counters_.dropped_full;
    free_.push_back(b);
    return;
  }
  b->bytes = bytes;
  leaving_.push_back(b);
}

bool SimIngressQueue::send_pieces(const Peer& peer, std::span<const Bytes> pieces) noexcept {
  size_t bytes = 0;
  for (const Bytes piece : pieces) bytes += piece.size();
  if (bytes > kDatagramBytesMax) {
    ++counters_.dropped_full;
    return false;
  }
  Buffer* b = take();
  if (b == nullptr) return false;
  b->peer = peer;
  b->bytes = bytes;
  b->memory.clear();
  for (const Bytes piece : pieces) b->memory.insert(b->memory.end(), piece.begin(), piece.end());
  leaving_.push_back(b);
  return true;
}

void SimIngressQueue::drop(const TransmitBuffer& buffer) noexcept {
  free_.push_back(static_cast<Buffer*>(buffer.handle));
}

void SimIngressQueue::flush() noexcept {
  for (Buffer* b : leaving_) {
    network_->send({b->peer.local_address, b->peer.local_port},
                   {b->peer.remote_address, b->peer.remote_port}, Bytes(b->memory).first(b->bytes));
    ++counters_.datagrams_out;
    counters_.bytes_out += b->bytes;
    free_.push_back(b);
  }
  leaving_.clear();
}

void SimIngress::use(dinomo::sim::Network* network) noexcept { current_network = network; }

Result<std::unique_ptr<Ingress>> SimIngress::open(const Config& config, std::string* why) {
  if (current_network == nullptr) {
    *why = "the sim ingress works inside of a simulation only; set ingress = ethdev";
    return std::unexpected(Status::kUnsupported);
  }
  if (const Status s = check_config(config, why); !ok(s)) return std::unexpected(s);
  auto ingress = std::make_unique<SimIngress>();
  ingress->network_ = current_network;
  ingress->config_ = config;
  for (const LocalAddress& a : config.addresses) ingress->endpoint_.add(a);
  ingress->endpoint_.base_port = config.base_port;
  ingress->endpoint_.ports = config.workers;
  ingress->endpoint_.shared_port = config.shared_port;
  Capabilities& c = ingress->capabilities_;
  c.port = "sim";
  c.device = "sim";
  c.rx_queues = c.tx_queues = config.workers;
  c.mtu = config.mtu != 0 ? config.mtu : kMtu;
  c.steering = config.workers == 1 ? Steering::kSingle : Steering::kHardware;
  for (uint16_t w = 0; w < config.workers; ++w) {
    ingress->queues_.push_back(std::make_unique<SimIngressQueue>(current_network, config));
  }
  c.buffers = std::max(kBuffersMin, config.buffers / std::max<uint32_t>(config.workers, 1)) *
              config.workers;
  return ingress;
}

SimIngress::~SimIngress() { stop(); }

std::vector<dinomo::sim::NetworkAddress> SimIngress::addresses() const {
  std::vector<dinomo::sim::NetworkAddress> all;
  std::vector<uint16_t> ports;
  ports.reserve(config_.workers + 1U);
  for (uint16_t w = 0; w < config_.workers; ++w) {
    ports.push_back(static_cast<uint16_t>(config_.base_port + w));
  }
  if (config_.shared_port != 0) ports.push_back(config_.shared_port);
  for (const uint16_t port : ports) {
    for (size_t i = 0; i < endpoint_.ipv4_count; ++i) {
      all.push_back({mapped_ipv4(endpoint_.ipv4[i]), port});
    }
    for (size_t i = 0; i < endpoint_.ipv6_count; ++i) all.push_back({endpoint_.ipv6[i], port});
  }
  return all;
}

Status SimIngress::start(std::string*) {
  for (const auto& address : addresses()) network_->attach(address, this);
  started_ = capabilities_.link_up = true;
  return Status::kOk;
}

void SimIngress::stop() {
  if (!started_) return;
  for (const auto& address : addresses()) network_->detach(address, this);
  started_ = capabilities_.link_up = false;
}

void SimIngress::deliver(const dinomo::sim::NetworkAddress& from,
                         const dinomo::sim::NetworkAddress& to, Bytes payload, bool corrupted) {
  const bool shared = to.port == config_.shared_port;
  queues_[shared ? 0 : to.port - config_.base_port]->arrive(from, to, payload, corrupted);
}

}  // namespace dinomo::ingress::sim
