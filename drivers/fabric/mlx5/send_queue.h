// SPDX-License-Identifier: BSD-3-Clause
// The send queue of one RC queue pair, written to directly: WQEs in mlx5's binary format in the
// ring that libmlx5 made, a doorbell record, a BlueFlame register. Formats: <infiniband/mlx5dv.h>.
//
// A WQE takes blocks of 64 bytes (WQEBB) from a ring; it may run over the end. Only inline data
// longer than 28 bytes make it longer than one block, so the hot path cannot wrap.
// Signalling: the last WQE of a ring() and every kSignalEvery-th ask for a CQE; RC completes in
// order, so one CQE speaks for all before it.
//
// Thread rule: one lcore.
#pragma once

#include <endian.h>
#include <infiniband/mlx5dv.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "common/planted.h"
#include "drivers/fabric/mlx5/barrier.h"
#include "drivers/fabric/rdma/rdma_queue.h"

namespace dinomo::fabric::mlx5 {

inline constexpr uint32_t kBlockBytes = 64;
inline constexpr uint32_t kSegmentBytes = 16;
inline constexpr uint32_t kInlineBytesMax = 92;   // two blocks
inline constexpr uint32_t kBlocksPerPostMax = 3;  // a long inline write and its flush
inline constexpr uint32_t kSignalEvery = 16;

inline constexpr std::byte kSignal{MLX5_WQE_CTRL_CQ_UPDATE};
inline constexpr uint32_t kFlagsAt = 11;  // in the control segment

/// A segment is one store of 16 bytes: two big-endian words, each given in host order.
inline void put_segment(std::byte* to, uint64_t first, uint64_t second) noexcept {
  const uint64_t words[2] = {htobe64(first), htobe64(second)};
  std::memcpy(to, words, sizeof words);
}

inline void put_remote(std::byte* to, rdma::Remote remote) noexcept {
  const uint64_t key = uint64_t{remote.rkey} << (planted("rkey-misplaced") ? 0 : 32);
  put_segment(to, planted("address-not-swapped") ? htobe64(remote.address) : remote.address, key);
}

/// A BlueFlame register: two halves that are used in turn. Shared by the pairs of one lcore.
struct BlueFlame {
  std::byte* at = nullptr;
  uint32_t half_bytes = 0;  // 0: only doorbells of eight bytes, at `at`
  uint32_t offset = 0;      // of the half to use next
};

class SendQueue {
 public:
  SendQueue(const mlx5dv_qp& qp, uint32_t qpn, BlueFlame* blue_flame);

  uint32_t qpn() const noexcept { return qpn_; }
  uint32_t blocks() const noexcept { return mask_ + 1; }
  bool room(uint32_t blocks) const noexcept {
    const uint32_t used = static_cast<uint16_t>(producer_ - consumed_);
    return (planted("blocks-reused-early") ? 0 : used) + blocks <= mask_ + 1;
  }
  bool idle() const noexcept { return producer_ == consumed_; }

  void read(rdma::Remote remote, rdma::Local local, uint64_t tag) noexcept {
    transfer(MLX5_OPCODE_RDMA_READ, remote, local, tag);
  }
  void write(rdma::Remote remote, rdma::Local local, uint64_t tag) noexcept {
    transfer(MLX5_OPCODE_RDMA_WRITE, remote, local, tag);
  }
  void write_inline(rdma::Remote remote, Bytes from, uint64_t tag) noexcept;
  void atomic(uint8_t opcode, rdma::Remote remote, uint64_t swap_add, uint64_t compare,
              rdma::Local local, uint64_t tag) noexcept;

  /// Everything posted since the last ring goes out with one doorbell.
  void ring() noexcept;

  /// The device is done with the WQE at `index` and all before it. Calls on_done(tag, status) for
  /// each; all but the last succeeded.
  template <class OnDone>
  void retire(uint16_t index, Status status, OnDone&& on_done) noexcept {
    while (consumed_ != producer_) {
      const Posted& op = posted_[consumed_ & mask_];
      const bool last = consumed_ == index;
      consumed_ = static_cast<uint16_t>(consumed_ + (planted("one-block-retired") ? 1 : op.blocks));
      on_done(op.tag, last || planted("all-before-failed") ? status : Status::kOk);
      if (last) return;
    }
  }

 private:
  struct Posted {
    uint64_t tag;
    uint8_t blocks;
  };

  std::byte* block(uint16_t index) const noexcept {
    return ring_ + uint64_t{index & mask_} * kBlockBytes;
  }
  void transfer(uint8_t opcode, rdma::Remote remote, rdma::Local local, uint64_t tag) noexcept;
  void put_control(std::byte* to, uint8_t opcode, uint32_t segments) noexcept;
  void commit(uint32_t segments, uint64_t tag) noexcept;
  void copy_blue_flame(std::byte* half, const std::byte* wqe, uint32_t blocks) noexcept;

