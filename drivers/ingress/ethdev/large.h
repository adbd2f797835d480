// SPDX-License-Identifier: BSD-3-Clause
// Memory for reassembled datagrams, and how a handle says which kind of memory it stands for.
//
// Thread rule: take() and give() on any lcore; the rest on the control thread.
#pragma once

#include <rte_ring.h>

#include <cstdlib>
#include <memory>
#include <string>

#include "ingress/fragment.h"

namespace dinomo::ingress::ethdev {

struct RingDeleter {
  void operator()(rte_ring* ring) const noexcept { rte_ring_free(ring); }
};
using RingPointer = std::unique_ptr<rte_ring, RingDeleter>;

/// A handle is a packet buffer, or, with its lowest bit set, a LargeDatagram.
inline bool is_large(const void* handle) noexcept {
  return (reinterpret_cast<uintptr_t>(handle) & 1) != 0;
}
inline void* large_handle(LargeDatagram* datagram) noexcept {
  return reinterpret_cast<std::byte*>(datagram) + 1;
}
inline LargeDatagram* large_of(void* handle) noexcept {
  return reinterpret_cast<LargeDatagram*>(static_cast<std::byte*>(handle) - 1);
}

class LargePool final : public LargeDatagrams {
 public:
  /// Memory is reserved, and touched only when it is first used. False if there is none.
  bool make(uint32_t count, int socket_id);

  LargeDatagram* take() noexcept override;
  void give(LargeDatagram* datagram) noexcept override;

 private:
  struct Free {
    void operator()(LargeDatagram* datagrams) const noexcept { std::free(datagrams); }
  };

  std::unique_ptr<LargeDatagram, Free> memory_;
  RingPointer free_;
};

}  // namespace dinomo::ingress::ethdev
