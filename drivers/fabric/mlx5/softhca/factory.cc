// SPDX-License-Identifier: BSD-3-Clause
#include "drivers/fabric/mlx5/softhca/factory.h"

#include <cstring>

namespace dinomo::softhca {

namespace {

constexpr size_t kPageBytes = 4096;
constexpr size_t kRegisterAt = 0x800;  // in a UAR page
constexpr size_t kRecordBytes = 64;    // a line of its own for each

}  // namespace

FactoryQueue::Memory FactoryQueue::allocate(size_t bytes) {
  bytes = (bytes + kPageBytes - 1) / kPageBytes * kPageBytes;
  auto* memory = static_cast<std::byte*>(std::aligned_alloc(kPageBytes, bytes));
  std::memset(static_cast<void*>(memory), 0, bytes);
  return Memory(memory);
}

FactoryQueue::FactoryQueue(Device& device, const FactoryConfig& config)
    : device_(device),
      uar_(allocate(kPageBytes)),
      records_(allocate((config.pairs + 1) * kRecordBytes)),
      entries_(allocate(size_t{config.entries} * config.entry_bytes)) {
  cq_.buf = entries_.get();
  cq_.dbrec = reinterpret_cast<__be32*>(records_.get());
  cq_.cqe_cnt = config.entries;
  cq_.cqe_size = config.entry_bytes;
  cq_.cq_uar = uar_.get();
  for (uint32_t i = 0; i < config.entries; ++i) {
    std::byte* last = entries_.get() + size_t{i + 1} * config.entry_bytes - 1;
    *last = std::byte{MLX5_CQE_INVALID << 4};
  }
  cqn_ = device.make_cq({.buffer = entries_.get(),
                         .entries = config.entries,
                         .entry_bytes = config.entry_bytes,
                         .doorbell_record = cq_.dbrec});
  cq_.cqn = cqn_;
  for (uint32_t p = 0; p < config.pairs; ++p) {
    rings_.push_back(allocate(size_t{config.blocks} * kBlockBytes));
    mlx5dv_qp qp{};
    qp.dbrec = reinterpret_cast<__be32*>(records_.get() + (p + 1) * kRecordBytes);
    qp.sq.buf = rings_.back().get();
    qp.sq.wqe_cnt = config.blocks;
    qp.sq.stride = kBlockBytes;
    qp.bf.reg = uar_.get() + kRegisterAt;
    qp.bf.size = config.bf_half_bytes;
    qpns_.push_back(device.make_qp({.pd = config.pd,
                                    .ring = rings_.back().get(),
                                    .blocks = config.blocks,
                                    .doorbell_record = qp.dbrec,
                                    .bf_register = uar_.get() + kRegisterAt,
                                    .bf_bytes = config.bf_half_bytes,
                                    .cqn = cqn_,
                                    .user_index = p}));
    qps_.push_back(qp);
  }
}

FactoryQueue::~FactoryQueue() {
  for (const uint32_t qpn : qpns_) device_.destroy_qp(qpn);
  device_.destroy_cq(cqn_);
}

void FactoryQueue::move(QpState state) {
  for (const uint32_t qpn : qpns_) device_.move_qp(qpn, state);
}

void FactoryQueue::clear_records() {
  for (mlx5dv_qp& qp : qps_) qp.dbrec[MLX5_SND_DBR] = 0;
}

void connect(Device& device, FactoryQueue& a, FactoryQueue& b, uint32_t access) {
  for (uint32_t p = 0; p < a.pairs(); ++p) {
    device.set_peer(a.qpn(p), b.qpn(p));
    device.set_peer(b.qpn(p), a.qpn(p));
    device.set_access(a.qpn(p), access);
    device.set_access(b.qpn(p), access);
  }
  for (const QpState s : {QpState::kInit, QpState::kReadyToReceive, QpState::kReadyToSend}) {
    a.move(s);
    b.move(s);
  }
}

}  // namespace dinomo::softhca
