// SPDX-License-Identifier: BSD-3-Clause
// One cache's share of a page pool: pages that move freely between its table and its value log, and
// one at a time between it and the pool.
//
// Thread rule: the owning worker lcore.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "cache/page_pool.h"

namespace dinomo::cache {

class Arena {
 public:
  static constexpr uint32_t kNoPage = PagePool::kNoPage;
  /// A cache may grow to so many times what it began with: the table is laid out for that.
  static constexpr uint32_t kGrowthMax = 4;

  Arena() noexcept = default;
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  /// Takes the pages the share begins with. The pool is kept.
  void init(PagePool& pool, uint32_t share) noexcept;

  uint64_t overhead_bytes() const noexcept { return pool_->overhead_bytes(); }
  /// Mapped for this cache now, bookkeeping and a page it still owes included.
  uint64_t held_bytes() const noexcept {
    return overhead_bytes() + (uint64_t{pages_held()} << page_shift_);
  }
  /// To plan with: without the page that is owed.
  uint64_t pages_bytes() const noexcept { return uint64_t{pages_} << page_shift_; }
  uint32_t pages() const noexcept { return pages_; }
  uint32_t pages_held() const noexcept { return pages_ + (owes_ ? 1 : 0); }
  uint32_t pages_first() const noexcept { return pool_->share_pages(); }
  uint32_t pages_max() const noexcept {
    return std::min(pool_->pages(), kGrowthMax * pages_first());
  }
  uint32_t pages_free() const noexcept { return pages_free_; }
  uint32_t page_bytes() const noexcept { return uint32_t{1} << page_shift_; }
  uint32_t page_shift() const noexcept { return page_shift_; }

  std::byte* page(uint32_t index) const noexcept {
    return base_ + (uint64_t{index} << page_shift_);
  }
  std::byte* at(uint64_t offset_bytes) const noexcept { return base_ + offset_bytes; }
  uint64_t offset_of(const std::byte* p) const noexcept { return static_cast<uint64_t>(p - base_); }
  bool contains(const std::byte* p) const noexcept {
    return p >= base_ && p < base_ + (uint64_t{pool_->pages()} << page_shift_);
  }

  /// kNoPage when none is free.
  uint32_t take_page() noexcept { return pages_free_ == 0 ? kNoPage : free_[--pages_free_]; }
  void give_page(uint32_t index) noexcept { free_[pages_free_++] = index; }

  // Growing and shrinking: a page is owed first, so that nothing new is planned with it, and paid
  // when one is free.

  /// False when no page of the pool is free or the cache is as large as it may be.
  bool grow() noexcept;
  bool owes() const noexcept { return owes_; }
  void owe() noexcept {
    owes_ = true;
    --pages_;
  }
  /// Requires owes() and a free page.
  void pay() noexcept {
    owes_ = false;
    pool_->give(take_page());
  }

  // One entry for each page of the pool, for the owner of the page.
  std::byte** table_pages() const noexcept { return table_pages_; }
  uint32_t* next_pages() const noexcept { return next_; }
  uint32_t* filled_bytes() const noexcept { return filled_; }

 private:
  PagePool* pool_ = nullptr;
  std::byte* base_ = nullptr;  // of page 0 of the pool
  uint32_t pages_ = 0;
  uint32_t pages_free_ = 0;
  uint32_t page_shift_ = 0;
  bool owes_ = false;
  std::byte** table_pages_ = nullptr;
  uint32_t* free_ = nullptr;
  uint32_t* next_ = nullptr;
  uint32_t* filled_ = nullptr;
};

}  // namespace dinomo::cache
