// SPDX-License-Identifier: BSD-3-Clause
// Doorbells in, CQEs out.
#include <algorithm>
#include <cstring>

#include "drivers/fabric/mlx5/softhca/device.h"
#include "drivers/fabric/mlx5/softhca/executor.h"
#include "drivers/fabric/mlx5/softhca/wqe.h"

namespace dinomo::softhca {

namespace {

constexpr uint32_t kWqesPerRound = 64;
constexpr int kUnknown = -1;         // which half was rung last
constexpr int kUnsure = -2;          // the same, and a change may have been missed
constexpr uint32_t kCopyLooks = 64;  // the first word of a BlueFlame copy arrives before the rest

uint64_t load_word(const std::byte* at) noexcept {
  return std::atomic_ref<uint64_t>(*const_cast<uint64_t*>(reinterpret_cast<const uint64_t*>(at)))
      .load(std::memory_order_acquire);
}

uint32_t load_record(const __be32* at) noexcept {
  return be32toh(
      std::atomic_ref<uint32_t>(*const_cast<uint32_t*>(at)).load(std::memory_order_acquire));
}

bool same_words(const std::byte* a, const std::byte* b, uint32_t bytes) noexcept {
  for (uint32_t i = 0; i < bytes; i += 8) {
    if (load_word(a + i) != load_word(b + i)) return false;
  }
  return true;
}

}  // namespace

uint16_t Device::producer(const Qp& qp) const noexcept {
  return static_cast<uint16_t>(load_record(&qp.config.doorbell_record[MLX5_SND_DBR]));
}

bool Device::step_locked() {
  ++round_;
  bool worked = false;
  for (auto& [at, reg] : registers_) worked |= look_at(*reg);
  for (Qp* qp : order_) {
    if (qp->state != QpState::kReadyToSend && qp->state != QpState::kError) continue;
    worked |= advance(*qp);
  }
  return worked;
}

/// A changed register wakes every QP that rings there: the words of two QPs may have followed each
/// other faster than we look. What there is to do, the doorbell records say.
bool Device::look_at(DoorbellRegister& reg) {
  int changed = 0;
  for (int h = 0; h < 2; ++h) {
    BfHalf& half = reg.halves[h];
    if (half.at == nullptr) continue;
    const uint64_t word = load_word(half.at);
    if (word == half.seen) continue;
    half.seen = word;
    changed |= 1 << h;
    check_blueflame(half, reg.half_bytes, word);
  }
  if (changed == 0) return false;
  judge_halves(reg, changed);
  for (Qp* qp : order_) {
    if (qp->doorbell == &reg) qp->rung = true;
  }
  return true;
}

/// The halves of a register must alternate. Both cannot be read at once, so only a change of one
/// half that a second look confirms to be the only one is judged.
void Device::judge_halves(DoorbellRegister& reg, int changed) {
  if (reg.halves[0].at == nullptr || reg.halves[1].at == nullptr) return;
  const bool alone = changed != 3 && load_word(reg.halves[0].at) == reg.halves[0].seen &&
                     load_word(reg.halves[1].at) == reg.halves[1].seen;
  if (!alone) {
    reg.last_half = kUnsure;
    return;
  }
  const int half = changed - 1;
  if (half == reg.last_half) {
    const auto words = ControlWords::read(reg.halves[half].at);
    finding(words.qpn, words.index, "BlueFlame halves do not alternate");
  }
  // After an unsure look this change may be older than one that was seen then: it says nothing yet.
  reg.last_half = reg.last_half == kUnsure ? kUnknown : half;
}

/// Either only the first word was written (a doorbell) or the whole WQE, which then must be the
/// one in the ring.
void Device::check_blueflame(const BfHalf& half, uint32_t half_bytes, uint64_t word) {
  const auto words = ControlWords::read(reinterpret_cast<const std::byte*>(&word));
  Qp* qp = find_qp(words.qpn);
  if (qp == nullptr || half_bytes == 0 || words.segments == 0) return;
  const uint32_t blocks = words.blocks();
  if (blocks * kBlockBytes > half_bytes) return;
  if (static_cast<uint16_t>(words.index + blocks) != producer(*qp)) return;  // a batch
  for (uint32_t look = 0; look < kCopyLooks; ++look) {
    bool same = true;
    for (uint32_t b = 0; b < blocks && same; ++b) {
      const uint64_t at = uint64_t{words.index + b} % qp->config.blocks * kBlockBytes;
      const uint32_t segments = std::min(words.segments - 4 * b, 4u);
      same = same_words(half.at + uint64_t{b} * kBlockBytes, qp->config.ring + at,
                        segments * kSegmentBytes);
    }
    if (same) {
      ++qp->counters.blueflames;
      return;
    }
    if (load_word(half.at) != word) return;
  }
}

bool Device::advance(Qp& qp) {
  bool worked = deliver(qp);
  if (qp.operation.active) {
    Executor executor(*this, qp);
    executor.go_on();
    return true;
  }
  if (!qp.rung) return worked;
  const uint16_t end = producer(qp);
  if (qp.consumed == end) {
    qp.rung = false;
    return worked;
  }
  ++qp.counters.doorbells;
  if (qp.state == QpState::kError) {
    flush(qp);
    return true;
  }
  return run_wqes(qp, end) || worked;
}

bool Device::run_wqes(Qp& qp, uint16_t end) {
  if (static_cast<uint16_t>(end - qp.consumed) > qp.config.blocks) {
    finding(qp.qpn, end, "the producer index is more than the ring ahead");
  }
  const uint32_t limit = faults_.pace_us != 0 ? 1 : kWqesPerRound;
  for (uint32_t i = 0; i < limit && qp.consumed != end; ++i) {
    if (dice_.chance(faults_.stop_qp)) {
      qp.state = QpState::kError;
      flush(qp);
      return true;
    }
    if (dice_.chance(faults_.lose_link)) qp.link_up = false;
    Executor executor(*this, qp);
    executor.begin(static_cast<uint16_t>(end - qp.consumed));
    if (qp.state == QpState::kError || qp.operation.active) return true;
  }
  return true;
}

void Device::flush(Qp& qp) {
  if (qp.operation.active) {
    drop_operation(qp);
    fail(qp, qp.operation.opcode, qp.operation.index, MLX5_CQE_SYNDROME_WR_FLUSH_ERR,
         Vendor::kFlushed);
  }
  qp.again.clear();
  const uint16_t end = producer(qp);
  while (qp.consumed != end) {
    const uint16_t index = qp.consumed;
    const auto words =
        ControlWords::read(qp.config.ring + uint64_t{index} % qp.config.blocks * kBlockBytes);
    qp.consumed = static_cast<uint16_t>(index + std::max(words.blocks(), 1u));
    if (static_cast<uint16_t>(end - index) < words.blocks()) qp.consumed = end;
    fail(qp, words.opcode, index, MLX5_CQE_SYNDROME_WR_FLUSH_ERR, Vendor::kFlushed);
  }
  qp.rung = false;
}

void Device::fail(Qp& qp, uint8_t opcode, uint16_t index, uint8_t syndrome, Vendor vendor) {
  qp.state = QpState::kError;
  qp.pending.push_back({round_, opcode, index, 0, syndrome, vendor, false, {}});
  deliver(qp);
}

void Device::complete(Qp& qp, const Operation& op) {
  ++qp.counters.executed;
  if (!op.signalled) return;
  PendingCqe cqe{round_, op.opcode, op.index, op.bytes, 0, Vendor::kNone, op.scattered, op.answer};
  if (dice_.chance(faults_.delay_cqe)) cqe.due_round += 1 + dice_.below(faults_.delay_rounds_max);
  qp.pending.push_back(cqe);
  deliver(qp);
}

/// In order: a late CQE, or a READ that is fetched again, holds up those behind it.
bool Device::deliver(Qp& qp) {
  bool worked = false;
  while (!qp.again.empty() && qp.again.front().due_round <= round_) {
    const ReadAgain& read = qp.again.front();
    const std::byte* from = read.remote;
    for (const LocalPiece& piece : read.local) {
      std::memcpy(piece.at, from, piece.bytes);
      from += piece.bytes;
    }
    qp.again.pop_front();
    worked = true;
  }
  while (!qp.pending.empty() && qp.again.empty() && qp.pending.front().due_round <= round_) {
    if (!write_cqe(qp, qp.pending.front())) return worked;
    qp.pending.pop_front();
    worked = true;
  }
  return worked || !qp.pending.empty() || !qp.again.empty();
}

bool Device::write_cqe(Qp& qp, const PendingCqe& pending) {
  const auto found = cqs_.find(qp.config.cqn);
  if (found == cqs_.end()) return false;
  Cq& cq = *found->second;
  if (cq.broken) return false;
  if (!cq.config.ignore_overrun) {
    const uint32_t consumed = load_record(&cq.config.doorbell_record[0]);
    if (((cq.produced - consumed) & 0xff'ffff) >= cq.config.entries) {
      cq.broken = true;
      qp.state = QpState::kError;
      finding(qp.qpn, pending.index, "CQ overrun");
      return false;
    }
  }
  const uint32_t slot = cq.produced & (cq.config.entries - 1);
  const auto owner = static_cast<uint8_t>((cq.produced & cq.config.entries) != 0 ? 1 : 0);
  ++cq.produced;
  std::byte* at = cq.config.buffer + uint64_t{slot} * cq.config.entry_bytes;
  std::byte* const entry = at;  // an answer inside of it begins here
  if (cq.config.entry_bytes == 128) at += 64;
  const uint32_t opcode_qpn = htobe32(uint32_t{pending.opcode} << 24 | qp.qpn);
  uint8_t kind = MLX5_CQE_REQ;
  uint8_t format = 0;
  if (pending.scattered) {
    std::memcpy(entry, pending.answer.data(), pending.bytes);
    format = cq.config.entry_bytes == 128 ? MLX5_INLINE_SCATTER_64 : MLX5_INLINE_SCATTER_32;
  }
  uint8_t* owner_byte = nullptr;
  if (pending.syndrome == 0) {
    auto* cqe = reinterpret_cast<mlx5_cqe64*>(at);
    cqe->srqn_uidx = htobe32(qp.config.user_index);
    cqe->byte_cnt = htobe32(pending.bytes);
    cqe->sop_drop_qpn = opcode_qpn;
    cqe->wqe_counter = htobe16(pending.index);
    cqe->signature = 0;
    owner_byte = &cqe->op_own;
  } else {
    auto* cqe = reinterpret_cast<mlx5_err_cqe*>(at);
    cqe->srqn = htobe32(qp.config.user_index);
    cqe->vendor_err_synd = static_cast<uint8_t>(pending.vendor);
    cqe->syndrome = pending.syndrome;
    cqe->s_wqe_opcode_qpn = opcode_qpn;
    cqe->wqe_counter = htobe16(pending.index);
    kind = MLX5_CQE_REQ_ERR;
    owner_byte = &cqe->op_own;
  }
  std::atomic_ref<uint8_t>(*owner_byte)
      .store(static_cast<uint8_t>(kind << 4 | format | owner), std::memory_order_release);
  return true;
}

}  // namespace dinomo::softhca
