// SPDX-License-Identifier: BSD-3-Clause
// Ordering of stores that a device reads, after rdma-core's udma_to_device_barrier and mmio_wc_*.
#pragma once

#include <atomic>
#include <cstdint>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace dinomo::fabric::mlx5 {

/// Stores to ordinary memory before stores to write-combining memory, and these before later ones.
inline void write_combining_barrier() noexcept {
#if defined(__x86_64__)
  _mm_sfence();
#elif defined(__aarch64__)
  asm volatile("dsb st" ::: "memory");
#else
  std::atomic_thread_fence(std::memory_order_seq_cst);
#endif
}

/// A store that the device may look at any time: what was stored before is there as well.
template <class Word>
void device_store(Word* to, Word value) noexcept {
#if defined(__aarch64__)
  asm volatile("dsb st" ::: "memory");
#endif
  std::atomic_ref<Word>(*to).store(value, std::memory_order_release);
}

template <class Word>
Word device_load(Word* from) noexcept {
  return std::atomic_ref<Word>(*from).load(std::memory_order_acquire);
}

}  // namespace dinomo::fabric::mlx5
