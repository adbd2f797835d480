// SPDX-License-Identifier: BSD-3-Clause
// The index of the cache: one 64-byte bucket of five slots a cache line, 12.8 bytes a slot.
//
//   bucket   offset  bytes
//   word[5]       0   5x8   shortcut: the global address; value: kValueBit | offset of the item in
//                           the arena; 0: empty
//   meta[5]      40   5x4   bits 10..31 tag, bit 9 "in its second bucket", bits 0..8 hit counter
//   header       60     4   bits 0..4 referenced since the clock hand came by (values),
//                           bits 16..31 low bits of the ageing epoch the counters stand at
//
// A key has two buckets and lives in either; both can be computed from one of them and the tag, so
// a bucket can be split or merged without the keys. The table grows and shrinks by single buckets
// (linear hashing; two choices even out that unsplit buckets draw twice the load), on pages of the
// arena, so memory can flow between it and the value log at any time.
//
// Invariant kept by the owner: at most one shortcut of equal (tag, buckets), since shortcuts cannot
// tell two keys apart.
//
// Thread rule: the owning worker lcore.
#pragma once

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include <array>
#include <cstdint>

#include "cache/arena.h"
#include "common/align.h"

namespace dinomo::cache {

inline constexpr uint32_t kSlots = 5;
inline constexpr uint64_t kValueBit = uint64_t{1} << 62;  // always 0 in a global address
inline constexpr uint32_t kCounterMask = 0x1ff;
inline constexpr uint32_t kSecondBit = 1u << 9;
inline constexpr uint32_t kTagShift = 10;

struct alignas(kCacheLineBytes) Bucket {
  std::array<uint64_t, kSlots> word;
  std::array<uint32_t, kSlots> meta;
  uint32_t header;

  bool empty(uint32_t i) const noexcept { return word[i] == 0; }
  bool is_value(uint32_t i) const noexcept { return (word[i] & kValueBit) != 0; }
  bool is_shortcut(uint32_t i) const noexcept { return word[i] != 0 && !is_value(i); }
  uint32_t counter(uint32_t i) const noexcept { return meta[i] & kCounterMask; }
  void set_counter(uint32_t i, uint32_t code) noexcept {
    meta[i] = (meta[i] & ~kCounterMask) | code;
  }
  bool referenced(uint32_t i) const noexcept { return (header >> i & 1) != 0; }
  void set_referenced(uint32_t i) noexcept { header |= 1u << i; }
  void clear_referenced(uint32_t i) noexcept { header &= ~(1u << i); }
  void clear(uint32_t i) noexcept {
    word[i] = 0;
    meta[i] = 0;
    clear_referenced(i);
  }
};
static_assert(sizeof(Bucket) == kCacheLineBytes);

/// What places a key: the same for every table size.
struct Probe {
  uint32_t home;  // among the buckets the table can never shrink below
  uint32_t tag;   // 22 bits, never 0
};

struct Slot {
  Bucket* bucket = nullptr;
  uint32_t i = 0;

  explicit operator bool() const noexcept { return bucket != nullptr; }
};

class Table {
 public:
  /// Takes its first pages. False if the arena has too few.
  bool init(Arena& arena) noexcept;
  /// Gives all pages back but the first ones, and empties those.
  void reset() noexcept;

  Probe probe(uint64_t hash) const noexcept {
    const uint64_t mixed = mix(hash);  // callers' hashes may share high or low bits
    const auto tag = static_cast<uint32_t>(mixed >> 42);
    return {.home = scale(static_cast<uint32_t>(mixed)), .tag = tag + (tag == 0 ? 1 : 0)};
  }

  /// One-to-one, and so is what undoes it.
  static constexpr uint64_t mix(uint64_t hash) noexcept {
    const uint64_t x = hash * kMixFirst;
    return (x ^ x >> 32) * kMixSecond;
  }
  static constexpr uint64_t unmix(uint64_t mixed) noexcept {
    const uint64_t x = mixed * inverse(kMixSecond);
    return (x ^ x >> 32) * inverse(kMixFirst);
  }

  uint32_t first_of(Probe p) const noexcept { return place(p.home, p.tag); }
  uint32_t second_of(Probe p) const noexcept {
    return place(partner(p.home, p.tag), p.tag >> kExtensionBits);
  }
  /// The probe of the key in this slot.
  Probe probe_at(uint32_t bucket_index, const Bucket& b, uint32_t i) const noexcept {
    const uint32_t tag = b.meta[i] >> kTagShift;
    const uint32_t here = bucket_index % buckets_min_;
    return {.home = (b.meta[i] & kSecondBit) != 0 ? partner(here, tag) : here, .tag = tag};
  }

