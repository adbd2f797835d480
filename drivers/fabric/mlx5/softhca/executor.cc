// SPDX-License-Identifier: BSD-3-Clause
#include "drivers/fabric/mlx5/softhca/executor.h"

#include <algorithm>
#include <atomic>
#include <cstring>

namespace dinomo::softhca {

namespace {

constexpr size_t kPiecesMax = 32;
constexpr uint32_t kReadAgainRoundsMax = 8;

bool is_atomic(uint8_t opcode) noexcept {
  return opcode == MLX5_OPCODE_ATOMIC_CS || opcode == MLX5_OPCODE_ATOMIC_FA;
}
bool is_transfer(uint8_t opcode) noexcept {
  return opcode == MLX5_OPCODE_RDMA_WRITE || opcode == MLX5_OPCODE_RDMA_READ;
}

}  // namespace

bool Executor::failed(uint8_t syndrome, Vendor vendor) {
  Operation& op = qp_.operation;
  op.active = false;
  device_.fail(qp_, op.opcode, op.index, syndrome, vendor);
  device_.flush(qp_);
  return false;
}

bool Executor::malformed(const char* what) {
  device_.finding(qp_.qpn, qp_.operation.index, what);
  return failed(MLX5_CQE_SYNDROME_LOCAL_QP_OP_ERR, Vendor::kMalformed);
}

bool Executor::check_control(const ControlWords& words) {
  if (words.index != qp_.operation.index) {
    return malformed("the index in the control segment is not the producer's count");
  }
  if (words.qpn != qp_.qpn) return malformed("the QPN in the control segment is another QP's");
  if (words.opmod != 0) return malformed("opmod must be 0");
  if (words.opcode != MLX5_OPCODE_NOP && !is_atomic(words.opcode) && !is_transfer(words.opcode)) {
    return malformed("this opcode is not modelled");
  }
  return true;
}

void Executor::begin(uint16_t available) {
  const uint16_t index = qp_.consumed;
  const uint64_t at = uint64_t{index} % qp_.config.blocks * kBlockBytes;
  const std::byte* control = qp_.config.ring + at;
  const auto words = ControlWords::read(control);
  Operation& op = qp_.operation;
  op = Operation{};
  op.opcode = words.opcode;
  op.index = index;
  if (words.segments == 0 || words.blocks() > available) {
    qp_.consumed = static_cast<uint16_t>(index + available);
    malformed("the WQE has no segments or runs past the doorbell");
    return;
  }
  qp_.consumed = static_cast<uint16_t>(index + words.blocks());
  const auto flags = static_cast<uint8_t>(control[11]);
  op.signalled = (flags >> 2 & 3) >= 2 || qp_.config.signal_all;
  if (!check_control(words)) return;
  SegmentReader segments(qp_.config.ring, uint64_t{qp_.config.blocks} * kBlockBytes,
                         at + kSegmentBytes, words.segments - 1);
  if (op.opcode == MLX5_OPCODE_NOP) {
    finish();
    return;
  }
  if (segments.left() == 0) {
    malformed("the remote address segment is missing");
    return;
  }
  const std::byte* remote = segments.next();
  const uint64_t remote_address = load_be64(remote);
  const uint32_t rkey = load_be32(remote + 8);
  if (load_be32(remote + 12) != 0) {
    device_.finding(qp_.qpn, index, "the reserved word of the remote address segment is not 0");
  }
  peer_ = device_.find_qp(qp_.peer_qpn);
  const bool reachable =
      qp_.link_up && peer_ != nullptr && peer_->link_up &&
      (peer_->state == QpState::kReadyToReceive || peer_->state == QpState::kReadyToSend);
  if (!reachable) {
    failed(MLX5_CQE_SYNDROME_TRANSPORT_RETRY_EXC_ERR, Vendor::kRetryExceeded);
    return;
  }
  const bool good = is_atomic(op.opcode) ? read_atomic(segments, remote_address, rkey)
                                         : read_transfer(segments, remote_address, rkey);
  if (!good) return;
  if (qp_.config.scatter_to_cqe) answer_in_cqe();
  op.active = true;
  go_on();
}

/// What fits is not written to where it was asked to.
void Executor::answer_in_cqe() {
  Operation& op = qp_.operation;
  const auto cq = device_.cqs_.find(qp_.config.cqn);
  const bool answered = is_atomic(op.opcode) || op.opcode == MLX5_OPCODE_RDMA_READ;
  if (!answered || !op.signalled || op.bytes == 0 || cq == device_.cqs_.end()) return;
  if (op.bytes > cq->second->config.entry_bytes / 2) return;
  op.scattered = true;
  op.local.assign(1, {op.answer.data(), op.bytes});
}

std::byte* Executor::translate(uint32_t key, uint32_t pd, uint64_t address, uint64_t bytes,
                               uint32_t rights) noexcept {
  const uint32_t index = key >> 8;
  if (index >= device_.mkeys_.size()) return nullptr;
  const Mkey& m = device_.mkeys_[index];
  const bool fits = m.key == key && m.live && m.pd == pd && (m.access & rights) == rights &&
                    address >= m.iova && bytes <= m.bytes && address - m.iova <= m.bytes - bytes;
  return fits ? m.host + (address - m.iova) : nullptr;
}

/// A refusal takes the responder's QP down as well, as on hardware.
std::byte* Executor::translate_remote(uint32_t rkey, uint64_t address, uint64_t bytes,
                                      uint32_t rights) {
  std::byte* at = (peer_->access & rights) == rights
                      ? translate(rkey, peer_->config.pd, address, bytes, rights)
                      : nullptr;
  if (at == nullptr) {
    peer_->state = QpState::kError;
    if (peer_ != &qp_) device_.flush(*peer_);
    failed(MLX5_CQE_SYNDROME_REMOTE_ACCESS_ERR, Vendor::kRemoteKey);
  }
  return at;
}

bool Executor::read_atomic(SegmentReader& segments, uint64_t remote_address, uint32_t rkey) {
  Operation& op = qp_.operation;
  if (segments.left() != 2) return malformed("an atomic has an atomic and a data segment");
  const std::byte* atomic = segments.next();
  op.swap_add = load_be64(atomic);
  op.compare = load_be64(atomic + 8);
  const std::byte* data = segments.next();
  if (load_be32(data) != sizeof(uint64_t)) {
    return failed(MLX5_CQE_SYNDROME_LOCAL_LENGTH_ERR, Vendor::kMalformed);
  }
  if (!read_pointer(data, true)) return false;
  if (remote_address % 8 != 0) {
    return failed(MLX5_CQE_SYNDROME_REMOTE_INVAL_REQ_ERR, Vendor::kInvalidRequest);
  }
  op.remote = translate_remote(rkey, remote_address, sizeof(uint64_t), IBV_ACCESS_REMOTE_ATOMIC);
  return op.remote != nullptr;
}

bool Executor::read_transfer(SegmentReader& segments, uint64_t remote_address, uint32_t rkey) {
  Operation& op = qp_.operation;
  const bool write = op.opcode == MLX5_OPCODE_RDMA_WRITE;
  while (segments.left() != 0) {
    const std::byte* segment = segments.next();
    const uint32_t count = load_be32(segment);
    if ((count & MLX5_INLINE_SEG) != 0) {
      if (!write) return malformed("a READ cannot have inline data");
      if (!read_inline(segments, segment, count & ~MLX5_INLINE_SEG)) return false;
    } else if (!read_pointer(segment, !write)) {
      return false;
    }
  }
  if (op.bytes == 0) return true;  // without data the remote key is not looked at (IBA)
  op.remote = translate_remote(rkey, remote_address, op.bytes,
                               write ? IBV_ACCESS_REMOTE_WRITE : IBV_ACCESS_REMOTE_READ);
  return op.remote != nullptr;
}

/// Data follows the length at once and may run over the end of the ring.
bool Executor::read_inline(SegmentReader& segments, const std::byte* segment, uint32_t bytes) {
  Operation& op = qp_.operation;
  const uint32_t more = (bytes + 4 + kSegmentBytes - 1) / kSegmentBytes - 1;
  if (more > segments.left()) return malformed("inline data are longer than the WQE");
  const std::byte* data = segment + 4;
  const auto room = static_cast<uint32_t>(segments.ring_end() - data);
  const uint32_t first = std::min(bytes, room);
  op.local.push_back({const_cast<std::byte*>(data), first});
  if (bytes > first) op.local.push_back({const_cast<std::byte*>(segments.ring()), bytes - first});
  op.bytes += bytes;
  segments.skip(more);
  return true;
}

bool Executor::read_pointer(const std::byte* segment, bool to_local) {
  Operation& op = qp_.operation;
  if (op.local.size() == kPiecesMax) return malformed("too many data segments");
  uint32_t bytes = load_be32(segment);
  if (bytes == 0) bytes = 0x8000'0000;  // as the device reads a zero here
  std::byte* local = translate(load_be32(segment + 4), qp_.config.pd, load_be64(segment + 8), bytes,
                               to_local ? IBV_ACCESS_LOCAL_WRITE : 0);
  if (local == nullptr) return failed(MLX5_CQE_SYNDROME_LOCAL_PROT_ERR, Vendor::kLocalKey);
  op.local.push_back({local, bytes});
  op.bytes += bytes;
  return true;
}

void Executor::go_on() {
  if (peer_ == nullptr) peer_ = device_.find_qp(qp_.peer_qpn);
  if (is_atomic(qp_.operation.opcode)) {
    run_atomic();
  } else {
    run_transfer();
  }
}

void Executor::run_atomic() {
  Operation& op = qp_.operation;
  std::atomic_ref<uint64_t> word(*reinterpret_cast<uint64_t*>(op.remote));
  const bool swap = op.opcode == MLX5_OPCODE_ATOMIC_CS;
  if (!device_.faults_.hca_only_atomics) {
    if (swap) {
      op.fetched = op.compare;
      word.compare_exchange_strong(op.fetched, op.swap_add);
    } else {
      op.fetched = word.fetch_add(op.swap_add);
    }
  } else if (!op.loaded) {
    if (device_.atomic_under_way_) return;  // the device itself does one at a time
    device_.atomic_under_way_ = op.loaded = true;
    op.fetched = word.load();
    return;  // the store comes in a later round; CPUs may store meanwhile
  } else {
    if (!swap || op.fetched == op.compare) {
      word.store(swap ? op.swap_add : op.fetched + op.swap_add);
    }
    device_.atomic_under_way_ = false;
  }
  std::memcpy(op.local[0].at, &op.fetched, sizeof op.fetched);
  finish();
}

void Executor::run_transfer() {
  Operation& op = qp_.operation;
  const bool write = op.opcode == MLX5_OPCODE_RDMA_WRITE;
  if (op.done == 0 && !write && peer_ != nullptr) peer_->unflushed.clear();
  uint32_t piece = op.bytes - op.done;
  if (piece > device_.faults_.tear_bytes && device_.dice_.chance(device_.faults_.tear)) {
    piece = device_.faults_.tear_bytes;
  }
  copy(op.done, piece);
  op.done += piece;
  if (op.done < op.bytes) return;
  if (!write && op.bytes != 0 && !op.scattered &&
      device_.dice_.chance(device_.faults_.read_again)) {
    qp_.again.push_back(
        {device_.round_ + 1 + device_.dice_.below(kReadAgainRoundsMax), op.remote, op.local});
  }
  finish();
}

/// Bytes [from, from + bytes) of the transfer.
void Executor::copy(uint32_t from, uint32_t bytes) {
  const Operation& op = qp_.operation;
  const bool write = op.opcode == MLX5_OPCODE_RDMA_WRITE;
  if (write) remember_unflushed(op.remote + from, bytes);
  uint32_t begin = 0;
  for (const LocalPiece& piece : op.local) {
    const uint32_t first = std::max(from, begin);
    const uint32_t last = std::min(from + bytes, begin + piece.bytes);
    if (first < last) {
      std::byte* local = piece.at + (first - begin);
      std::byte* remote = op.remote + first;
      std::memcpy(write ? remote : local, write ? local : remote, last - first);
    }
    begin += piece.bytes;
  }
}

void Executor::remember_unflushed(std::byte* at, uint32_t bytes) {
  if (!device_.faults_.write_buffer || peer_ == nullptr) return;
  const auto first = reinterpret_cast<uintptr_t>(at) & ~uintptr_t{7};
  const auto end = reinterpret_cast<uintptr_t>(at) + bytes;
  for (uintptr_t word = first; word < end; word += 8) {
    // NOLINTNEXTLINE(performance-no-int-to-ptr): an address is what comes
    Unflushed piece{reinterpret_cast<std::byte*>(word), 0};
    std::memcpy(&piece.before, piece.at, sizeof piece.before);
    peer_->unflushed.push_back(piece);
  }
}

void Executor::finish() {
  qp_.operation.active = false;
  std::atomic_thread_fence(std::memory_order_release);
  device_.complete(qp_, qp_.operation);
}

}  // namespace dinomo::softhca
