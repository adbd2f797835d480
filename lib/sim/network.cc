// SPDX-License-Identifier: BSD-3-Clause
#include "sim/network.h"

#include "common/hash.h"

namespace dinomo::sim {

Network::Network(EventLoop* loop, uint64_t seed)
    : loop_(loop), id_(loop->add(this)), random_(seed) {}

Network::~Network() { loop_->remove(id_); }

void Network::isolate(const std::array<uint8_t, 16>& ip, bool isolated) {
  if (isolated) {
    isolated_.insert(ip);
  } else {
    isolated_.erase(ip);
  }
}

void Network::send(const NetworkAddress& from, const NetworkAddress& to, Bytes payload) {
  ++counters_.sent;
  if (chance(faults_.loss_ppm)) {
    ++counters_.lost;
    return;
  }
  schedule(from, to, payload);
  if (!chance(faults_.duplicate_ppm)) return;
  ++counters_.duplicated;
  schedule(from, to, payload);
}

void Network::schedule(const NetworkAddress& from, const NetworkAddress& to, Bytes payload) {
  uint32_t slot = static_cast<uint32_t>(packets_.size());
  if (free_.empty()) {
    packets_.emplace_back();
  } else {
    slot = free_.back();
    free_.pop_back();
  }
  Packet& p = packets_[slot];
  p.from = from;
  p.to = to;
  p.payload.assign(payload.begin(), payload.end());
  p.corrupted = !payload.empty() && chance(faults_.corrupt_ppm);
  if (p.corrupted) {
    ++counters_.corrupted;
    p.payload[random_.below(payload.size())] ^= static_cast<std::byte>(1 + random_.below(255));
  }
  uint64_t delay_ns = faults_.delay_ns + random_.below(faults_.jitter_ns + 1);
  if (chance(faults_.reorder_ppm)) {
    ++counters_.reordered;
    delay_ns += random_.below(faults_.reorder_ns + 1);
  }
  loop_->at(loop_->now_ns() + delay_ns, id_, slot);
}

void Network::on_event(uint64_t argument) {
  // Taken out: delivering may send, and sending may move packets_.
  Packet p = std::move(packets_[argument]);
  if (isolated_.contains(p.from.ip) || isolated_.contains(p.to.ip)) {
    ++counters_.partitioned;
  } else if (const auto port = ports_.find(p.to); port == ports_.end()) {
    ++counters_.nobody;
  } else {
    ++counters_.delivered;
    loop_->add_to_trace(checksum64(p.payload));
    port->second->deliver(p.from, p.to, p.payload, p.corrupted);
  }
  packets_[argument] = std::move(p);
  free_.push_back(static_cast<uint32_t>(argument));
}

}  // namespace dinomo::sim
