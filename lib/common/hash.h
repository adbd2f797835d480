// SPDX-License-Identifier: BSD-3-Clause
// The hashes of the system, all XXH3 (libxxhash, compiled inline).
//
//  * routing hash: unseeded, so that every client computes the same partition and worker;
//  * key hash: seeded with the pool's secret, used by index, cache and in-flight tables, so that
//    clients cannot aim keys at one bucket. Never 0: 0 marks an empty slot.
//  * checksum: over log entries and pool records.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace dinomo {

using Bytes = std::span<const std::byte>;

inline constexpr uint32_t kPartitions = 4096;
inline constexpr uint32_t kPartitionShift = 52;  // of a routing hash

inline uint64_t routing_hash(Bytes key) noexcept { return XXH3_64bits(key.data(), key.size()); }

inline constexpr uint32_t partition_of(uint64_t routing_hash) noexcept {
  return static_cast<uint32_t>(routing_hash >> kPartitionShift);
}

/// Second level: worker inside the owner KN. Uses other bits than partition_of, so that the keys of
/// one partition spread over all workers. `workers` is 1..65535.
inline constexpr uint32_t worker_of(uint64_t routing_hash, uint32_t workers) noexcept {
  return static_cast<uint32_t>(((routing_hash & 0xffff'ffffu) * workers) >> 32);
}

inline uint64_t key_hash(Bytes key, uint64_t pool_seed) noexcept {
  const uint64_t h = XXH3_64bits_withSeed(key.data(), key.size(), pool_seed);
  return h != 0 ? h : 1;
}

inline uint64_t checksum64(Bytes data, uint64_t seed = 0) noexcept {
  return XXH3_64bits_withSeed(data.data(), data.size(), seed);
}

}  // namespace dinomo
