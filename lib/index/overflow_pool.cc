// SPDX-License-Identifier: BSD-3-Clause
#include "index/overflow_pool.h"

#include <algorithm>

#include "common/planted.h"

namespace dinomo::index {

namespace {
constexpr uint64_t kWordBits = 64;
}

OverflowPool::OverflowPool(pool::Space& space, uint64_t chunk_buckets)
    : space_(space), chunk_buckets_(std::max<uint64_t>(chunk_buckets, 64)) {
  for (const auto& object : space_.objects(pool::ObjectType::kOverflow)) add(object, true);
}

void OverflowPool::add(const pool::SpaceObject& object, bool for_recovery) {
  Chunk chunk{object.offset, object.bytes / sizeof(Bucket), 0, nullptr};
  if (for_recovery) {
    const uint64_t words = chunk.buckets / kWordBits + 1;
    chunk.claimed = std::make_unique<std::atomic<uint64_t>[]>(words);
  }
  capacity_.fetch_add(chunk.buckets, std::memory_order_relaxed);
  chunks_.push_back(std::move(chunk));
}

Result<uint64_t> OverflowPool::allocate() noexcept {
  const std::lock_guard lock(mutex_);
  if (!free_.empty()) {
    const uint64_t offset = free_.back();
    free_.pop_back();
    used_.fetch_add(1, std::memory_order_relaxed);
    return offset;
  }
  // The youngest chunk is the one with room; older ones were filled before it was made.
  for (auto chunk = chunks_.rbegin(); chunk != chunks_.rend(); ++chunk) {
    if (chunk->bumped == chunk->buckets) continue;
    used_.fetch_add(1, std::memory_order_relaxed);
    return chunk->offset + chunk->bumped++ * sizeof(Bucket);
  }
  const auto object =
      space_.allocate(pool::ObjectType::kOverflow, chunk_buckets_ * sizeof(Bucket), nullptr, 0);
  if (!object) return std::unexpected(object.error());
  add(*object, false);
  used_.fetch_add(1, std::memory_order_relaxed);
  return chunks_.back().offset + chunks_.back().bumped++ * sizeof(Bucket);
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

void OverflowPool::release(std::span<const uint64_t> offsets) noexcept {
  const std::lock_guard lock(mutex_);
  free_.insert(free_.end(), offsets.begin(), offsets.end());
  used_.fetch_sub(offsets.size(), std::memory_order_relaxed);
}

bool OverflowPool::mark_used(uint64_t offset) noexcept {
  if (planted("overflow-not-claimed")) return true;
  for (const Chunk& chunk : chunks_) {
    if (offset < chunk.offset || offset >= chunk.offset + chunk.buckets * sizeof(Bucket)) continue;
    if ((offset - chunk.offset) % sizeof(Bucket) != 0) return false;
    const uint64_t bucket = (offset - chunk.offset) / sizeof(Bucket);
    const uint64_t bit = uint64_t{1} << (bucket % kWordBits);
    return (chunk.claimed[bucket / kWordBits].fetch_or(bit, std::memory_order_relaxed) & bit) == 0;
  }
  return false;
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
        ++used;
      } else {
        free_.push_back(chunk.offset + bucket * sizeof(Bucket));
      }
    }
    chunk.claimed.reset();
  }
  used_.store(used, std::memory_order_relaxed);
}

}  // namespace dinomo::index
