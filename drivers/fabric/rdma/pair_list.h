// SPDX-License-Identifier: BSD-3-Clause
// The part of a Path (rdma_queue.h) that is the same however a queue pair is posted to: which pair
// an operation and a completion belong to. `Pair` has qpn(), read(), write() and write_inline().
//
// Thread rule: one lcore.
#pragma once

#include <vector>

#include "drivers/fabric/rdma/rdma_queue.h"

namespace dinomo::fabric::rdma {

template <class Pair>
class PairList {
 public:
  explicit PairList(std::vector<Pair> pairs) noexcept : pairs_(std::move(pairs)) {}

  uint32_t pairs() const noexcept { return static_cast<uint32_t>(pairs_.size()); }
  void read(uint32_t pair, Remote remote, Local local, uint64_t tag) noexcept {
    pairs_[pair].read(remote, local, tag);
  }
  void write(uint32_t pair, Remote remote, Local local, uint64_t tag) noexcept {
    pairs_[pair].write(remote, local, tag);
  }
  void write_inline(uint32_t pair, Remote remote, Bytes from, uint64_t tag) noexcept {
    pairs_[pair].write_inline(remote, from, tag);
  }

 protected:
  /// Nullptr for a number that is none of ours.
  Pair* find(uint32_t qpn) noexcept {
    for (Pair& pair : pairs_) {
      if (pair.qpn() == qpn) return &pair;
    }
    return nullptr;
  }

  std::vector<Pair> pairs_;
};

}  // namespace dinomo::fabric::rdma
