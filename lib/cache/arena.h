// SPDX-License-Identifier: BSD-3-Clause
// The one piece of memory of a cache: mapped once, split into pages of equal size that move freely
// between the table and the value log. Bookkeeping of the pages lies in the same mapping.
//
// Thread rule: the owning worker lcore.
#pragma once

#include <cstddef>
#include <cstdint>

#include "common/status.h"

namespace dinomo::cache {

class Arena {
 public:
  static constexpr uint32_t kNoPage = UINT32_MAX;

  Arena() noexcept = default;
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  ~Arena();

  /// Maps at most `budget_bytes`, faulted in so that the data path never waits for the kernel.
  /// kInvalid if that is fewer than `pages_min` pages; kNoResource if the kernel has no memory.
  Status map(uint64_t budget_bytes, uint32_t pages_min) noexcept;

  uint64_t mapped_bytes() const noexcept { return mapped_bytes_; }
  uint64_t overhead_bytes() const noexcept { return mapped_bytes_ - pages_bytes(); }
  uint64_t pages_bytes() const noexcept { return uint64_t{pages_} << page_shift_; }
  uint32_t pages() const noexcept { return pages_; }
  uint32_t pages_free() const noexcept { return pages_free_; }
  uint32_t page_bytes() const noexcept { return uint32_t{1} << page_shift_; }
  uint32_t page_shift() const noexcept { return page_shift_; }

  std::byte* page(uint32_t index) const noexcept {
    return base_ + (uint64_t{index} << page_shift_);
  }
  std::byte* at(uint64_t offset_bytes) const noexcept { return base_ + offset_bytes; }
  uint64_t offset_of(const std::byte* p) const noexcept { return static_cast<uint64_t>(p - base_); }
  bool contains(const std::byte* p) const noexcept {
    return p >= base_ && p < base_ + pages_bytes();
  }

  /// kNoPage when none is free.
  uint32_t take_page() noexcept { return pages_free_ == 0 ? kNoPage : free_[--pages_free_]; }
  void give_page(uint32_t index) noexcept { free_[pages_free_++] = index; }

  // One entry a page each, for the owner of the page.
  std::byte** table_pages() const noexcept { return table_pages_; }
  uint32_t* next_pages() const noexcept { return next_; }
  uint32_t* filled_bytes() const noexcept { return filled_; }

 private:
  std::byte* mapping_ = nullptr;
  std::byte* base_ = nullptr;  // of page 0
  uint64_t mapped_bytes_ = 0;
  uint32_t pages_ = 0;
  uint32_t pages_free_ = 0;
  uint32_t page_shift_ = 0;
  std::byte** table_pages_ = nullptr;
  uint32_t* free_ = nullptr;
  uint32_t* next_ = nullptr;
  uint32_t* filled_ = nullptr;
};

}  // namespace dinomo::cache
