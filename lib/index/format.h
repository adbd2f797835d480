// SPDX-License-Identifier: BSD-3-Clause
// P-CLHT bucket: one cache line. Byte table: doc/formats.md. After RECIPE's P-CLHT (SOSP 2019),
// with 64-bit key hashes and global addresses instead of keys and pointers.
//
// Every published state is consistent, in memory and in every crash image:
//  * update: one 8-byte atomic store of the slot's address;
//  * insert: the address first, then (after a flush) the hash, which makes the slot valid;
//  * delete: one store of hash 0;
//  * an overflow bucket is complete and flushed before the 8-byte store of `next` that links it.
// The lock bit has meaning only while one DPM process runs; recovery clears it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace dinomo::index {

inline constexpr uint32_t kSlotsPerBucket = 3;

struct Slot {
  uint64_t hash;     // key hash, 0 empty
  uint64_t address;  // pool::GlobalAddress
};

struct alignas(64) Bucket {
  uint64_t header;  // bit 0 writer lock (head buckets), bit 1 migrated, bits 16..31 table version
  std::array<Slot, kSlotsPerBucket> slots;
  uint64_t next;  // byte offset of the overflow bucket in the pool, 0 none
};
static_assert(sizeof(Bucket) == 64 && offsetof(Bucket, next) == 56);

inline constexpr uint64_t kLockBit = 1;
inline constexpr uint64_t kMigratedBit = 2;
inline constexpr uint32_t kVersionShift = 16;

inline constexpr uint16_t table_version(uint64_t header) noexcept {
  return static_cast<uint16_t>(header >> kVersionShift);
}

/// A longer overflow chain than this is reported as corruption, never followed for ever.
inline constexpr uint32_t kChainBucketsMax = 64;

inline constexpr uint64_t bucket_index(uint64_t hash, uint32_t buckets_log2) noexcept {
  return buckets_log2 == 0 ? 0 : hash >> (64 - buckets_log2);
}

}  // namespace dinomo::index
