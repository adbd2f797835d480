// SPDX-License-Identifier: BSD-3-Clause
#include "cache/value_log.h"

namespace dinomo::cache {

void ValueLog::reset() noexcept {
  while (tail_ != Arena::kNoPage) {
    const uint32_t next = tail_ == newest_ ? Arena::kNoPage : arena_->next_pages()[tail_];
    arena_->give_page(tail_);
    tail_ = next;
  }
  head_ = newest_ = Arena::kNoPage;
  hand_bytes_ = pages_used_ = 0;
  live_bytes_ = 0;
}

Item* ValueLog::append(uint32_t item_bytes) noexcept {
  if (item_bytes > arena_->page_bytes()) return nullptr;
  if (head_room_bytes() < item_bytes) {
    const uint32_t page = arena_->take_page();
    if (page == Arena::kNoPage) return nullptr;
    arena_->filled_bytes()[page] = 0;
    if (pages_used_ == 0) {
      tail_ = page;
      hand_bytes_ = 0;
    } else {
      arena_->next_pages()[newest_] = page;
    }
    head_ = newest_ = page;
    ++pages_used_;
  }
  uint32_t& filled = arena_->filled_bytes()[head_];
  std::byte* at = arena_->page(head_) + filled;
  filled += item_bytes;
  live_bytes_ += item_bytes;
  return reinterpret_cast<Item*>(at);
}

Item* ValueLog::at_hand() noexcept {
  constexpr uint32_t kSkipsMax = 64;
  for (uint32_t skips = 0; skips < kSkipsMax && tail_ != Arena::kNoPage; ++skips) {
    // The hand never shares a page with the head: kept items would be met again at once.
    if (tail_ == head_) head_ = Arena::kNoPage;
    if (hand_bytes_ == arena_->filled_bytes()[tail_]) {
      const uint32_t next = tail_ == newest_ ? Arena::kNoPage : arena_->next_pages()[tail_];
      arena_->give_page(tail_);
      tail_ = next;
      if (next == Arena::kNoPage) newest_ = Arena::kNoPage;
      hand_bytes_ = 0;
      --pages_used_;
      continue;
    }
    Item* item = reinterpret_cast<Item*>(arena_->page(tail_) + hand_bytes_);
    if (item->dead == 0) return item;
    hand_bytes_ += item->bytes();
  }
  return nullptr;
}

void ValueLog::pass_hand() noexcept {
  hand_bytes_ += reinterpret_cast<const Item*>(arena_->page(tail_) + hand_bytes_)->bytes();
}

}  // namespace dinomo::cache
