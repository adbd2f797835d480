// SPDX-License-Identifier: BSD-3-Clause
// Overflow buckets of the index, allocated by bump from chunk objects (ObjectType::kOverflow). A
// chunk of which no bucket is in use any more goes back to the pool's allocator.
// Which buckets are in use is volatile: recovery walks the chains and tells with mark_used(), so a
// crash between allocating a bucket and linking it leaks nothing.
//
// Thread rule: allocate() and retire() from any merge worker (a lock, taken once per change of a
// chain's length); take_retired() and release() by the reclaimer; mark_used() from parallel
// recovery; the rest at start-up, alone.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "index/format.h"
#include "pool/space.h"

namespace dinomo::index {

class OverflowPool {
 public:
  /// Takes over the chunks that exist. `chunk_buckets`: size of chunks allocated later. Chunks are
  /// given back as long as `kept_buckets` stay.
  OverflowPool(pool::Space& space, uint64_t chunk_buckets, uint64_t kept_buckets);

  /// Pool offset of a bucket with undefined content; kNoSpace when the pool is full.
  Result<uint64_t> allocate() noexcept;

  /// A bucket that no chain refers to, durably, but readers may still be in.
  void retire(uint64_t offset) noexcept;

  /// Appends what was retired since the last call.
  void take_retired(std::vector<uint64_t>* to);
  bool has_retired() const noexcept { return has_retired_.load(std::memory_order_relaxed); }

  /// Retired buckets that no reader can be in any more: they are free, and chunks that are empty
  /// now are given back. Returns how many.
  uint32_t release(std::span<const uint64_t> offsets) noexcept;

  /// Recovery: claims a bucket for a chain. False if the offset is no overflow bucket or was
  /// claimed before (crossed chains).
  bool mark_used(uint64_t offset) noexcept;

  /// Recovery is over: everything unclaimed is free.
  void finish_recovery();

  uint64_t used() const noexcept { return used_.load(std::memory_order_relaxed); }
  uint64_t capacity() const noexcept { return capacity_.load(std::memory_order_relaxed); }

 private:
  struct Chunk {
    uint64_t offset;
    uint64_t buckets;
    uint64_t bumped;  // buckets below were handed out at some time
    uint64_t in_use;
    std::unique_ptr<std::atomic<uint64_t>[]> claimed;  // only until finish_recovery()
  };
  Chunk& add(const pool::SpaceObject& object, bool for_recovery);
  /// The chunk that holds the offset, null if none does.
  Chunk* chunk_of(uint64_t offset) noexcept;
  Chunk* with_room() noexcept;
  /// Forgets chunks that are not in use and not kept; their offsets go to `to`.
  void take_empty(std::vector<uint64_t>* to);
  uint32_t give_back(std::span<const uint64_t> chunks) noexcept;

  pool::Space& space_;
  const uint64_t chunk_buckets_;
  const uint64_t kept_buckets_;
  std::mutex mutex_;
  std::vector<Chunk> chunks_;  // by offset
  uint64_t bump_from_ = 0;     // offset of the chunk that had room last
  std::vector<uint64_t> free_;
  std::vector<uint64_t> retired_;
  std::atomic<bool> has_retired_{false};
  std::atomic<uint64_t> used_{0};
  std::atomic<uint64_t> capacity_{0};
};

}  // namespace dinomo::index
