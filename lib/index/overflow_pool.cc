// SPDX-License-Identifier: BSD-3-Clause
#include "index/overflow_pool.h"

#include <algorithm>

#include "common/planted.h"

namespace dinomo::index {

namespace {
constexpr uint64_t kWordBits = 64;
}

OverflowPool::OverflowPool(pool::Space& space, uint64_t chunk_buckets, uint64_t kept_buckets)
    : space_(space),
      chunk_buckets_(std::max<uint64_t>(chunk_buckets, 64)),
      kept_buckets_(kept_buckets) {
  for (const auto& object : space_.objects(pool::ObjectType::kOverflow)) add(object, true);
}

OverflowPool::Chunk& OverflowPool::add(const pool::SpaceObject& object, bool for_recovery) {
  Chunk chunk{object.offset, object.bytes / sizeof(Bucket), 0, 0, nullptr};
  if (for_recovery) {
    const uint64_t words = chunk.buckets / kWordBits + 1;
    chunk.claimed = std::make_unique<std::atomic<uint64_t>[]>(words);
  }
  capacity_.fetch_add(chunk.buckets, std::memory_order_relaxed);
  const auto at = std::ranges::lower_bound(chunks_, chunk.offset, {}, &Chunk::offset);
  return *chunks_.insert(at, std::move(chunk));
}

OverflowPool::Chunk* OverflowPool::chunk_of(uint64_t offset) noexcept {
  const auto after = std::ranges::upper_bound(chunks_, offset, {}, &Chunk::offset);
  if (after == chunks_.begin()) return nullptr;
  Chunk& chunk = *std::prev(after);
  return offset - chunk.offset < chunk.buckets * sizeof(Bucket) ? &chunk : nullptr;
}

OverflowPool::Chunk* OverflowPool::with_room() noexcept {
  const auto room = [](const Chunk& c) { return c.bumped < c.buckets; };
  Chunk* last = chunk_of(bump_from_);
  if (last != nullptr && room(*last)) return last;
  const auto found = std::ranges::find_if(chunks_, room);
  return found != chunks_.end() ? &*found : nullptr;
}

Result<uint64_t> OverflowPool::allocate() noexcept {
  const std::lock_guard lock(mutex_);
  if (!free_.empty()) {
    const uint64_t offset = free_.back();
    free_.pop_back();
    ++chunk_of(offset)->in_use;
    used_.fetch_add(1, std::memory_order_relaxed);
    return offset;
  }
  Chunk* chunk = with_room();
  if (chunk == nullptr) {
    const auto object =
        space_.allocate(pool::ObjectType::kOverflow, chunk_buckets_ * sizeof(Bucket), nullptr, 0);
    if (!object) return std::unexpected(object.error());
    chunk = &add(*object, false);
  }
  bump_from_ = chunk->offset;
  ++chunk->in_use;
  used_.fetch_add(1, std::memory_order_relaxed);
  return chunk->offset + chunk->bumped++ * sizeof(Bucket);
}

void OverflowPool::retire(uint64_t offset) noexcept {
  const std::lock_guard lock(mutex_);
  retired_.push_back(offset);
  has_retired_.store(true, std::memory_order_relaxed);
}

void OverflowPool::take_retired(std::vector<uint64_t>* to) {
  const std::lock_guard lock(mutex_);
  to->insert(to->end(), retired_.begin(), retired_.end());
  retired_.clear();
  has_retired_.store(false, std::memory_order_relaxed);
}

uint32_t OverflowPool::release(std::span<const uint64_t> offsets) noexcept {
  std::vector<uint64_t> empty;
  {
    const std::lock_guard lock(mutex_);
    bool emptied = false;
    for (const uint64_t offset : offsets) {
      Chunk* chunk = chunk_of(offset);
      if (chunk == nullptr) continue;  // damage: a link that recovery would cut
      emptied |= --chunk->in_use == 0;
      free_.push_back(offset);
      used_.fetch_sub(1, std::memory_order_relaxed);
    }
    if (emptied) take_empty(&empty);
  }
  return give_back(empty);
}

void OverflowPool::take_empty(std::vector<uint64_t>* to) {
  uint64_t capacity = capacity_.load(std::memory_order_relaxed);
  std::erase_if(chunks_, [&](const Chunk& c) {
    if (c.in_use != 0 || capacity < kept_buckets_ + c.buckets) return false;
    capacity -= c.buckets;
    to->push_back(c.offset);
    return true;
  });
  if (to->empty()) return;
  capacity_.store(capacity, std::memory_order_relaxed);
  std::erase_if(free_, [this](uint64_t offset) { return chunk_of(offset) == nullptr; });
}

/// Without the lock: the pool's allocator takes its time. After a crash before it is done the chunk
/// is there again, empty.
uint32_t OverflowPool::give_back(std::span<const uint64_t> chunks) noexcept {
  for (const uint64_t offset : chunks) space_.release(offset);
  return static_cast<uint32_t>(chunks.size());
}

bool OverflowPool::mark_used(uint64_t offset) noexcept {
  if (planted("overflow-not-claimed")) return true;
  Chunk* chunk = chunk_of(offset);
  if (chunk == nullptr || (offset - chunk->offset) % sizeof(Bucket) != 0) return false;
  const uint64_t bucket = (offset - chunk->offset) / sizeof(Bucket);
  const uint64_t bit = uint64_t{1} << (bucket % kWordBits);
  return (chunk->claimed[bucket / kWordBits].fetch_or(bit, std::memory_order_relaxed) & bit) == 0;
}

void OverflowPool::finish_recovery() {
  uint64_t used = 0;
  for (Chunk& chunk : chunks_) {
    if (chunk.claimed == nullptr) continue;
    auto claimed = [&](uint64_t bucket) {
      return (chunk.claimed[bucket / kWordBits].load(std::memory_order_relaxed) >>
                  (bucket % kWordBits) &
              1) != 0;
    };
    chunk.bumped = chunk.buckets;
    while (chunk.bumped > 0 && !claimed(chunk.bumped - 1)) --chunk.bumped;
    for (uint64_t bucket = 0; bucket < chunk.bumped; ++bucket) {
      if (claimed(bucket)) {
        ++chunk.in_use;
      } else {
        free_.push_back(chunk.offset + bucket * sizeof(Bucket));
      }
    }
    used += chunk.in_use;
    chunk.claimed.reset();
  }
  used_.store(used, std::memory_order_relaxed);
  std::vector<uint64_t> empty;
  take_empty(&empty);
  give_back(empty);
}

}  // namespace dinomo::index