  Bucket& bucket(uint32_t index) const noexcept {
    return reinterpret_cast<Bucket*>(pages_[index >> shift_])[index & mask_];
  }
  uint32_t buckets() const noexcept { return buckets_; }
  uint64_t bytes() const noexcept { return uint64_t{buckets_} * sizeof(Bucket); }
  uint64_t paged_bytes() const noexcept { return uint64_t{pages_used_} * arena_->page_bytes(); }
  uint32_t pages_min() const noexcept { return buckets_min_ >> shift_; }
  bool can_shrink() const noexcept { return buckets_ > buckets_min_; }

  /// Adds a bucket and moves into it what now belongs there. False when it needs a page and none
  /// is free, or at the limit of what tags can address.
  bool grow() noexcept;

  /// Removes the last bucket from the addressing. Its content is copied to `last` (with the index
  /// it had in `index`) for the caller to put elsewhere. Requires can_shrink().
  void shrink(Bucket& last, uint32_t& index) noexcept;

  /// Bit i set: slot i has the tag and position of `want`. An empty slot has tag 0, which no key
  /// has.
  static uint32_t match(const Bucket& b, uint32_t want) noexcept {
    const uint32_t last = static_cast<uint32_t>(((b.meta[4] ^ want) & ~kCounterMask) == 0) << 4;
#ifdef __SSE2__
    // Spelled out: left alone, the loop below becomes a reduction three times as long.
    const __m128i four = _mm_loadu_si128(reinterpret_cast<const __m128i*>(b.meta.data()));
    const __m128i tags = _mm_and_si128(four, _mm_set1_epi32(static_cast<int>(~kCounterMask)));
    const __m128i equal = _mm_cmpeq_epi32(tags, _mm_set1_epi32(static_cast<int>(want)));
    return last | static_cast<uint32_t>(_mm_movemask_ps(_mm_castsi128_ps(equal)));
#else
    uint32_t mask = last;
    for (uint32_t i = 0; i < kSlots - 1; ++i) {
      mask |= static_cast<uint32_t>(((b.meta[i] ^ want) & ~kCounterMask) == 0) << i;
    }
    return mask;
#endif
  }

 private:
  static constexpr uint32_t kExtensionBits = 11;
  static constexpr uint64_t kMixFirst = 0x9e37'79b9'7f4a'7c15;
  static constexpr uint64_t kMixSecond = 0xd6e8'feb8'6659'fd93;
  /// Of an odd number, modulo 2^64: each step doubles the bits that are right.
  static constexpr uint64_t inverse(uint64_t odd) noexcept {
    uint64_t x = odd;
    for (int step = 0; step < 5; ++step) x *= 2 - odd * x;
    return x;
  }

  // Maps 32 random bits to 0..buckets_min_-1.
  uint32_t scale(uint32_t bits) const noexcept {
    return static_cast<uint32_t>(uint64_t{bits} * buckets_min_ >> 32);
  }
  // An involution: the partner's partner is where we came from.
  uint32_t partner(uint32_t home, uint32_t tag) const noexcept {
    const uint32_t sum = scale(tag * 0x9e37'79b1u);
    return sum >= home ? sum - home : sum + buckets_min_ - home;
  }
  // Linear hashing: `extension` bits select among the buckets that `home` has split into.
  uint32_t place(uint32_t home, uint32_t extension) const noexcept {
    const uint32_t high = home + buckets_min_ * (extension & (2 * level_ - 1));
    const uint32_t low = home + buckets_min_ * (extension & (level_ - 1));
    return high < buckets_ ? high : low;
  }

  Arena* arena_ = nullptr;
  std::byte** pages_ = nullptr;
  uint32_t buckets_ = 0;
  uint32_t buckets_min_ = 0;
  uint32_t level_ = 1;  // power of two: buckets_min_*level_ <= buckets_ < 2*buckets_min_*level_
  uint32_t shift_ = 0;  // buckets of a page, as a shift and as a mask
  uint32_t mask_ = 0;
  uint32_t pages_used_ = 0;
};

}  // namespace dinomo::cache
