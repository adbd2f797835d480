// SPDX-License-Identifier: BSD-3-Clause
// The send queue of one RC queue pair, by libibverbs: requests are gathered and go out as one list
// with ring(). The last of a list and every kSignalEvery-th ask for a completion; RC completes in
// order, so one speaks for all before it. After a failure each request has a completion of its own.
//
// Thread rule: one lcore.
#pragma once

#include <infiniband/verbs.h>

#include <array>
#include <vector>

#include "drivers/fabric/rdma/rdma_queue.h"

namespace dinomo::fabric::verbs {

inline constexpr uint32_t kInlineBytesMax = 92;
inline constexpr uint32_t kRequestsPerPostMax = 2;  // a write and its flush
inline constexpr uint32_t kSignalEvery = 16;

class SendList {
 public:
  /// `requests`: how many the pair was made for; a power of two.
  SendList(ibv_qp* qp, uint32_t requests);

  uint32_t qpn() const noexcept { return qp_->qp_num; }
  bool room(uint32_t requests) const noexcept {
    return producer_ - consumed_ + requests <= posted_.size();
  }

  void read(rdma::Remote remote, rdma::Local local, uint64_t tag) noexcept {
    add(IBV_WR_RDMA_READ, local, tag).wr.rdma = {remote.address, remote.rkey};
  }
  void write(rdma::Remote remote, rdma::Local local, uint64_t tag) noexcept {
    add(IBV_WR_RDMA_WRITE, local, tag).wr.rdma = {remote.address, remote.rkey};
  }
  /// The bytes are copied.
  void write_inline(rdma::Remote remote, Bytes from, uint64_t tag) noexcept;
  void atomic(ibv_wr_opcode opcode, rdma::Remote remote, uint64_t compare_add, uint64_t swap,
              rdma::Local local, uint64_t tag) noexcept {
    add(opcode, local, tag).wr.atomic = {remote.address, compare_add, swap, remote.rkey};
  }

  /// Posts everything gathered since the last ring. False if the device refused it, now or before:
  /// it is gone, and not asked again.
  bool ring() noexcept;

  /// The request `id` (as in the completion) and all before it are done: calls on_done(tag, status)
  /// for each; all but the last succeeded.
  template <class OnDone>
  void retire(uint64_t id, Status status, OnDone&& on_done) noexcept {
    while (consumed_ != producer_ && consumed_ <= id) {
      const uint64_t tag = slot(consumed_).tag;
      const bool last = consumed_ == id;
      ++consumed_;
      on_done(tag, last ? status : Status::kOk);
    }
  }
  /// After a refusal nothing of this list can be waited for: with the pairs stopped, all of it is
  /// over with kUnreachable.
  template <class OnDone>
  void abandon(OnDone&& on_done) noexcept {
    while (refused_ && consumed_ != producer_) {
      const uint64_t tag = slot(consumed_++).tag;
      on_done(tag, Status::kUnreachable);
    }
  }

 private:
  struct Posted {
    uint64_t tag;
    ibv_send_wr request;
    ibv_sge piece;
    std::array<std::byte, kInlineBytesMax> bytes;
  };
  Posted& slot(uint64_t number) noexcept { return posted_[number & (posted_.size() - 1)]; }
  ibv_send_wr& add(ibv_wr_opcode opcode, rdma::Local local, uint64_t tag) noexcept;

  ibv_qp* qp_;
  std::vector<Posted> posted_;  // ring
  uint64_t producer_ = 0;
  uint64_t rung_ = 0;
  uint64_t consumed_ = 0;
  uint32_t unsignalled_ = 0;
  bool refused_ = false;
};

/// What a completion means for the owner of the queue.
Status status_of(ibv_wc_status status) noexcept;

}  // namespace dinomo::fabric::verbs
