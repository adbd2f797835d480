// SPDX-License-Identifier: BSD-3-Clause
// An index table over memory and "entries" that are nothing but a key each.
#pragma once

#include <cstring>
#include <memory>
#include <string>

#include "common/hash.h"
#include "index/index_writer.h"
#include "test/support/memory_space.h"

namespace dinomo::index {

using pool::GlobalAddress;

/// An entry: length byte, key. 64 bytes, at a fixed place by number.
class Keys final : public KeySource {
 public:
  Keys(pool::Space& space, uint32_t count) : space_(space) {
    const auto object =
        space.allocate(pool::ObjectType::kSegment, uint64_t{count} * 64, nullptr, 0);
    offset_ = object->offset;
  }
  GlobalAddress write(uint32_t number, std::string_view key) {
    std::byte* at = space_.at(offset_ + uint64_t{number} * 64);
    at[0] = static_cast<std::byte>(key.size());
    std::memcpy(at + 1, key.data(), key.size());
    return GlobalAddress::direct(1, offset_ + uint64_t{number} * 64, 64, 7);
  }
  Result<Bytes> key_at(GlobalAddress address) noexcept override {
    const std::byte* at = space_.at(address.offset_bytes());
    if (at[0] == std::byte{0}) return std::unexpected(Status::kCorrupt);
    return Bytes{at + 1, static_cast<size_t>(at[0])};
  }

 private:
  pool::Space& space_;
  uint64_t offset_ = 0;
};

struct Table {
  explicit Table(uint32_t buckets_log2, uint32_t entries = 1 << 16, uint64_t chunk_buckets = 1024,
                 uint64_t space_bytes = uint64_t{32} << 20)
      : space(space_bytes), keys(space, entries) {
    const uint64_t bytes = (uint64_t{1} << buckets_log2) * sizeof(Bucket);
    const auto table = space.allocate(pool::ObjectType::kIndexTable, bytes, nullptr, 0);
    ref = pool::TableRef(table->offset, buckets_log2, 1);
    format_heads(space.memory(), ref, 0, ref.buckets(), space.persist());
    root().current = ref.word();
    overflow = std::make_unique<OverflowPool>(space, chunk_buckets, chunk_buckets);
    overflow->finish_recovery();
    open();
  }
  void open() {
    writer =
        std::make_unique<IndexWriter>(space.memory(), root(), space.persist(), keys, *overflow);
  }
  pool::IndexRoot& root() { return *space.record<pool::IndexRoot>(kRootOffset); }

  static constexpr uint64_t kRootOffset = 8192;

  test::MemorySpace space;
  Keys keys;
  pool::TableRef ref;
  std::unique_ptr<OverflowPool> overflow;
  std::unique_ptr<IndexWriter> writer;
};

/// Spreads over few buckets and collides often in full: 5 bits at the top, 3 at the bottom.
inline uint64_t weak_hash(std::string_view key) {
  const uint64_t h = checksum64(as_bytes(key));
  return (h & uint64_t{0xf8} << 56) | (h & 7) | 1;
}

}  // namespace dinomo::index
