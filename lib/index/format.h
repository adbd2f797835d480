// SPDX-License-Identifier: BSD-3-Clause
// P-CLHT bucket: one cache line. Byte table: doc/formats.md. After RECIPE's P-CLHT (SOSP 2019),
// with 64-bit key hashes and global addresses instead of keys and pointers.
//
// Every published state is consistent, in memory and in every crash image:
//  * update: one 8-byte atomic store of the slot's address;
//  * insert: the address first, then (after a flush) the hash, which makes the slot valid;
//  * delete: one store of hash 0;
//  * an overflow bucket is complete and flushed before the 8-byte store of `next` that links it,
//    and an empty one is unlinked by the same kind of store;
//  * resize: a chain's items are durable in the next table before its head is marked migrated, and
//    the mark is durable before anyone changes them there. Of a chain that is not marked the next
//    table may hold copies that mean nothing (crash); recovery drops them.
// The lock bit has meaning only while one DPM process runs; recovery clears it.
//
// Remote readers know by the tag (table version, head index) that a bucket is what they look for: a
// table or an overflow bucket that was given up and used again has another one.
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
  uint64_t header;  // bit 0 writer lock (heads), bit 1 migrated or unlinked, bits 16..63 tag
  std::array<Slot, kSlotsPerBucket> slots;
  uint64_t next;  // byte offset of the overflow bucket in the pool, 0 none
};
static_assert(sizeof(Bucket) == 64 && offsetof(Bucket, next) == 56);

inline constexpr uint64_t kLockBit = 1;
inline constexpr uint64_t kMigratedBit = 2;
inline constexpr uint32_t kVersionShift = 16;
inline constexpr uint32_t kHeadShift = 32;

inline constexpr uint16_t table_version(uint64_t header) noexcept {
  return static_cast<uint16_t>(header >> kVersionShift);
}

/// Header of every bucket of a chain: table version in bits 16..31, head index in 32..63.
inline constexpr uint64_t chain_header(uint16_t version, uint64_t head_index) noexcept {
  return uint64_t{version} << kVersionShift | head_index << kHeadShift;
}

/// True if a bucket that was read belongs to that chain and the chain has not moved.
inline constexpr bool serves_chain(uint64_t header, uint16_t version,
                                   uint64_t head_index) noexcept {
  return (header & ~kLockBit) == chain_header(version, head_index);
}

/// A longer overflow chain than this is reported as corruption, never followed for ever.
inline constexpr uint32_t kChainBucketsMax = 64;

inline constexpr uint64_t bucket_index(uint64_t hash, uint32_t buckets_log2) noexcept {
  return buckets_log2 == 0 ? 0 : hash >> (64 - buckets_log2);
}

}  // namespace dinomo::index
