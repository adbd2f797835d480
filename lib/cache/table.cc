// SPDX-License-Identifier: BSD-3-Clause
#include "cache/table.h"

#include <algorithm>
#include <cstring>

#include "cache/dac.h"

namespace dinomo::cache {
namespace {

// The table may grow this many times over; more would eat into the bits of the tag that tell
// keys of one bucket apart.
constexpr uint32_t kGrowthMax = 128;

// Where the epoch goes in a mixed hash: into the tag, and not into its bit 0, so that the tag that
// is not used (0 stands for 1) cannot make two of them equal.
constexpr uint32_t kEpochAt = 43;

static_assert(Table::unmix(Table::mix(0x0123'4567'89ab'cdef)) == 0x0123'4567'89ab'cdef);

}  // namespace

uint64_t hash_in_epoch(uint64_t hash, uint32_t epoch) noexcept {
  return Table::unmix(Table::mix(hash) ^ uint64_t{epoch} << kEpochAt);
}

bool Table::init(Arena& arena) noexcept {
  arena_ = &arena;
  pages_ = arena.table_pages();
  shift_ = arena.page_shift() - 6;
  mask_ = (1u << shift_) - 1;
  const uint32_t first_pages = std::max(1u, (arena.pages_max() + kGrowthMax - 1) / kGrowthMax);
  for (uint32_t i = 0; i < first_pages; ++i) {
    const uint32_t page = arena.take_page();
    if (page == Arena::kNoPage) return false;
    pages_[pages_used_++] = arena.page(page);
  }
  buckets_min_ = first_pages << shift_;
  reset();
  return true;
}

void Table::reset() noexcept {
  const uint32_t first_pages = buckets_min_ >> shift_;
  while (pages_used_ > first_pages) {
    arena_->give_page(
        static_cast<uint32_t>(arena_->offset_of(pages_[--pages_used_]) >> arena_->page_shift()));
  }
  for (uint32_t i = 0; i < first_pages; ++i) std::memset(pages_[i], 0, arena_->page_bytes());
  buckets_ = buckets_min_;
  level_ = 1;
}

bool Table::grow() noexcept {
  if (buckets_ >= uint64_t{buckets_min_} * kGrowthMax) return false;
  const uint32_t fresh = buckets_;
  if ((fresh >> shift_) == pages_used_) {
    const uint32_t page = arena_->take_page();
    if (page == Arena::kNoPage) return false;
    pages_[pages_used_++] = arena_->page(page);
  }
  Bucket& from = bucket(fresh - buckets_min_ * level_);
  Bucket& to = bucket(fresh);
  to = Bucket{};
  to.header = from.header & 0xffff'0000u;
  ++buckets_;
  const uint32_t from_index = fresh - buckets_min_ * level_;
  for (uint32_t i = 0; i < kSlots; ++i) {
    if (from.empty(i)) continue;
    const Probe p = probe_at(from_index, from, i);
    const bool second = (from.meta[i] & kSecondBit) != 0;
    if ((second ? second_of(p) : first_of(p)) != fresh) continue;
    to.word[i] = from.word[i];
    to.meta[i] = from.meta[i];
    if (from.referenced(i)) to.set_referenced(i);
    from.clear(i);
  }
  if (buckets_ == buckets_min_ * level_ * 2) level_ *= 2;
  return true;
}

void Table::shrink(Bucket& last, uint32_t& index) noexcept {
  index = --buckets_;
  last = bucket(index);
  if (buckets_ < buckets_min_ * level_) level_ /= 2;
  if ((index & mask_) == 0) {
    arena_->give_page(
        static_cast<uint32_t>(arena_->offset_of(pages_[--pages_used_]) >> arena_->page_shift()));
  }
}

}  // namespace dinomo::cache
