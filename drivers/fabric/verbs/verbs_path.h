// SPDX-License-Identifier: BSD-3-Clause
// How RdmaQueue posts and polls by libibverbs: the queue pairs of one lcore and their common CQ.
#pragma once

#include <memory>
#include <vector>

#include "drivers/fabric/rdma/data_plane.h"
#include "drivers/fabric/rdma/pair_list.h"
#include "drivers/fabric/verbs/send_list.h"

namespace dinomo::fabric::verbs {

class VerbsPath : public rdma::PairList<SendList> {
 public:
  /// `cq` is the loaned set's.
  VerbsPath(rdma::PairSetLoan loan, ibv_cq* cq, uint32_t inline_bytes, std::vector<SendList> pairs)
      : PairList(std::move(pairs)), loan_(std::move(loan)), cq_(cq), inline_bytes_(inline_bytes) {}

  uint32_t inline_bytes_max() const noexcept { return inline_bytes_; }

  /// A full list that has not been rung would stay full.
  bool room(uint32_t pair) noexcept {
    if (pairs_[pair].room(kRequestsPerPostMax)) return true;
    ring_one(pairs_[pair]);
    return false;
  }
  void compare_swap(uint32_t pair, rdma::Remote remote, uint64_t expected, uint64_t desired,
                    rdma::Local local, uint64_t tag) noexcept {
    pairs_[pair].atomic(IBV_WR_ATOMIC_CMP_AND_SWP, remote, expected, desired, local, tag);
  }
  void fetch_add(uint32_t pair, rdma::Remote remote, uint64_t addend, rdma::Local local,
                 uint64_t tag) noexcept {
    pairs_[pair].atomic(IBV_WR_ATOMIC_FETCH_AND_ADD, remote, addend, 0, local, tag);
  }
  void ring() noexcept {
    for (SendList& pair : pairs_) ring_one(pair);
  }
  void stop() noexcept {
    ring();  // what was not posted would never complete
    loan_.stop();
  }

  template <class OnDone>
  uint32_t poll(uint32_t max, OnDone&& on_done) noexcept {
    uint32_t entries = 0;
    std::array<ibv_wc, kPollEntries> wc;
    while (entries < max) {
      const int got = ::ibv_poll_cq(cq_, kPollEntries, wc.data());
      for (int i = 0; i < got; ++i) {
        const ibv_wc& entry = wc[static_cast<size_t>(i)];
        SendList* const pair = find(entry.qp_num);
        if (pair != nullptr) pair->retire(entry.wr_id, status_of(entry.status), on_done);
      }
      if (got > 0) entries += static_cast<uint32_t>(got);
      if (got < static_cast<int>(kPollEntries)) break;
    }
    if (refused_) {
      for (SendList& pair : pairs_) pair.abandon(on_done);
    }
    return entries;
  }

 private:
  static constexpr uint32_t kPollEntries = 16;

  void ring_one(SendList& pair) noexcept { refused_ |= !pair.ring(); }

  rdma::PairSetLoan loan_;
  ibv_cq* cq_;
  uint32_t inline_bytes_;
  bool refused_ = false;  // the device did not take a list: it is gone
};

using VerbsQueue = rdma::RdmaQueue<VerbsPath>;

}  // namespace dinomo::fabric::verbs
