// SPDX-License-Identifier: BSD-3-Clause
// Datagrams that were taken from the port before their turn, in their order. One worker's.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>

#include "ingress/ingress.h"

namespace dinomo::kn {

template <uint32_t kCapacity>
class Backlog {
 public:
  uint32_t size() const noexcept { return static_cast<uint32_t>(tail_ - head_); }

  /// REQUIRES: size() < kCapacity.
  void push(const ingress::Datagram& datagram) noexcept { slots_[tail_++ % kCapacity] = datagram; }

  /// Fills `out` from the front; returns how many. They were received up to kCapacity datagrams ago
  /// and have left the caches: without loading them all at once, each would be waited for.
  uint32_t take(std::span<ingress::Datagram> out) noexcept {
    const uint32_t n = std::min(size(), static_cast<uint32_t>(out.size()));
    for (uint32_t i = 0; i < n; ++i) {
      out[i] = slots_[head_++ % kCapacity];
      load_ahead(out[i]);
    }
    return n;
  }

 private:
  static_assert((kCapacity & (kCapacity - 1)) == 0);

  static void load_ahead(const ingress::Datagram& d) noexcept {
    __builtin_prefetch(d.handle, 1);
    if (d.payload.empty()) return;
    __builtin_prefetch(&d.payload.front());
    __builtin_prefetch(&d.payload.back());  // of a GET: the line after
  }

  std::array<ingress::Datagram, kCapacity> slots_;
  uint64_t head_ = 0;
  uint64_t tail_ = 0;
};

}  // namespace dinomo::kn
