// SPDX-License-Identifier: BSD-3-Clause
#include "cache/arena.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cerrno>

#include "common/align.h"

namespace dinomo::cache {
namespace {

constexpr uint64_t kKernelPageBytes = 4096;
constexpr uint64_t kBookkeepingBytes = sizeof(std::byte*) + 3 * sizeof(uint32_t);  // of one page

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

}  // namespace

Arena::~Arena() {
  if (mapping_ != nullptr) munmap(mapping_, mapped_bytes_);
}

Status Arena::map(uint64_t budget_bytes, uint32_t pages_min) noexcept {
  page_shift_ = page_shift_for(budget_bytes);
  const uint64_t usable = budget_bytes / kKernelPageBytes * kKernelPageBytes;
  uint64_t pages = usable / (page_bytes() + kBookkeepingBytes);
  const auto head_bytes = [](uint64_t n) {
    return align_up(n * kBookkeepingBytes, kKernelPageBytes);
  };
  while (pages > 0 && head_bytes(pages) + (pages << page_shift_) > usable) --pages;
  if (pages == 0 || pages < pages_min || pages >= kNoPage) return Status::kInvalid;

  mapped_bytes_ = head_bytes(pages) + (pages << page_shift_);
  void* mapping =
      mmap(nullptr, mapped_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapping == MAP_FAILED) return Status::kNoResource;
  mapping_ = static_cast<std::byte*>(mapping);
  madvise(mapping, mapped_bytes_, MADV_HUGEPAGE);  // best effort: fewer TLB misses
  // Kernels before 5.14 do not know the advice; then pages are faulted in on first use.
  if (madvise(mapping, mapped_bytes_, MADV_POPULATE_WRITE) != 0 && errno == ENOMEM) {
    return Status::kNoResource;
  }

  pages_ = static_cast<uint32_t>(pages);
  base_ = mapping_ + head_bytes(pages);
  table_pages_ = reinterpret_cast<std::byte**>(mapping_);
  free_ = reinterpret_cast<uint32_t*>(table_pages_ + pages_);
  next_ = free_ + pages_;
  filled_ = next_ + pages_;
  for (uint32_t i = pages_; i-- > 0;) give_page(i);
  return Status::kOk;
}

}  // namespace dinomo::cache
