// SPDX-License-Identifier: BSD-3-Clause
// A pool in ordinary memory that can be copied, as the recorder sees it and as it comes out of a
// crash. Allocation is atomic, as libpmemobj's is. What nobody has written holds garbage.
#pragma once

#include <cstdlib>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "pool/space.h"

namespace dinomo::test {

inline constexpr uint64_t kLineBytes = 64;

class ImageSpace final : public pool::Space {
 public:
  explicit ImageSpace(uint64_t bytes);

  MutableBytes memory() noexcept override { return {memory_.get(), bytes_}; }
  uint64_t superblock_offset() const noexcept override { return kRootOffset; }
  pool::Persist& persist() noexcept override { return *persist_; }
  pool::Persistence persistence() const noexcept override { return pool::Persistence::kDax; }
  Result<pool::SpaceObject> allocate(pool::ObjectType type, uint64_t bytes, Prepare prepare,
                                     uint64_t prepared_bytes) noexcept override;
  /// The bytes are not given out again.
  void release(uint64_t offset) noexcept override {
    std::erase_if(objects_, [&](const auto& o) { return o.second.offset == offset; });
  }
  uint64_t segments_left(uint64_t bytes) noexcept override { return (bytes_ - used_) / bytes; }
  std::vector<pool::SpaceObject> objects(pool::ObjectType type) override;

  /// Superblock, records, an empty index and its first overflow buckets; then only segments fit.
  void format(uint64_t index_buckets, uint64_t overflow_buckets);

  /// Makes this the image of `other` with `durable` as its bytes.
  void become(const ImageSpace& other, Bytes durable);

  /// `persist` outlives the space or is replaced; nullptr: stores need no help to be durable.
  void set_persist(pool::Persist* persist);
  /// Called with what allocate() made durable.
  std::function<void(uint64_t offset, uint64_t bytes)> on_prepared;

 private:
  static constexpr uint64_t kRootOffset = 4096;
  struct Free {
    void operator()(std::byte* p) const noexcept { std::free(p); }
  };
  std::unique_ptr<std::byte, Free> memory_;
  uint64_t bytes_;
  uint64_t used_ = kRootOffset;
  std::vector<std::pair<pool::ObjectType, pool::SpaceObject>> objects_;
  std::unique_ptr<pool::Persist> nothing_;
  pool::Persist* persist_;
};

}  // namespace dinomo::test
