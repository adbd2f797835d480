// SPDX-License-Identifier: BSD-3-Clause
// The values of the cache: items appended to pages of the arena, first in, first out. The clock
// hand walks the oldest page; what it meets is either moved to the head or given up, so a page
// comes back without holes and no size class strands memory. An item is contiguous and never
// crosses a page.
//
//   item     offset  bytes
//   hash          0      8   to find its slot
//   address       8      8   the global address of the entry: what it is demoted to
//   version      16      8
//   expiry_ms    24      8
//   item_flags   32      4
//   value_bytes  36      2
//   key_bytes    38      1
//   dead         39      1   1: no slot refers to it any more
//   key, value   40
//   padding to 16
//
// Thread rule: the owning worker lcore.
#pragma once

#include <cstring>

#include "cache/arena.h"
#include "cache/dac.h"
#include "common/align.h"
#include "common/bytes.h"

namespace dinomo::cache {

struct Item {
  uint64_t hash;
  uint64_t address;
  uint64_t version;
  uint64_t expiry_ms;
  uint32_t item_flags;
  uint16_t value_bytes;
  uint8_t key_bytes;
  uint8_t dead;

  static constexpr size_t kKeyBytesMax = 255;
  static constexpr size_t kValueBytesMax = 65535;

  static constexpr uint32_t bytes_for(size_t key_bytes, size_t value_bytes) noexcept {
    return static_cast<uint32_t>(align_up(sizeof(Item) + key_bytes + value_bytes, size_t{16}));
  }
  uint32_t bytes() const noexcept { return bytes_for(key_bytes, value_bytes); }
  const std::byte* body() const noexcept {
    return reinterpret_cast<const std::byte*>(this) + sizeof(Item);
  }
  std::byte* body() noexcept { return reinterpret_cast<std::byte*>(this) + sizeof(Item); }
  Bytes value() const noexcept { return {body() + key_bytes, value_bytes}; }
  bool has_key(Bytes key) const noexcept {
    return key_bytes == key.size() && same_bytes(body(), key.data(), key.size());
  }

 private:
  // Keys are short: a call of memcmp costs more than the comparison.
  static bool same_bytes(const std::byte* a, const std::byte* b, size_t bytes) noexcept {
    if (bytes < sizeof(uint64_t)) {
      size_t i = 0;
      while (i < bytes && a[i] == b[i]) ++i;
      return i == bytes;
    }
    const size_t last = bytes - sizeof(uint64_t);  // overlaps the word before it
    for (size_t i = 0; i < last; i += sizeof(uint64_t)) {
      if (load<uint64_t>(a + i) != load<uint64_t>(b + i)) return false;
    }
    return load<uint64_t>(a + last) == load<uint64_t>(b + last);
  }
};
static_assert(sizeof(Item) == 40);

class ValueLog {
 public:
  void init(Arena& arena) noexcept { arena_ = &arena; }
  void reset() noexcept;

  /// Bytes the log keeps from other uses: its pages less the free end of the head and what the hand
  /// has cleared of the tail.
  uint64_t span_bytes() const noexcept {
    return uint64_t{pages_used_} * arena_->page_bytes() - head_room_bytes() - hand_bytes_;
  }
  uint64_t paged_bytes() const noexcept { return uint64_t{pages_used_} * arena_->page_bytes(); }
  uint64_t live_bytes() const noexcept { return live_bytes_; }

  /// What span_bytes() would grow by: the item, and the end of the head page if it does not fit
  /// there.
  uint64_t cost_bytes(uint32_t item_bytes) const noexcept {
    const uint64_t room_bytes = head_room_bytes();
    return room_bytes >= item_bytes ? item_bytes : item_bytes + room_bytes;
  }

  /// Uninitialised room for an item; null when it needs a page and none is free.
  Item* append(uint32_t item_bytes) noexcept;
  void kill(Item& item) noexcept {
    item.dead = 1;
    live_bytes_ -= item.bytes();
  }

  /// For a value of a size that fits the item exactly; it may overlap the old one.
  static void rewrite(Item& item, Bytes value, const ItemMeta& meta, uint64_t address) noexcept {
    item.address = address;
    item.version = meta.version;
    item.expiry_ms = meta.expiry_ms;
    item.item_flags = meta.item_flags;
    item.value_bytes = static_cast<uint16_t>(value.size());
    if (!value.empty()) std::memmove(item.body() + item.key_bytes, value.data(), value.size());
  }

  Item* item_at(uint64_t offset_bytes) const noexcept {
    return reinterpret_cast<Item*>(arena_->at(offset_bytes));
  }
  uint64_t offset_of(const Item& item) const noexcept {
    return arena_->offset_of(reinterpret_cast<const std::byte*>(&item));
  }

  /// The oldest item not yet passed, dead ones skipped (at most 64 of them) and emptied pages given
  /// back; null when the log is empty or the limit was reached (then call again).
  Item* at_hand() noexcept;
  /// Moves the hand over the item that at_hand() returned; its room is free now.
  void pass_hand() noexcept;
  bool empty() const noexcept { return pages_used_ == 0; }

 private:
  uint64_t head_room_bytes() const noexcept {
    return head_ == Arena::kNoPage ? 0 : arena_->page_bytes() - arena_->filled_bytes()[head_];
  }

  Arena* arena_ = nullptr;
  uint32_t head_ = Arena::kNoPage;    // appended to; none when the hand has caught up with it
  uint32_t newest_ = Arena::kNoPage;  // last of the queue, equal to head_ unless that is none
  uint32_t tail_ = Arena::kNoPage;    // the hand is here
  uint32_t hand_bytes_ = 0;
  uint32_t pages_used_ = 0;
  uint64_t live_bytes_ = 0;
};

}  // namespace dinomo::cache
