// SPDX-License-Identifier: BSD-3-Clause
// Control path of the soft HCA.
#include "drivers/fabric/mlx5/softhca/device.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <utility>

namespace dinomo::softhca {

namespace {

constexpr uint32_t kRoundsPerLock = 64;
constexpr uint32_t kIdleRoundsBeforeYield = 16;

}  // namespace

std::string to_string(const Finding& finding) {
  return finding.what + " (QP " + std::to_string(finding.qpn) + ", WQE " +
         std::to_string(finding.index) + ")";
}

Device::Device(const Faults& faults) : faults_(faults), dice_(faults.seed) {}

Device::~Device() { stop(); }

uint32_t Device::make_pd() {
  const Control control(*this);
  return next_pd_++;
}

Mkey Device::register_memory(uint32_t pd, uint64_t iova, uint64_t bytes, void* host,
                             uint32_t access) {
  const Control control(*this);
  const auto index = static_cast<uint32_t>(mkeys_.size());
  Mkey mkey;
  mkey.key = index << 8 | (index * 37 & 0xff);  // the variant makes stale keys wrong keys
  mkey.pd = pd;
  mkey.iova = iova;
  mkey.bytes = bytes;
  mkey.host = static_cast<std::byte*>(host);
  mkey.access = access;
  mkey.live = true;
  mkeys_.push_back(mkey);
  return mkey;
}

bool Device::change_access(uint32_t key, uint32_t access) {
  const Control control(*this);
  const uint32_t index = key >> 8;
  if (index >= mkeys_.size() || mkeys_[index].key != key || !mkeys_[index].live) return false;
  mkeys_[index].access = access;
  return true;
}

void Device::deregister(uint32_t key) {
  const Control control(*this);
  const uint32_t index = key >> 8;
  if (index < mkeys_.size() && mkeys_[index].key == key) mkeys_[index].live = false;
}

uint32_t Device::make_cq(const CqConfig& config) {
  const Control control(*this);
  auto cq = std::make_unique<Cq>();
  cq->cqn = next_cqn_++;
  cq->config = config;
  const uint32_t cqn = cq->cqn;
  cqs_[cqn] = std::move(cq);
  return cqn;
}

void Device::destroy_cq(uint32_t cqn) {
  const Control control(*this);
  cqs_.erase(cqn);
}

DoorbellRegister* Device::attach_register(std::byte* at, uint32_t half_bytes) {
  auto& reg = registers_[at];
  if (reg == nullptr) {
    reg = std::make_unique<DoorbellRegister>();
    reg->half_bytes = half_bytes;
    const uint32_t halves = half_bytes != 0 ? 2 : 1;
    for (uint32_t h = 0; h < halves; ++h) {
      reg->halves[h].at = at + size_t{h} * half_bytes;
      std::memcpy(&reg->halves[h].seen, reg->halves[h].at, sizeof(uint64_t));
    }
  }
  ++reg->users;
  return reg.get();
}

uint32_t Device::make_qp(const QpConfig& config) {
  const Control control(*this);
  auto qp = std::make_unique<Qp>();
  qp->qpn = next_qpn_++;
  qp->config = config;
  qp->doorbell = attach_register(config.bf_register, config.bf_bytes);
  const uint32_t qpn = qp->qpn;
  order_.push_back(qp.get());
  qps_[qpn] = std::move(qp);
  return qpn;
}

void Device::destroy_qp(uint32_t qpn) {
  const Control control(*this);
  const auto found = qps_.find(qpn);
  if (found == qps_.end()) return;
  DoorbellRegister* reg = found->second->doorbell;
  if (--reg->users == 0) {
    std::erase_if(registers_, [reg](const auto& entry) { return entry.second.get() == reg; });
  }
  drop_operation(*found->second);
  std::erase(order_, found->second.get());
  qps_.erase(found);
}

Qp* Device::find_qp(uint32_t qpn) {
  const auto found = qps_.find(qpn);
  return found == qps_.end() ? nullptr : found->second.get();
}

void Device::drop_operation(Qp& qp) noexcept {
  if (qp.operation.active && qp.operation.loaded) atomic_under_way_ = false;
  qp.operation.active = false;
}

void Device::reset(Qp& qp) {
  qp.consumed = 0;
  qp.rung = false;
  drop_operation(qp);
  qp.pending.clear();
  qp.again.clear();
  qp.link_up = true;
  // The driver starts again at the first half, perhaps with the very word that stands there.
  qp.doorbell->last_half = -1;
  for (BfHalf& half : qp.doorbell->halves) {
    if (half.at == nullptr) continue;
    std::atomic_ref<uint64_t>(*reinterpret_cast<uint64_t*>(half.at)).store(0);
    half.seen = 0;
  }
}

bool Device::move_qp(uint32_t qpn, QpState state) {
  const Control control(*this);
  Qp* qp = find_qp(qpn);
  if (qp == nullptr) return false;
  const bool was_running = qp->state == QpState::kReadyToSend;
  qp->state = state;
  if (state == QpState::kReset) reset(*qp);
  if (state == QpState::kError && was_running) flush(*qp);
  return true;
}

bool Device::set_peer(uint32_t qpn, uint32_t peer_qpn) {
  const Control control(*this);
  Qp* qp = find_qp(qpn);
  if (qp != nullptr) qp->peer_qpn = peer_qpn;
  return qp != nullptr;
}

bool Device::set_access(uint32_t qpn, uint32_t access) {
  const Control control(*this);
  Qp* qp = find_qp(qpn);
  if (qp != nullptr) qp->access = access;
  return qp != nullptr;
}

QpState Device::state(uint32_t qpn) {
  const Control control(*this);
  const Qp* qp = find_qp(qpn);
  return qp == nullptr ? QpState::kReset : qp->state;
}

QpCounters Device::counters(uint32_t qpn) {
  const Control control(*this);
  const Qp* qp = find_qp(qpn);
  return qp == nullptr ? QpCounters{} : qp->counters;
}

void Device::set_link(uint32_t qpn, bool up) {
  const Control control(*this);
  if (Qp* qp = find_qp(qpn)) qp->link_up = up;
}

uint64_t Device::fail_power() {
  const Control control(*this);
  uint64_t lost = 0;
  for (Qp* qp : order_) {
    // Backwards, so that what is undone twice ends with its oldest content.
    for (auto piece = qp->unflushed.rbegin(); piece != qp->unflushed.rend(); ++piece) {
      if (dice_.below(2) == 0) continue;
      std::memcpy(piece->at, &piece->before, sizeof piece->before);
      ++lost;
    }
    qp->unflushed.clear();
  }
  return lost;
}

void Device::start() {
  stop_.store(false);
  engine_ = std::thread([this] {
    uint32_t idle = 0;
    while (!stop_.load(std::memory_order_relaxed)) {
      bool worked = false;
      {
        const std::lock_guard lock(mutex_);
        const uint32_t rounds = faults_.pace_us != 0 ? 1 : kRoundsPerLock;
        for (uint32_t i = 0; i < rounds && control_waiting_.load() == 0; ++i) {
          worked |= step_locked();
        }
      }
      if (worked && faults_.pace_us != 0) {
        std::this_thread::sleep_for(std::chrono::microseconds(faults_.pace_us));
      }
      while (control_waiting_.load(std::memory_order_relaxed) != 0) std::this_thread::yield();
      idle = worked ? 0 : idle + 1;
      if (idle > kIdleRoundsBeforeYield) std::this_thread::yield();
    }
  });
}

void Device::stop() {
  stop_.store(true);
  if (engine_.joinable()) engine_.join();
}

bool Device::step() {
  const std::lock_guard lock(mutex_);
  return step_locked();
}

std::vector<Finding> Device::take_findings() {
  const Control control(*this);
  return std::exchange(findings_, {});
}

void Device::finding(uint32_t qpn, uint16_t index, const char* what) {
  findings_.push_back({what, qpn, index});
}

}  // namespace dinomo::softhca