  std::byte* ring_;
  std::byte* ring_end_;
  uint32_t mask_;
  uint32_t* doorbell_record_;
  BlueFlame* blue_flame_;
  uint32_t qpn_;
  uint16_t producer_ = 0;
  uint16_t consumed_ = 0;
  uint16_t rung_ = 0;
  uint16_t last_ = 0;  // index of the WQE posted last
  uint32_t unsignalled_ = 0;
  uint32_t posted_since_ring_ = 0;
  std::vector<Posted> posted_;  // by first block
};

// What is built for each operation is inline: a call would pass its segments through memory, and
// reading them back in other sizes than they were stored costs more than building them.

/// opmod 0, index, opcode; QPN and size; signature, stream and flags 0; no immediate.
inline void SendQueue::put_control(std::byte* to, uint8_t opcode, uint32_t segments) noexcept {
  const uint64_t index = planted("index-masked") ? producer_ & mask_ : producer_;
  const uint64_t first = index << 40 | uint64_t{opcode} << 32 | qpn_ << 8 | segments;
  if (planted("control-half-written")) return store(to, htobe64(first));
  put_segment(to, first, 0);
}

inline void SendQueue::commit(uint32_t segments, uint64_t tag) noexcept {
  const uint32_t blocks = (segments + 3) / 4;
  posted_[producer_ & mask_] = {tag, static_cast<uint8_t>(blocks)};
  last_ = producer_;
  if (++unsignalled_ == kSignalEvery && !planted("signals-only-the-last")) {
    block(last_)[kFlagsAt] = kSignal;
    unsignalled_ = 0;
  }
  producer_ = static_cast<uint16_t>(producer_ + blocks);
  ++posted_since_ring_;
}

inline void SendQueue::transfer(uint8_t opcode, rdma::Remote remote, rdma::Local local,
                                uint64_t tag) noexcept {
  std::byte* wqe = block(producer_);
  // Without data there is no data segment: a count of 0 means 2 GiB to the device.
  const bool data = local.bytes != 0 || planted("data-segment-for-nothing");
  const uint32_t segments = data ? 3 : 2;
  put_control(wqe, opcode, segments);
  put_remote(wqe + 16, remote);
  if (data) {
    put_segment(wqe + 32, uint64_t{local.bytes} << 32 | local.lkey,
                reinterpret_cast<uintptr_t>(local.at));
  }
  commit(segments, tag);
}

inline void SendQueue::write_inline(rdma::Remote remote, Bytes from, uint64_t tag) noexcept {
  std::byte* wqe = block(producer_);
  const auto bytes = static_cast<uint32_t>(from.size());
  const uint32_t with_header = (planted("inline-header-not-counted") ? 0 : 4) + bytes;
  const uint32_t segments = 2 + (with_header + kSegmentBytes - 1) / kSegmentBytes;
  put_control(wqe, MLX5_OPCODE_RDMA_WRITE, segments);
  put_remote(wqe + 16, remote);
  store(wqe + 32, htobe32(planted("inline-not-marked") ? bytes : bytes | MLX5_INLINE_SEG));
  std::byte* data = wqe + 36;
  const size_t room = std::min<size_t>(from.size(), static_cast<size_t>(ring_end_ - data));
  if (room != 0) std::memcpy(data, from.data(), room);
  if (from.size() > room && !planted("inline-not-wrapped")) {
    std::memcpy(ring_, from.data() + room, from.size() - room);
  }
  commit(segments, tag);
}

inline void SendQueue::atomic(uint8_t opcode, rdma::Remote remote, uint64_t swap_add,
                              uint64_t compare, rdma::Local local, uint64_t tag) noexcept {
  std::byte* wqe = block(producer_);
  put_control(wqe, opcode, 4);
  put_remote(wqe + 16, remote);
  if (planted("operands-swapped")) std::swap(swap_add, compare);
  put_segment(wqe + 32, swap_add, compare);
  put_segment(wqe + 48, uint64_t{local.bytes} << 32 | local.lkey,
              reinterpret_cast<uintptr_t>(local.at));
  commit(4, tag);
}

/// One CQ, polled by its owner; entries of 64 or 128 bytes.
class CompletionQueue {
 public:
  explicit CompletionQueue(const mlx5dv_cq& cq);

  struct Entry {
    uint32_t qpn;
    uint16_t index;
    uint8_t opcode;
    uint8_t syndrome;  // 0: success
    uint8_t vendor;
  };

  /// False when there is no new entry.
  bool next(Entry* entry) noexcept;
  /// Tells the device what was taken; if nothing was, only when `always`.
  void update(bool always = false) noexcept;

 private:
  std::byte* buffer_;
  uint32_t mask_;
  uint32_t entry_bytes_;
  uint32_t* doorbell_record_;
  uint32_t consumer_ = 0;
  uint32_t told_ = 0;
};

/// What an error CQE means for the owner of the queue.
Status status_of_syndrome(uint8_t syndrome) noexcept;

}  // namespace dinomo::fabric::mlx5
