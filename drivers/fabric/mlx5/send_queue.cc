// SPDX-License-Identifier: BSD-3-Clause
#include "drivers/fabric/mlx5/send_queue.h"

#include "common/planted.h"

namespace dinomo::fabric::mlx5 {

SendQueue::SendQueue(const mlx5dv_qp& qp, uint32_t qpn, BlueFlame* blue_flame)
    : ring_(static_cast<std::byte*>(qp.sq.buf)),
      ring_end_(ring_ + uint64_t{qp.sq.wqe_cnt} * kBlockBytes),
      mask_(qp.sq.wqe_cnt - 1),
      doorbell_record_(reinterpret_cast<uint32_t*>(&qp.dbrec[MLX5_SND_DBR])),
      blue_flame_(blue_flame),
      qpn_(qpn),
      posted_(qp.sq.wqe_cnt) {}

void SendQueue::ring() noexcept {
  if (producer_ == rung_) return;
  std::byte* wqe = block(last_);
  if (!planted("last-not-signalled")) wqe[kFlagsAt] = kSignal;
  unsignalled_ = 0;
  const uint16_t next = planted("record-names-the-last") ? last_ : producer_;
  if (!planted("register-before-record")) {
    device_store(doorbell_record_,
                 planted("record-not-swapped") ? uint32_t{next} : htobe32(uint32_t{next}));
  }
  write_combining_barrier();  // the record before the register
  std::byte* half = blue_flame_->at + blue_flame_->offset;
  // The first word alone is a doorbell; with the rest of the WQE behind it the device need not
  // fetch it from memory. Only for a single WQE: else it would have to fetch others anyway.
  if (!planted("register-not-written")) {
    device_store(reinterpret_cast<uint64_t*>(half), load<uint64_t>(wqe));
  }
  const uint32_t blocks = posted_[last_ & mask_].blocks;
  const bool single = posted_since_ring_ == 1 || planted("blueflame-for-a-batch");
  if (single && blocks * kBlockBytes <= blue_flame_->half_bytes) {
    copy_blue_flame(half, wqe, blocks);
  }
  write_combining_barrier();  // out of the write-combining buffer now
  if (!planted("half-used-twice")) blue_flame_->offset ^= blue_flame_->half_bytes;
  if (planted("register-before-record")) device_store(doorbell_record_, htobe32(uint32_t{next}));
  rung_ = producer_;
  posted_since_ring_ = 0;
}

void SendQueue::copy_blue_flame(std::byte* half, const std::byte* wqe, uint32_t blocks) noexcept {
  for (uint32_t b = 0; b < blocks; ++b) {
    for (uint32_t i = b == 0 ? 8 : 0; i < kBlockBytes; i += 8) {  // ascending
      std::atomic_ref<uint64_t>(*reinterpret_cast<uint64_t*>(half + size_t{b} * kBlockBytes + i))
          .store(load<uint64_t>(wqe + i), std::memory_order_relaxed);
    }
    wqe += kBlockBytes;
    if (wqe == ring_end_) wqe = planted("copy-not-wrapped") ? ring_end_ - kBlockBytes : ring_;
  }
}

CompletionQueue::CompletionQueue(const mlx5dv_cq& cq)
    : buffer_(static_cast<std::byte*>(cq.buf)),
      mask_(cq.cqe_cnt - 1),
      entry_bytes_(cq.cqe_size),
      doorbell_record_(reinterpret_cast<uint32_t*>(&cq.dbrec[0])) {}

bool CompletionQueue::next(Entry* entry) noexcept {
  std::byte* at = buffer_ + uint64_t{consumer_ & mask_} * entry_bytes_;
  if (entry_bytes_ == 128 && !planted("first-half-of-a-long-entry")) at += 64;
  auto* cqe = reinterpret_cast<mlx5_cqe64*>(at);
  const uint8_t owner = device_load(&cqe->op_own);
  const uint32_t lap_bit = planted("lap-of-a-ring-twice-as-long") ? 2 * (mask_ + 1) : mask_ + 1;
  const uint8_t lap = (consumer_ & lap_bit) != 0 ? 1 : 0;
  if (owner >> 4 == MLX5_CQE_INVALID && !planted("invalid-taken")) return false;
  if ((owner & 1) != lap && !planted("owner-ignored")) return false;
  const uint32_t opcode_qpn = be32toh(cqe->sop_drop_qpn);
  entry->qpn = opcode_qpn & 0xff'ffff;
  entry->opcode = static_cast<uint8_t>(opcode_qpn >> 24);
  entry->index = planted("counter-not-swapped") ? cqe->wqe_counter : be16toh(cqe->wqe_counter);
  entry->syndrome = 0;
  entry->vendor = 0;
  if (owner >> 4 != MLX5_CQE_REQ) {
    const auto* error = reinterpret_cast<const mlx5_err_cqe*>(cqe);
    entry->syndrome = planted("vendor-for-syndrome") ? error->vendor_err_synd : error->syndrome;
    entry->vendor = error->vendor_err_synd;
  }
  ++consumer_;
  return true;
}

void CompletionQueue::update(bool always) noexcept {
  if ((told_ == consumer_ && !always) || planted("consumer-not-told")) return;
  told_ = consumer_;
  device_store(doorbell_record_, htobe32(consumer_ & 0xff'ffff));
}

Status status_of_syndrome(uint8_t syndrome) noexcept {
  switch (syndrome) {
    case 0: return Status::kOk;
    case MLX5_CQE_SYNDROME_REMOTE_ACCESS_ERR: return Status::kFenced;
    case MLX5_CQE_SYNDROME_TRANSPORT_RETRY_EXC_ERR:
    case MLX5_CQE_SYNDROME_RNR_RETRY_EXC_ERR:
    case MLX5_CQE_SYNDROME_REMOTE_ABORTED_ERR:
    case MLX5_CQE_SYNDROME_WR_FLUSH_ERR: return Status::kUnreachable;
    default: return Status::kInternal;
  }
}

}  // namespace dinomo::fabric::mlx5
