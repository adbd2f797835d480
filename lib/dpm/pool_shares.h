// SPDX-License-Identifier: BSD-3-Clause
// How the bytes of a pool are divided: what the allocator takes, what is kept for the index, and so
// how many segments there can be. Pure functions.
#pragma once

#include <algorithm>
#include <cstdint>

#include "common/align.h"
#include "index/format.h"

namespace dinomo::dpm {

/// Segments leave so much of the pool to the index, that it can grow when they are full: a table of
/// a bucket for every 640 bytes beside the one it replaces, or overflow buckets instead.
inline constexpr uint64_t index_share_bytes(uint64_t pool_bytes) noexcept {
  return pool_bytes * 5 / 32;
}

/// The allocator of libpmemobj gives large objects in whole chunks with a header in the first one,
/// and smaller ones from runs of several.
inline constexpr uint64_t kHeapChunkBytes = uint64_t{256} << 10;
inline constexpr uint64_t kRunObjectBytesMax = 2 * kHeapChunkBytes;
inline constexpr uint64_t kObjectHeaderBytes = 16;
/// To reach 64 from the allocator's addresses, which are 16-aligned at least.
inline constexpr uint64_t kAlignmentBytes = 48;
inline constexpr uint64_t kZoneBytes = uint64_t{16} << 30;
inline constexpr uint64_t kHeapFixedBytes = uint64_t{5} << 20;  // lanes and tables, measured
inline constexpr uint64_t kBegunRunsBytes = uint64_t{8} << 20;

/// A new pool has at least so many: some for logs beside what is kept for deletes and compaction.
inline constexpr uint64_t kSegmentsMin = 5;

/// What a segment of so many bytes takes of the pool.
inline constexpr uint64_t segment_footprint(uint64_t bytes) noexcept {
  const uint64_t object = bytes + kAlignmentBytes + kObjectHeaderBytes;
  if (object < kRunObjectBytesMax) return object + object / 16;
  return align_up<uint64_t>(object, kHeapChunkBytes);
}

/// The segment is to fill the chunks that it takes: a multiple of them holds as much less as the
/// object needs for itself, else each segment would waste a chunk.
inline constexpr uint64_t fitted_segment_bytes(uint64_t bytes) noexcept {
  if (bytes < kRunObjectBytesMax || bytes % kHeapChunkBytes != 0) return bytes;
  return bytes - kAlignmentBytes - kObjectHeaderBytes;
}
static_assert(segment_footprint(fitted_segment_bytes(uint64_t{8} << 20)) == uint64_t{8} << 20);

/// Segments that fit a pool beside its fixed records and what is kept for the index.
inline constexpr uint64_t segments_that_fit(uint64_t pool_bytes, uint64_t root_bytes,
                                            uint64_t first_buckets,
                                            uint64_t segment_bytes) noexcept {
  const uint64_t index_bytes =
      std::max(first_buckets * sizeof(index::Bucket) * 5 / 4, index_share_bytes(pool_bytes));
  const uint64_t zones = pool_bytes / kZoneBytes + 1;  // each with tables of its own and a rest
  const uint64_t runs = segment_bytes < kRunObjectBytesMax ? kBegunRunsBytes : 0;
  const uint64_t kept = index_bytes + root_bytes + kHeapFixedBytes + runs +
                        zones * 2 * kHeapChunkBytes +
                        (zones - 1) * segment_footprint(segment_bytes);
  return kept < pool_bytes ? (pool_bytes - kept) / segment_footprint(segment_bytes) : 0;
}

}  // namespace dinomo::dpm
