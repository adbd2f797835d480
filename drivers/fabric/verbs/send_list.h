// SPDX-License-Identifier: BSD-3-Clause
// What one RC queue pair is to do, gathered until ring() hands it to libibverbs as one list, with
// one doorbell. For any device that libibverbs knows.
//
// Signalling: the last work request of a ring() and every kSignalEvery-th ask for a completion; RC
// completes in order, so one speaks for all before it. After an error each of them reports itself.
//
// Thread rule: one lcore.
#pragma once

#include <infiniband/verbs.h>

#include <algorithm>
#include <array>
#include <vector>

#include "drivers/fabric/rdma/rdma_queue.h"

namespace dinomo::fabric::verbs {

inline constexpr uint32_t kInlineBytesMax = 96;
inline constexpr uint32_t kSignalEvery = 16;

class SendList {
 public:
  /// `capacity`: a power of two, at most what `qp` was made for. `qp` outlives the list.
  SendList(ibv_qp* qp, uint32_t capacity);

  uint32_t qpn() const noexcept { return qp_->qp_num; }
  bool room(uint32_t requests) const noexcept { return tail_ - head_ + requests <= items_.size(); }

  void read(rdma::Remote remote, rdma::Local local, uint64_t tag) noexcept {
    transfer(IBV_WR_RDMA_READ, remote, local, tag);
  }
  void write(rdma::Remote remote, rdma::Local local, uint64_t tag) noexcept {
    transfer(IBV_WR_RDMA_WRITE, remote, local, tag);
  }
  /// At most kInlineBytesMax, and what the pair was made for. Copied: the caller may change it.
  void write_inline(rdma::Remote remote, Bytes from, uint64_t tag) noexcept;
  /// `operand`: what is added, or what is stored if the word is `expected`.
  void atomic(ibv_wr_opcode opcode, rdma::Remote remote, uint64_t operand, uint64_t expected,
              rdma::Local local, uint64_t tag) noexcept;

  void ring() noexcept;

  /// Request `number` and all before it are done. Calls on_done(tag, status) for each; all but the
  /// last succeeded.
  template <class OnDone>
  void retire(uint64_t number, Status status, OnDone&& on_done) noexcept {
    while (head_ <= number && head_ != rung_) {
      const bool last = head_ == number;
      on_done(at(head_++).tag, last ? status : Status::kOk);
    }
  }

  /// What libibverbs refused to take, once all before it is done.
  template <class OnDone>
  void retire_refused(OnDone&& on_done) noexcept {
    if (!refused_ || head_ != rung_) return;
    while (head_ != tail_) on_done(at(head_++).tag, Status::kInternal);
    rung_ = tail_;
  }

 private:
  struct Item {
    ibv_send_wr request;
    ibv_sge piece;
    std::array<std::byte, kInlineBytesMax> bytes;
    uint64_t tag;
  };

  Item& at(uint64_t number) noexcept { return items_[number & (items_.size() - 1)]; }
  Item& add(ibv_wr_opcode opcode, rdma::Local local, uint64_t tag) noexcept;
  void transfer(ibv_wr_opcode opcode, rdma::Remote remote, rdma::Local local,
                uint64_t tag) noexcept;

  ibv_qp* qp_;
  std::vector<Item> items_;  // ring
  // Numbers of requests: head_ <= rung_ <= tail_.
  uint64_t head_ = 0;  // not known to be done
  uint64_t rung_ = 0;  // not handed over
  uint64_t tail_ = 0;
  bool refused_ = false;
};

/// What an unsuccessful completion means for the owner of the queue.
Status status_of(ibv_wc_status status) noexcept;

}  // namespace dinomo::fabric::verbs
