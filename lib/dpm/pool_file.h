// SPDX-License-Identifier: BSD-3-Clause
// The pool on disk or on a DAX device: a libpmemobj pool (layout kLayoutName, so that `pmempool`
// understands it) whose root object holds the superblock and the fixed records, and whose other
// objects are the index table, overflow chunks and segments.
//
// Thread rule: open() and close by the main thread; allocate() and release() by any.
// Errors: a Status and, in *why, one sentence that says what is wrong and what to do.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <string>

#include "pool/space.h"
#include "pool/superblock.h"

namespace dinomo::dpm {

enum class PersistenceChoice : uint8_t { kAuto, kDax, kPageCache, kMsync };

struct PoolOptions {
  std::string path;
  bool create = false;      // make the pool if there is no file; an existing file is never replaced
  uint64_t pool_bytes = 0;  // of a new pool
  uint64_t index_buckets = 0;      // a new pool begins with, a power of two; 0: from pool_bytes
  pool::PoolGeometry geometry;     // of a new pool; segments may get a few bytes less
  std::array<uint8_t, 16> uuid{};  // of a new pool, random
  uint64_t hash_seed = 0;          // of a new pool, random and secret
  uint64_t unix_ms = 0;            // now
  PersistenceChoice persistence = PersistenceChoice::kAuto;
  bool require_power_safe = false;
  /// The file is not changed: stores stay in this process. Not for a DAX device, nor with `create`.
  bool copy_on_write = false;
};

/// What a pool begins with: 1/256 of it. The index grows with its items.
uint64_t default_index_buckets(uint64_t pool_bytes) noexcept;

class PoolFile final : public pool::Space {
 public:
  static Result<std::unique_ptr<PoolFile>> open(const PoolOptions& options, std::string* why);
  ~PoolFile() override;
  PoolFile(const PoolFile&) = delete;
  PoolFile& operator=(const PoolFile&) = delete;

  MutableBytes memory() noexcept override { return memory_; }
  uint64_t superblock_offset() const noexcept override { return superblock_offset_; }
  pool::Persist& persist() noexcept override { return *persist_; }
  pool::Persistence persistence() const noexcept override { return domain_; }
  Result<pool::SpaceObject> allocate(pool::ObjectType type, uint64_t bytes, Prepare prepare,
                                     uint64_t prepared_bytes) noexcept override;
  void release(uint64_t offset) noexcept override;
  uint64_t segments_left(uint64_t bytes) noexcept override;
  std::vector<pool::SpaceObject> objects(pool::ObjectType type) override;

  /// Objects that are none of this format's: of another type, or segments that are too small.
  std::vector<pool::SpaceObject> strays();

  /// libpmemobj's own check of its records. kCorrupt: they are inconsistent. kOk also if it cannot
  /// look at them, which open() will say better.
  static Status check_allocator(const std::string& path, std::string* why);

  const std::string& path() const noexcept { return path_; }
  bool created() const noexcept { return created_; }

 private:
  PoolFile() = default;
  Status create(const PoolOptions& options, std::string* why);
  Status format(const PoolOptions& options, std::string* why);
  Status attach(const PoolOptions& options, std::string* why);
  Status check_index_root(std::string* why);
  Status check_root(const PoolOptions& options, std::string* why);
  Status choose_persistence(const PoolOptions& options, std::string* why);
  void close() noexcept;

  void* handle_ = nullptr;  // PMEMobjpool
  MutableBytes memory_;
  uint64_t superblock_offset_ = 0;
  uint64_t root_end_ = 0;
  std::unique_ptr<pool::Persist> persist_;
  pool::Persistence domain_ = pool::Persistence::kPageCache;
  std::atomic<uint64_t> segments_{0};  // counted by objects(), then kept
  std::mutex objects_mutex_;           // libpmemobj's enumeration bears no change meanwhile
  std::string path_;
  bool created_ = false;
  bool device_ = false;  // a DAX device, not a file
};

}  // namespace dinomo::dpm
