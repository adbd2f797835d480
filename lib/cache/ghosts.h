// SPDX-License-Identifier: BSD-3-Clause
// Ghost list: sizes, hit counts and last accesses of a sample of all keys, held or not, from which
// is estimated what a read would cost under another order of replacement or with another size of
// memory. No keys, no values; a fixed number of records of 16 bytes.
//
// A key is in the sample by its hash (1 of 2^k; Waldspurger et al., SHARDS, FAST 2015), so the
// sample behaves as the whole at 2^-k of the size. k follows from the number of records.
//
// Two orders are looked at. By frequency: what saves most round trips a byte is held, values and
// shortcuts alike, for hit counts that age slowly or fast. By recency: values accessed last are
// held. In either order what is held with so much memory is what lies above a threshold, so the
// sample needs only its histograms, not a simulation of the cache.
//
// Thread rule: the owning worker lcore.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "cache/dac.h"

namespace dinomo::cache {

enum class Ageing : uint8_t { kSlow, kFast };
enum class Order : uint8_t { kFrequency, kRecency };

/// What the cache holds now, for the estimates to be about.
struct GhostView {
  uint64_t budget_bytes = 0;  // for slots and items
  uint64_t value_bytes = 0;   // of it, used by values
  uint64_t records = 0;       // values and shortcuts
  double miss_rt = 2;
};

class Ghosts {
 public:
  /// Takes a 32nd of `budget_bytes`, but 1 KiB at least and 32 KiB at most. False if there is no
  /// memory.
  bool init(uint64_t budget_bytes) noexcept;
  static uint64_t bytes_for(uint64_t budget_bytes) noexcept;
  void clear() noexcept;
  uint64_t bytes() const noexcept { return uint64_t{sets_} * sizeof(Set); }

  bool sampled(uint64_t hash) const noexcept { return (mix(hash) >> 48 & sample_mask_) == 0; }
  /// A read of a sampled key.
  void note_read(uint64_t hash, const GhostView& view) noexcept;
  /// The size of a sampled key's item became known; `used`: by an access that is not a read.
  void note_item(uint64_t hash, uint32_t item_bytes, bool used) noexcept;
  void forget(uint64_t hash) noexcept;

  Order best_order() const noexcept { return order_; }
  Ageing best_ageing() const noexcept { return ageing_; }
  /// With `actual_rt`, what a read costs now, as the anchor.
  WhatIf curve(double actual_rt) const noexcept;

 private:
  static constexpr uint32_t kWays = 8;
  static constexpr uint32_t kBuckets = 128;  // four an octave
  static constexpr uint32_t kAgeings = 2;
  static constexpr uint32_t kScales = 3;  // half, same, twice
  static constexpr double kSigmas = 2;

  struct Record {
    uint32_t tag = 0;  // 0: empty
    uint32_t last = 0;
    std::array<uint16_t, kAgeings> count{};  // sixteenths of a hit
    uint16_t units = 0;                      // item size in 16 bytes
    uint16_t sample_bits = 0;                // decide whether it stays when the sample shrinks
  };
  static_assert(sizeof(Record) == 16);
  struct alignas(64) Set {
    std::array<Record, kWays> record;
  };
  using Histogram = std::array<float, kBuckets>;
  struct Threshold {  // held: all buckets above, and this share of the bucket itself
    uint32_t bucket = 0;
    float share = 1;
  };
  /// Sum and squares of what one choice costs more than another, read by read.
  struct Difference {
    double sum = 0;
    double squares = 0;

    void add(double d) noexcept {
      sum += d;
      squares += d * d;
    }
    void forget(double share) noexcept {
      sum *= share;
      squares *= share;
    }
    /// Costs more, and that is no accident of the sample.
    bool certain(double least) const noexcept {
      return sum > least && sum * sum > kSigmas * kSigmas * squares;
    }
  };
  struct Costs {
    std::array<double, kScales> scaled{};  // as replaced now
    Difference frequency;                  // more than by recency
    Difference slow;                       // more than when ageing fast
    double reads = 0;
  };

  static uint64_t mix(uint64_t hash) noexcept {
    uint64_t x = hash * 0xd6e8'feb8'6659'fd93u;
    x ^= x >> 32;
    return x * 0x9e37'79b9'7f4a'7c15u;
  }
  static uint32_t tag_of(uint64_t mixed) noexcept {
    const auto tag = static_cast<uint32_t>(mixed);
    return tag == 0 ? 1 : tag;
  }
  Set& set_of(uint64_t mixed) const noexcept { return table_[(mixed >> 32) & (sets_ - 1)]; }
  Record* find(uint64_t mixed) const noexcept;
  Record* place(uint64_t mixed) noexcept;
  static uint32_t bucket_of(float x) noexcept;
  static float held(const Threshold& t, float x) noexcept;
  static Threshold threshold(const Histogram& bytes, double capacity_bytes) noexcept;
  float shortcut_density(float count) const noexcept;
  void use(Record& r) const noexcept;
  float recency(const Record& r) const noexcept {
    return 1e6F / static_cast<float>(now_ - r.last + 1);
  }
  double cost(const Record& r, Ageing ageing, uint32_t scale, Order order) const noexcept;
  void judge(const Record& r) noexcept;
  void sweep(const GhostView& view) noexcept;
  void sweep_record(Record& r) noexcept;
  void finish_sweep(const GhostView& view) noexcept;
  void choose() noexcept;
  void resize_sample() noexcept;

  std::unique_ptr<Set[]> table_;
  uint32_t sets_ = 0;
  uint32_t sample_bits_ = 0;
  uint64_t sample_mask_ = 0;
  uint32_t now_ = 0;  // sampled reads
  float miss_rt_ = 2;

  uint32_t hand_ = 0;
  uint32_t live_ = 0;  // met in this sweep
  uint32_t lost_ = 0;  // records given up although they mattered, since the last sweep
  std::array<bool, kAgeings> ageing_now_{};
  std::array<uint64_t, kAgeings> aged_at_{};
  std::array<Histogram, kAgeings> by_density_{};  // bytes, of the sweep under way
  Histogram by_age_{};
  bool ready_ = false;
  std::array<std::array<Threshold, kScales>, kAgeings> density_above_{};
  std::array<Threshold, kScales> age_below_{};

  Costs costs_;
  Order order_ = Order::kFrequency;
  Ageing ageing_ = Ageing::kSlow;
};

}  // namespace dinomo::cache
