// SPDX-License-Identifier: BSD-3-Clause
// A pool in ordinary memory, for tests: objects by bump allocation, no durability of its own.
#pragma once

#include <cstdlib>
#include <cstring>
#include <mutex>
#include <utility>
#include <vector>

#include "pool/space.h"

namespace dinomo::test {

class MemorySpace final : public pool::Space {
 public:
  explicit MemorySpace(uint64_t bytes)
      : memory_(static_cast<std::byte*>(std::aligned_alloc(4096, bytes))), bytes_(bytes) {
    std::memset(static_cast<void*>(memory_), 0, bytes);
    persist_ = pool::make_persist(pool::Persistence::kPageCache);
  }
  ~MemorySpace() override { std::free(memory_); }
  MemorySpace(const MemorySpace&) = delete;
  MemorySpace& operator=(const MemorySpace&) = delete;

  MutableBytes memory() noexcept override { return {memory_, bytes_}; }
  uint64_t superblock_offset() const noexcept override { return 4096; }
  pool::Persist& persist() noexcept override { return *persist_; }
  pool::Persistence persistence() const noexcept override { return pool::Persistence::kPageCache; }
  Result<pool::SpaceObject> allocate(pool::ObjectType type, uint64_t bytes, Prepare prepare,
                                     uint64_t) noexcept override {
    const std::lock_guard lock(mutex_);
    bytes = (bytes + 63) / 64 * 64;
    if (bytes > limit_ - used_) return std::unexpected(Status::kNoSpace);
    const pool::SpaceObject object{used_, bytes};
    used_ += bytes;
    if (prepare != nullptr) prepare(memory_ + object.offset);
    objects_.emplace_back(type, object);
    return object;
  }
  void release(uint64_t offset) noexcept override {
    const std::lock_guard lock(mutex_);
    std::erase_if(objects_, [&](const auto& o) { return o.second.offset == offset; });
  }
  uint64_t segments_left(uint64_t bytes) noexcept override { return (limit_ - used_) / bytes; }
  std::vector<pool::SpaceObject> objects(pool::ObjectType type) override {
    std::vector<pool::SpaceObject> found;
    for (const auto& [t, object] : objects_) {
      if (t == type) found.push_back(object);
    }
    return found;
  }

  void set_persist(std::unique_ptr<pool::Persist> persist) { persist_ = std::move(persist); }
  /// Nothing more can be allocated.
  void fill() { limit_ = used_; }

 private:
  std::byte* memory_;
  uint64_t bytes_;
  uint64_t used_ = uint64_t{1} << 20;  // below: superblock and records
  uint64_t limit_ = bytes_;
  std::mutex mutex_;
  std::unique_ptr<pool::Persist> persist_;
  std::vector<std::pair<pool::ObjectType, pool::SpaceObject>> objects_;
};

}  // namespace dinomo::test
