// SPDX-License-Identifier: BSD-3-Clause
// Which keys are asked for most: space-saving counters (Metwally, Agrawal, El Abbadi, ICDT 2005)
// over a sample of the operations, and how many different keys that sample had (linear counting),
// so that a reader can tell hot from usual. Room is fixed, whatever the number of keys.
//
// One period at a time: the reader asks for what was seen since the last one.
// Thread rule: note() and follow() by the owning lcore; ask(), ready() and report() by one reader.
// No allocation after construction. Cost of note(): a multiplication, and for one in 16 a search of
// 64 words (measured by test/bench/engine_bench, "heat of a key").
#pragma once

#include <array>
#include <atomic>
#include <bitset>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace dinomo::telemetry {

struct HeatReport {
  struct Key {
    uint64_t routing_hash = 0;
    uint64_t key_hash = 0;
    uint64_t count = 0;  // of the sample: at most so many
    uint64_t over = 0;   // and at least so many less
  };
  static constexpr size_t kKeys = 64;
  uint64_t sampled = 0;   // operations
  uint64_t distinct = 0;  // different keys among them, estimated
  size_t size = 0;
  std::array<Key, kKeys> keys{};  // in no order
};

class HeavyHitters {
 public:
  static constexpr uint32_t kOneIn = 16;  // operations that are sampled

  explicit HeavyHitters(uint64_t seed) noexcept : random_(seed | 1) {}

  void note(uint64_t routing_hash, uint64_t key_hash) noexcept {
    random_ = random_ * 6'364'136'223'846'793'005u + 1'442'695'040'888'963'407u;
    if (random_ >> 60 == 0) count(routing_hash, key_hash);
  }

  /// Once a turn: hands over the period that the reader asked for, and begins the next one.
  void follow() noexcept {
    const uint32_t asked = asked_.load(std::memory_order_acquire);
    if (asked == handed_.load(std::memory_order_relaxed)) return;
    now_.distinct = distinct();
    handed_over_ = now_;
    now_ = HeatReport{};
    seen_.reset();
    handed_.store(asked, std::memory_order_release);
  }

  /// Ends the period. Not while an earlier one is under way: ready() first.
  void ask() noexcept { asked_.fetch_add(1, std::memory_order_release); }
  bool ready() const noexcept {
    return handed_.load(std::memory_order_acquire) == asked_.load(std::memory_order_relaxed);
  }
  /// Of the last period that ended. REQUIRES: ready().
  const HeatReport& report() const noexcept { return handed_over_; }

 private:
  static constexpr size_t kBits = 1u << 15;  // tells up to some 200,000 keys apart

  void count(uint64_t routing_hash, uint64_t key_hash) noexcept {
    ++now_.sampled;
    seen_.set(routing_hash % kBits);
    size_t least = 0;
    for (size_t i = 0; i < now_.size; ++i) {
      if (now_.keys[i].routing_hash == routing_hash) {
        ++now_.keys[i].count;
        return;
      }
      if (now_.keys[i].count < now_.keys[least].count) least = i;
    }
    if (now_.size < HeatReport::kKeys) {
      now_.keys[now_.size++] = {routing_hash, key_hash, 1, 0};
      return;
    }
    const uint64_t before = now_.keys[least].count;
    now_.keys[least] = {routing_hash, key_hash, before + 1, before};
  }

  uint64_t distinct() const noexcept {
    const size_t unset = kBits - seen_.count();
    const double share = static_cast<double>(unset == 0 ? 1 : unset) / kBits;
    return static_cast<uint64_t>(std::llround(-static_cast<double>(kBits) * std::log(share)));
  }

  uint64_t random_;
  HeatReport now_;
  std::bitset<kBits> seen_;
  HeatReport handed_over_;
  std::atomic<uint32_t> asked_{0};
  std::atomic<uint32_t> handed_{0};
};

}  // namespace dinomo::telemetry
