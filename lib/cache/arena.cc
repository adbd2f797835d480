// SPDX-License-Identifier: BSD-3-Clause
#include "cache/arena.h"

namespace dinomo::cache {

void Arena::init(PagePool& pool, uint32_t share) noexcept {
  pool_ = &pool;
  base_ = pool.base();
  page_shift_ = pool.page_shift();
  pages_ = pool.share_pages();
  table_pages_ = reinterpret_cast<std::byte**>(pool.bookkeeping(share));
  free_ = reinterpret_cast<uint32_t*>(table_pages_ + pool.pages());
  next_ = free_ + pool.pages();
  filled_ = next_ + pool.pages();
  for (uint32_t i = pages_; i-- > 0;) give_page(share * pages_ + i);
}

bool Arena::grow() noexcept {
  if (pages_ >= pages_max()) return false;
  const uint32_t page = pool_->claim();
  if (page == kNoPage) return false;
  ++pages_;
  give_page(page);
  return true;
}

}  // namespace dinomo::cache
