// SPDX-License-Identifier: BSD-3-Clause
#include "sim/network.h"

#include "common/hash.h"

namespace dinomo::sim {

Network::Network(EventLoop* loop, uint64_t seed)
    : loop_(loop), id_(loop->add(this)), random_(seed) {}

Network::~Network() { loop_->remove(id_); }

void Network::detach(const NetworkAddress& address, Port* port) {
  const auto at = ports_.find(address);
  if (at == ports_.end()) return;
  std::erase(at->second, port);
  if (at->second.empty()) ports_.erase(at);
}

bool Network::blocked(const Ip& from, const Ip& to) const {
  if (blocked_.empty()) return false;
  return blocked_.contains({from, to}) || blocked_.contains({from, Ip{}}) ||
         blocked_.contains({Ip{}, to});
}

void Network::send(const NetworkAddress& from, const NetworkAddress& to, Bytes payload) {
  ++counters_.sent;
  if (tap_) tap_(from, to, payload);
  if (chance(faults_.loss_ppm)) {
    ++counters_.lost;
    return;
  }
  schedule(from, to, payload, 0);
  if (!chance(faults_.duplicate_ppm)) return;
  ++counters_.duplicated;
  schedule(from, to, payload, random_.below(faults_.duplicate_late_ns + 1));
}

void Network::schedule(const NetworkAddress& from, const NetworkAddress& to, Bytes payload,
                       uint64_t later_ns) {
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
  if (chance(faults_.misroute_ppm)) {
    ++counters_.misrouted;
    p.to.port = static_cast<uint16_t>(random_.below(2) == 0 ? to.port + 1 : to.port - 1);
  }
  p.payload.assign(payload.begin(), payload.end());
  p.corrupted = !payload.empty() && chance(faults_.corrupt_ppm);
  if (p.corrupted) {
    ++counters_.corrupted;
    p.payload[random_.below(payload.size())] ^= static_cast<std::byte>(1 + random_.below(255));
  }
  uint64_t delay_ns = faults_.delay_ns + random_.below(faults_.jitter_ns + 1) + later_ns;
  if (chance(faults_.reorder_ppm)) {
    ++counters_.reordered;
    delay_ns += random_.below(faults_.reorder_ns + 1);
  }
  loop_->at(loop_->now_ns() + delay_ns, id_, slot);
}

void Network::on_event(uint64_t argument) {
  // Taken out: delivering may send, and sending may move packets_.
  Packet p = std::move(packets_[argument]);
  if (blocked(p.from.ip, p.to.ip)) {
    ++counters_.partitioned;
  } else if (const auto found = ports_.find(p.to); found == ports_.end()) {
    ++counters_.nobody;
  } else {
    const std::vector<Port*>& ports = found->second;
    if (ports.size() > 1) ++counters_.two_receivers;
    Port* port = ports.size() == 1 ? ports[0] : ports[random_.below(ports.size())];
    ++counters_.delivered;
    loop_->add_to_trace(checksum64(p.payload));
    port->deliver(p.from, p.to, p.payload, p.corrupted);
  }
  packets_[argument] = std::move(p);
  free_.push_back(static_cast<uint32_t>(argument));
}

}  // namespace dinomo::sim
