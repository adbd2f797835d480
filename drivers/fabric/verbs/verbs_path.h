// SPDX-License-Identifier: BSD-3-Clause
// How RdmaQueue posts and polls by libibverbs: the send lists of one lcore and their common CQ.
#pragma once

#include <array>
#include <vector>

#include "drivers/fabric/rdma/data_plane.h"
#include "drivers/fabric/verbs/send_list.h"

namespace dinomo::fabric::verbs {

class VerbsPath {
 public:
  VerbsPath(rdma::PairSetLoan loan, ibv_cq* cq, uint32_t inline_bytes, std::vector<SendList> pairs)
      : loan_(std::move(loan)), cq_(cq), inline_bytes_(inline_bytes), pairs_(std::move(pairs)) {}

  uint32_t pairs() const noexcept { return static_cast<uint32_t>(pairs_.size()); }
  uint32_t inline_bytes_max() const noexcept { return inline_bytes_; }

  /// A full list that has not been rung would stay full.
  bool room(uint32_t pair) noexcept {
    if (pairs_[pair].room(kRequestsPerPostMax)) return true;
    pairs_[pair].ring();
    return false;
  }
  void read(uint32_t pair, rdma::Remote remote, rdma::Local local, uint64_t tag) noexcept {
    pairs_[pair].read(remote, local, tag);
  }
  void write(uint32_t pair, rdma::Remote remote, rdma::Local local, uint64_t tag) noexcept {
    pairs_[pair].write(remote, local, tag);
  }
  void write_inline(uint32_t pair, rdma::Remote remote, Bytes from, uint64_t tag) noexcept {
    pairs_[pair].write_inline(remote, from, tag);
  }
  void compare_swap(uint32_t pair, rdma::Remote remote, uint64_t expected, uint64_t desired,
                    rdma::Local local, uint64_t tag) noexcept {
    pairs_[pair].atomic(IBV_WR_ATOMIC_CMP_AND_SWP, remote, desired, expected, local, tag);
  }
  void fetch_add(uint32_t pair, rdma::Remote remote, uint64_t addend, rdma::Local local,
                 uint64_t tag) noexcept {
    pairs_[pair].atomic(IBV_WR_ATOMIC_FETCH_AND_ADD, remote, addend, 0, local, tag);
  }
  void ring() noexcept {
    for (SendList& pair : pairs_) pair.ring();
  }
  void stop() noexcept {
    ring();  // what the device has not been told of would never complete
    loan_.stop();
  }

  template <class OnDone>
  uint32_t poll(uint32_t max, OnDone&& on_done) noexcept {
    uint32_t taken = 0;
    while (taken < max) {
      std::array<ibv_wc, kEntriesAtOnce> entries;
      const int room = static_cast<int>(std::min<uint32_t>(max - taken, kEntriesAtOnce));
      const int got = ::ibv_poll_cq(cq_, room, entries.data());
      for (int i = 0; i < got; ++i) retire(entries[static_cast<size_t>(i)], on_done);
      if (got > 0) taken += static_cast<uint32_t>(got);
      if (got < room) break;
    }
    for (SendList& pair : pairs_) pair.retire_refused(on_done);
    return taken;
  }

 private:
  static constexpr uint32_t kRequestsPerPostMax = 2;  // a write and its flush
  static constexpr uint32_t kEntriesAtOnce = 16;

  template <class OnDone>
  void retire(const ibv_wc& entry, OnDone&& on_done) noexcept {
    for (SendList& pair : pairs_) {
      if (pair.qpn() != entry.qp_num) continue;
      return pair.retire(entry.wr_id, status_of(entry.status), on_done);
    }
  }

  rdma::PairSetLoan loan_;
  ibv_cq* cq_;  // of the loan
  uint32_t inline_bytes_;
  std::vector<SendList> pairs_;
};

using VerbsQueue = rdma::RdmaQueue<VerbsPath>;

}  // namespace dinomo::fabric::verbs
