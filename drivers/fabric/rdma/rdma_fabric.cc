// SPDX-License-Identifier: BSD-3-Clause
#include "drivers/fabric/rdma/rdma_fabric.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

namespace dinomo::fabric::rdma {

namespace {

constexpr uint32_t kDepthMax = 4096;
constexpr uint32_t kLocalRights = IBV_ACCESS_LOCAL_WRITE;

}  // namespace

Registration::Registration(const DataPlane& plane, Port port, FileDescriptor socket,
                           uint32_t timeout_ms)
    : plane_(plane),
      port_(std::move(port)),
      socket_(std::move(socket)),
      timeout_ms_(timeout_ms),
      pd_(::ibv_alloc_pd(port_.context.get())) {}

Status Registration::open(const ConnectConfig& config, std::string* why) {
  if (!pd_) {
    *why = "device " + port_.device + " gives no protection domain: " + std::strerror(errno);
    return Status::kInternal;
  }
  const HelloMessage hello{kExchangeMagic, static_cast<uint32_t>(MessageKind::kHello),
                           config.kn_slot};
  WelcomeMessage welcome{};
  Status status = send_whole(socket_.get(), &hello, sizeof hello);
  if (ok(status)) status = receive_whole(socket_.get(), &welcome, sizeof welcome, timeout_ms_);
  if (!ok(status)) {
    *why = "dinomo-dpm on '" + config.target + "' did not answer (" + status_name(status) + ")";
    return status;
  }
  if (welcome.magic != kExchangeMagic ||
      welcome.kind != static_cast<uint32_t>(MessageKind::kWelcome)) {
    *why = "what listens on '" + config.target + "' is not a dinomo-dpm of this version and fabric";
    return Status::kVersion;
  }
  status = static_cast<Status>(welcome.status);
  if (!ok(status)) {
    *why = status == Status::kBusy
               ? "KN slot is in use by another process; stop it, or choose another --kn-slot"
               : std::string("dinomo-dpm refuses: ") + status_name(status);
    return status;
  }
  remote_.pool_bytes = welcome.pool_bytes;
  remote_.superblock_offset = welcome.superblock_offset;
  std::copy(std::begin(welcome.uuid), std::end(welcome.uuid), remote_.uuid.begin());
  remote_.node_id = welcome.node_id;
  remote_.kn_slot = welcome.kn_slot;
  remote_.persistence = static_cast<pool::Persistence>(welcome.persistence);
  remote_address_ = welcome.remote_address;
  rkey_ = welcome.rkey;
  return choose_setup(config.pair_setup, welcome.cm_token, why);
}

Status Registration::choose_setup(PairSetup wanted, uint64_t cm_token, std::string* why) {
  remote_.access = port_.device + ", pairs connected over TCP";
  if (wanted == PairSetup::kExchange) return Status::kOk;
  std::string reason = "dinomo-dpm does not offer the connection manager";
  if (cm_token != 0) {
    auto dialer = CmDialer::make(socket_.get(), port_, cm_token, &reason);
    if (dialer) {
      dialer_.emplace(std::move(*dialer));
      remote_.access = port_.device + ", pairs connected by librdmacm";
      return Status::kOk;
    }
  }
  if (wanted == PairSetup::kAuto) {
    remote_.access += " (" + reason + ")";
    return Status::kOk;
  }
  *why = reason + "; fabric_connect auto or exchange does without";
  return Status::kUnsupported;
}

Status Registration::add_memory(MutableBytes memory) noexcept {
  const std::lock_guard lock(mutex_);
  if (memory.empty() || keys_.find(memory)) return Status::kOk;
  if (keys_.full()) return Status::kNoResource;
  MemoryRegion region(::ibv_reg_mr(pd_.get(), memory.data(), memory.size(), kLocalRights));
  if (!region) return errno == ENOMEM ? Status::kNoResource : Status::kInvalid;
  keys_.add(memory, region->lkey);
  regions_.push_back(std::move(region));
  return Status::kOk;
}

Result<std::unique_ptr<PairSet>> Registration::make_pairs(uint32_t depth) noexcept {
  if (numbers_used_ + kPairsPerQueue > kQueuePairsMax) {
    return std::unexpected(Status::kNoResource);
  }
  std::string why;
  auto made = plane_.make_pairs(port_, pd_.get(), kPairsPerQueue, depth, &why);
  if (!made) return std::unexpected(made.error());
  PairSet& set = **made;
  set.depth = depth;
  set.first_number = numbers_used_;
  set.landing.resize((size_t{std::bit_ceil(depth)} + 1) * sizeof(uint64_t));
  set.landing_region.reset(
      ::ibv_reg_mr(pd_.get(), set.landing.data(), set.landing.size(), kLocalRights));
  if (!set.landing_region) return std::unexpected(Status::kNoResource);
  numbers_used_ += kPairsPerQueue;
  return made;
}

Status Registration::connect(PairSet& set) noexcept {
  for (uint32_t p = 0; p < set.pairs.size(); ++p) {
    const uint32_t number = set.first_number + p;
    if (dialer_) {
      auto link = dialer_->connect(set.pairs[p], number, timeout_ms_);
      if (!link) return link.error();
      set.links.push_back(std::move(*link));
    } else if (const Status s = exchange(set.pairs[p], number); !ok(s)) {
      return s;
    }
  }
  return Status::kOk;
}

Status Registration::exchange(ibv_qp* qp, uint32_t number) noexcept {
  // Another one each time, so that a packet of the pair's earlier life is not taken for a new one.
  const uint32_t psn = (qp->qp_num * 0x9e37u + ++connects_ * 0x1003u) & 0xff'ffff;
  const ConnectMessage ask =
      to_message(MessageKind::kConnect, number, own_end(port_, qp->qp_num, psn));
  ConnectMessage answer{};
  Status status = send_whole(socket_.get(), &ask, sizeof ask);
  if (ok(status)) status = receive_whole(socket_.get(), &answer, sizeof answer, timeout_ms_);
  if (ok(status)) status = static_cast<Status>(answer.status);
  if (ok(status) && (answer.magic != kExchangeMagic || answer.number != number)) {
    status = Status::kCorrupt;
  }
  return ok(status) ? connect_pair(qp, port_, to_peer(answer), psn, 0) : status;
}

Result<std::unique_ptr<PairSet>> Registration::take_pairs(uint32_t depth) noexcept {
  const std::lock_guard lock(mutex_);
  std::unique_ptr<PairSet> set;
  const auto fitting =
      std::ranges::find_if(free_, [&](const auto& free) { return free->depth >= depth; });
  if (fitting != free_.end()) {
    set = std::move(*fitting);
    free_.erase(fitting);
    for (ibv_qp* qp : set->pairs) {
      if (const Status s = reset_pair(qp); !ok(s)) return std::unexpected(s);
    }
    set->drain();
  } else {
    auto made = make_pairs(depth);
    if (!made) return made;
    set = std::move(*made);
  }
  if (const Status s = connect(*set); !ok(s)) return std::unexpected(s);
  return set;
}

void Registration::give_back(std::unique_ptr<PairSet> set) noexcept {
  for (ibv_qp* qp : set->pairs) stop_pair(qp);
  set->links.clear();
  const std::lock_guard lock(mutex_);
  free_.push_back(std::move(set));
}

bool Registration::alive() noexcept {
  if (!device_gone_.load() && port_.gone()) device_gone_.store(true);
  return !device_gone_.load() && still_there(socket_.get());
}

RdmaQueueConfig Registration::queue_config(const PairSet& set) const noexcept {
  RdmaQueueConfig config;
  config.depth = set.depth;
  config.remote_address = remote_address_;
  config.pool_bytes = remote_.pool_bytes;
  config.rkey = rkey_;
  config.keys = &keys_;
  config.landing = {const_cast<std::byte*>(set.landing.data()), set.landing.size()};
  config.landing_lkey = set.landing_region->lkey;
  config.device_gone = &device_gone_;
  config.flush_by_read = remote_.persistence == pool::Persistence::kDax;
  return config;
}

Result<std::unique_ptr<Fabric>> RdmaFabric::connect(const DataPlane& plane,
                                                    const ConnectConfig& config, std::string* why) {
  auto port = open_port(config.device, plane.fits, why);
  if (!port) return std::unexpected(port.error());
  auto socket = connect_to(config.target, config.timeout_ms, why);
  if (!socket) return std::unexpected(socket.error());
  auto registration = std::make_shared<Registration>(plane, std::move(*port), std::move(*socket),
                                                     config.timeout_ms);
  if (const Status s = registration->open(config, why); !ok(s)) return std::unexpected(s);
  return std::make_unique<RdmaFabric>(plane, std::move(registration));
}

Result<std::unique_ptr<Queue>> RdmaFabric::open_queue(const QueueConfig& config) noexcept {
  if (config.depth == 0 || config.depth > kDepthMax) return std::unexpected(Status::kInvalid);
  auto set = registration_->take_pairs(config.depth);
  if (!set) return std::unexpected(set.error());
  const RdmaQueueConfig queue_config = registration_->queue_config(**set);
  return plane_.make_queue(PairSetLoan(registration_, std::move(*set)), queue_config);
}

}  // namespace dinomo::fabric::rdma
