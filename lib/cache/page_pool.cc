// SPDX-License-Identifier: BSD-3-Clause
#include "cache/page_pool.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <new>

#include "common/align.h"

namespace dinomo::cache {
namespace {

constexpr uint64_t kKernelPageBytes = 4096;

// Small budgets get small pages, or the pages held in reserve would eat them; from 4 MiB on a page
// holds the largest value; beyond 256 MiB larger pages keep the page directory in the first-level
// cache.
uint32_t page_shift_for(uint64_t budget_bytes) noexcept {
  constexpr uint64_t kMiB = uint64_t{1} << 20;
  if (budget_bytes >= 256 * kMiB) return 18;
  if (budget_bytes >= 4 * kMiB) return 16;
  return static_cast<uint32_t>(
      std::max(12, static_cast<int>(std::bit_width(budget_bytes / 64)) - 1));
}

uint64_t bitmap_bytes(uint64_t pages) noexcept {
  return align_up<uint64_t>((pages + 63) / 64 * sizeof(uint64_t), kCacheLineBytes);
}

// Each share's on lines of its own: they are written by different lcores.
uint64_t bookkeeping_bytes(uint64_t pages) noexcept {
  return align_up<uint64_t>(pages * PagePool::kBookkeepingBytes, kCacheLineBytes);
}

uint64_t head_bytes(uint64_t pages, uint32_t shares) noexcept {
  return align_up<uint64_t>(bitmap_bytes(pages) + shares * bookkeeping_bytes(pages),
                            kKernelPageBytes);
}

}  // namespace

Result<std::unique_ptr<PagePool>> PagePool::create(uint64_t share_bytes, uint32_t shares,
                                                   uint32_t share_pages_min) noexcept {
  if (shares == 0 || share_bytes > (uint64_t{1} << 60) / shares) {
    return std::unexpected(Status::kInvalid);
  }
  std::unique_ptr<PagePool> pool(new (std::nothrow) PagePool);
  if (pool == nullptr) return std::unexpected(Status::kNoResource);
  const uint32_t shift = page_shift_for(share_bytes);
  const uint64_t usable = share_bytes * shares / kKernelPageBytes * kKernelPageBytes;
  const uint64_t page_cost = (uint64_t{1} << shift) + shares * kBookkeepingBytes;
  uint64_t each = usable / shares / page_cost;
  const auto total = [&] { return head_bytes(each * shares, shares) + (each * shares << shift); };
  while (each > 0 && total() > usable) --each;
  if (each == 0 || each < share_pages_min || each * shares >= kNoPage) {
    return std::unexpected(Status::kInvalid);
  }

  void* mapping =
      mmap(nullptr, total(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapping == MAP_FAILED) return std::unexpected(Status::kNoResource);
  pool->mapping_ = static_cast<std::byte*>(mapping);
  pool->mapped_bytes_ = total();
  madvise(mapping, total(), MADV_HUGEPAGE);  // best effort: fewer TLB misses
  // Kernels before 5.14 do not know the advice; then pages are faulted in on first use.
  if (madvise(mapping, total(), MADV_POPULATE_WRITE) != 0 && errno == ENOMEM) {
    return std::unexpected(Status::kNoResource);
  }
  pool->shares_ = shares;
  pool->pages_ = static_cast<uint32_t>(each * shares);
  pool->page_shift_ = shift;
  pool->head_bytes_ = head_bytes(pool->pages_, shares);
  pool->base_ = pool->mapping_ + pool->head_bytes_;
  pool->free_ = reinterpret_cast<std::atomic<uint64_t>*>(pool->mapping_);
  for (uint32_t w = 0; w < pool->words(); ++w) new (&pool->free_[w]) std::atomic<uint64_t>(0);
  return pool;
}

PagePool::~PagePool() {
  if (mapping_ != nullptr) munmap(mapping_, mapped_bytes_);
}

std::byte* PagePool::bookkeeping(uint32_t share) const noexcept {
  return mapping_ + bitmap_bytes(pages_) + share * bookkeeping_bytes(pages_);
}

uint32_t PagePool::claim() noexcept {
  for (uint32_t w = 0; w < words(); ++w) {
    uint64_t bits = free_[w].load(std::memory_order_relaxed);
    while (bits != 0) {
      const uint64_t lowest = bits & -bits;
      // Acquire: what its last owner wrote to the page is over.
      const uint64_t before = free_[w].fetch_and(~lowest, std::memory_order_acquire);
      if ((before & lowest) != 0) {
        return w * 64 + static_cast<uint32_t>(std::countr_zero(lowest));
      }
      bits = before;
    }
  }
  return kNoPage;
}

void PagePool::give(uint32_t page) noexcept {
  free_[page / 64].fetch_or(uint64_t{1} << page % 64, std::memory_order_release);
}

}  // namespace dinomo::cache
