// SPDX-License-Identifier: BSD-3-Clause
// How RdmaQueue posts and polls with direct verbs: the send queues of one lcore, their common CQ
// and their common BlueFlame register.
#pragma once

#include <memory>
#include <vector>

#include "drivers/fabric/mlx5/send_queue.h"
#include "drivers/fabric/rdma/pair_list.h"

namespace dinomo::fabric::mlx5 {

/// What stays with the verbs objects: taken down when the queue goes.
class PairOwner {
 public:
  virtual ~PairOwner() = default;
  /// All pairs to the error state, so that everything posted completes. Rare; may enter the kernel.
  virtual void stop() noexcept = 0;
};

class Mlx5Path : public rdma::PairList<SendQueue> {
 public:
  Mlx5Path(std::unique_ptr<PairOwner> owner, CompletionQueue* cq, std::unique_ptr<BlueFlame> flame,
           std::vector<SendQueue> pairs)
      : PairList(std::move(pairs)), owner_(std::move(owner)), flame_(std::move(flame)), cq_(cq) {}

  static constexpr uint32_t inline_bytes_max() noexcept { return kInlineBytesMax; }

  /// A full ring that has not been rung would stay full.
  bool room(uint32_t pair) noexcept {
    if (pairs_[pair].room(kBlocksPerPostMax)) return true;
    if (!planted("full-ring-not-rung")) pairs_[pair].ring();
    return false;
  }
  void compare_swap(uint32_t pair, rdma::Remote remote, uint64_t expected, uint64_t desired,
                    rdma::Local local, uint64_t tag) noexcept {
    pairs_[pair].atomic(MLX5_OPCODE_ATOMIC_CS, remote, desired, expected, local, tag);
  }
  void fetch_add(uint32_t pair, rdma::Remote remote, uint64_t addend, rdma::Local local,
                 uint64_t tag) noexcept {
    pairs_[pair].atomic(MLX5_OPCODE_ATOMIC_FA, remote, addend, 0, local, tag);
  }
  void ring() noexcept {
    for (SendQueue& pair : pairs_) pair.ring();
  }
  void stop() noexcept {
    if (!planted("stopped-without-a-ring")) ring();  // else what was not rung never completes
    owner_->stop();
  }

  template <class OnDone>
  uint32_t poll(uint32_t max, OnDone&& on_done) noexcept {
    uint32_t entries = 0;
    CompletionQueue::Entry entry;
    while (entries < max && cq_->next(&entry)) {
      ++entries;
      SendQueue* const pair = find(entry.qpn);
      if (pair != nullptr) pair->retire(entry.index, status_of_syndrome(entry.syndrome), on_done);
    }
    cq_->update();
    return entries;
  }

 private:
  std::unique_ptr<PairOwner> owner_;
  std::unique_ptr<BlueFlame> flame_;
  CompletionQueue* cq_;  // of the owner
};

using Mlx5Queue = rdma::RdmaQueue<Mlx5Path>;

}  // namespace dinomo::fabric::mlx5
