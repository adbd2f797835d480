// SPDX-License-Identifier: BSD-3-Clause
#include "drivers/fabric/sim/sim_fabric.h"

#include <algorithm>

namespace dinomo::fabric::sim {

namespace {

constexpr Driver kSim{
    .name = "sim",
    .help = "simulated fabric in virtual time; only in programs that set a simulation up",
    .connect = SimFabric::connect,
    .listen = SimTarget::listen,
};
DINOMO_FABRIC_DRIVER(kSim);

}  // namespace

Result<std::unique_ptr<Target>> SimTarget::listen(const std::string& address,
                                                  const PoolExport& pool, std::string* why) {
  SimNetwork* network = SimNetwork::current();
  if (network == nullptr) {
    *why = "the sim fabric works inside of a simulation only; set fabric = shm";
    return std::unexpected(Status::kUnsupported);
  }
  auto target = std::make_unique<SimTarget>();
  target->pool_ = pool;
  if (!ok(network->add(address, target.get()))) {
    *why = "another node listens on '" + address + "'";
    return std::unexpected(Status::kExists);
  }
  target->network_ = network;
  return target;
}

SimTarget::~SimTarget() {
  if (network_ != nullptr) network_->remove(this);
}

Status SimTarget::revoke(uint16_t kn_slot) noexcept {
  network_->revoke(this, kn_slot, false);
  return Status::kOk;
}

Status SimTarget::fence(uint16_t kn_slot) noexcept {
  network_->revoke(this, kn_slot, true);
  return Status::kOk;
}

uint64_t SimTarget::card_takes(uint64_t at_ns, const SimOperation& o,
                               const FabricFaults& f) noexcept {
  const bool read = o.kind == SimOperation::Kind::kRead;
  if (!read && o.kind != SimOperation::Kind::kWrite && f.atomic_ns != 0) {
    const uint64_t begin_ns = std::max(at_ns, atomics_free_ns_);
    atomics_free_ns_ = begin_ns + f.atomic_ns;
    return begin_ns;
  }
  uint64_t& free_ns = read && f.full_duplex ? reads_free_ns_ : card_free_ns_;
  const uint64_t begin_ns = std::max(at_ns, free_ns);
  free_ns = begin_ns + f.card_ns(o.bytes.size());
  return begin_ns;
}

bool SimTarget::connected(uint16_t kn_slot) noexcept { return network_->connected(this, kn_slot); }

Result<std::unique_ptr<Fabric>> SimFabric::connect(const ConnectConfig& config, std::string* why) {
  SimNetwork* network = SimNetwork::current();
  SimTarget* target = network != nullptr ? network->find(config.target) : nullptr;
  if (target == nullptr) {
    *why = "no memory node listens on '" + config.target + "'";
    return std::unexpected(Status::kUnreachable);
  }
  const PoolExport& pool = target->pool();
  int slot = config.kn_slot;
  if (slot >= pool.kn_slots) {
    *why = "there is no KN slot " + std::to_string(slot);
    return std::unexpected(Status::kOutOfRange);
  }
  if (slot < 0) {
    slot = 0;
    while (slot < pool.kn_slots && network->connected(target, static_cast<uint16_t>(slot))) ++slot;
  }
  if (slot == pool.kn_slots || network->connected(target, static_cast<uint16_t>(slot))) {
    *why = "KN slot " + std::to_string(slot) + " is taken";
    return std::unexpected(slot == pool.kn_slots ? Status::kNoResource : Status::kBusy);
  }
  auto fabric = std::make_unique<SimFabric>();
  fabric->network_ = network;
  fabric->connection_ = std::make_shared<Connection>();
  fabric->connection_->target = target;
  fabric->connection_->kn_slot = static_cast<uint16_t>(slot);
  network->add(fabric->connection_);
  fabric->remote_.pool_bytes = pool.memory.size();
  fabric->remote_.superblock_offset = pool.superblock_offset;
  fabric->remote_.uuid = pool.uuid;
  fabric->remote_.node_id = pool.node_id;
  fabric->remote_.kn_slot = static_cast<uint16_t>(slot);
  fabric->remote_.persistence = pool.persistence;
  fabric->remote_.access = "simulation";
  return fabric;
}

SimFabric::~SimFabric() {
  if (connection_) connection_->open = false;
}

Result<std::unique_ptr<Queue>> SimFabric::open_queue(const QueueConfig& config) noexcept {
  return std::make_unique<SimQueue>(network_, connection_, config.depth);
}

bool SimFabric::alive() noexcept { return connection_->target != nullptr; }

}  // namespace dinomo::fabric::sim
