// SPDX-License-Identifier: BSD-3-Clause
// The memory of the caches of one KN: mapped once, split into pages of equal size. Every page
// belongs to one cache or, on its way from one to another, to nobody; so whatever the caches do,
// together they never hold more than was mapped. A page changes hands by one atomic bit.
//
// Thread rule: create() at start-up; claim() and give() on any worker lcore, without locks. The
// pool outlives its caches.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "common/status.h"

namespace dinomo::cache {

class PagePool {
 public:
  static constexpr uint32_t kNoPage = UINT32_MAX;
  /// Bookkeeping of one page by one cache: a pointer and three indices (Arena).
  static constexpr uint64_t kBookkeepingBytes = sizeof(std::byte*) + 3 * sizeof(uint32_t);

  /// Maps at most `share_bytes` for each of `shares` caches, faulted in so that the data path never
  /// waits for the kernel. kInvalid if a share is fewer than `share_pages_min` pages; kNoResource
  /// if the kernel has no memory.
  static Result<std::unique_ptr<PagePool>> create(uint64_t share_bytes, uint32_t shares,
                                                  uint32_t share_pages_min) noexcept;
  PagePool(const PagePool&) = delete;
  PagePool& operator=(const PagePool&) = delete;
  ~PagePool();

  uint32_t shares() const noexcept { return shares_; }
  uint32_t pages() const noexcept { return pages_; }
  /// Pages that every cache begins with: share s has those from s * share_pages() on.
  uint32_t share_pages() const noexcept { return pages_ / shares_; }
  uint32_t page_shift() const noexcept { return page_shift_; }
  std::byte* base() const noexcept { return base_; }
  /// Of one share: what is mapped beside its pages.
  uint64_t overhead_bytes() const noexcept { return head_bytes_ / shares_; }
  /// kBookkeepingBytes for every page of the pool, zeroed, for the cache of this share alone.
  std::byte* bookkeeping(uint32_t share) const noexcept;

  /// A page that belongs to nobody, or kNoPage. Looks at one word per 64 pages.
  uint32_t claim() noexcept;
  /// Requires that the caller owns the page.
  void give(uint32_t page) noexcept;

 private:
  PagePool() noexcept = default;
  uint32_t words() const noexcept { return (pages_ + 63) / 64; }

  std::byte* mapping_ = nullptr;
  std::byte* base_ = nullptr;  // of page 0
  std::atomic<uint64_t>* free_ = nullptr;
  uint64_t head_bytes_ = 0;
  uint64_t mapped_bytes_ = 0;
  uint32_t pages_ = 0;
  uint32_t shares_ = 1;
  uint32_t page_shift_ = 0;
};

}  // namespace dinomo::cache
