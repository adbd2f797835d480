// SPDX-License-Identifier: BSD-3-Clause
// The mapped pool as the DPM's libraries see it: memory, its allocator by object type, and its
// durability. Implemented over libpmemobj by dpm::PoolFile, and by plain memory in the simulator.
//
// Thread rule: allocate() and release() from any thread, the rest is constant while the pool is
// open.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "common/bytes.h"
#include "common/status.h"
#include "pool/format.h"
#include "pool/persist.h"

namespace dinomo::pool {

/// An allocated object; offset aligned to 64, `bytes` usable from there.
struct SpaceObject {
  uint64_t offset = 0;
  uint64_t bytes = 0;
};

class Space {
 public:
  virtual ~Space() = default;

  virtual MutableBytes memory() noexcept = 0;
  virtual uint64_t superblock_offset() const noexcept = 0;
  virtual Persist& persist() noexcept = 0;
  virtual Persistence persistence() const noexcept = 0;

  /// At least `bytes` at a multiple of 64. `prepare` writes (and need not flush) the first
  /// `prepared_bytes`, which are durable before the object exists; the rest is not initialised.
  /// Atomic: after a crash the object exists, prepared, or it does not. kNoSpace when full.
  using Prepare = void (*)(std::byte* object) noexcept;
  virtual Result<SpaceObject> allocate(ObjectType type, uint64_t bytes, Prepare prepare,
                                       uint64_t prepared_bytes) noexcept = 0;

  /// Gives an object back by its offset, atomically. Nothing may refer to it. An offset that no
  /// object has is ignored.
  virtual void release(uint64_t offset) noexcept = 0;

  /// Segments of so many bytes that allocate() has room for, beside what exists.
  virtual uint64_t segments_left(uint64_t bytes) noexcept = 0;

  /// Every object of a type. Start-up only.
  virtual std::vector<SpaceObject> objects(ObjectType type) = 0;

  std::byte* at(uint64_t offset) noexcept { return memory().data() + offset; }
  template <class T>
  T* record(uint64_t offset) noexcept {
    return reinterpret_cast<T*>(at(offset));
  }
  const Superblock& superblock() noexcept { return *record<Superblock>(superblock_offset()); }
};

}  // namespace dinomo::pool
