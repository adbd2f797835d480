// SPDX-License-Identifier: BSD-3-Clause
#include "drivers/ingress/ethdev/large.h"

#include <atomic>
#include <bit>
#include <new>

namespace dinomo::ingress::ethdev {

bool LargePool::make(uint32_t count, int socket_id) {
  static std::atomic<uint32_t> made{0};
  const std::string name = "dinomo_large" + std::to_string(made.fetch_add(1));
  free_.reset(rte_ring_create(name.c_str(), std::bit_ceil(count + 1), socket_id, 0));
  memory_.reset(static_cast<LargeDatagram*>(
      std::aligned_alloc(alignof(LargeDatagram), count * sizeof(LargeDatagram))));
  if (free_ == nullptr || memory_ == nullptr) return false;
  for (uint32_t i = 0; i < count; ++i) {
    // No initialiser: the bytes of the segment stay untouched.
    give(::new (memory_.get() + i) LargeDatagram);
  }
  return true;
}

LargeDatagram* LargePool::take() noexcept {
  void* datagram = nullptr;
  return rte_ring_dequeue(free_.get(), &datagram) == 0 ? static_cast<LargeDatagram*>(datagram)
                                                       : nullptr;
}

void LargePool::give(LargeDatagram* datagram) noexcept {
  rte_ring_enqueue(free_.get(), datagram);  // it has room for all that there are
}

}  // namespace dinomo::ingress::ethdev
