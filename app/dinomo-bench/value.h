// SPDX-License-Identifier: BSD-3-Clause
// What the benchmark stores: keys that can be typed, and values that can be checked.
//
//   key    decimal number of the key, zero-padded to the key size (with "user" in front if it fits)
//   value  0   8  checksum (XXH3 of all that follows, seeded with the key's number)
//          8   8  version: run of the benchmark (36 bits), counter of the key (28 bits)
//          16  8  number of the key, if the value has 24 bytes or more
//          then bytes that look random
// A value of less than 16 bytes has only filler and cannot be checked.
#pragma once

#include <cstdint>
#include <vector>

#include "common/bytes.h"

namespace dinomo::bench {

inline constexpr size_t kCheckableBytes = 16;

/// Run of the benchmark that wrote a value, and the how many-th write to its key that was. Runs are
/// numbered by the time of their start in units of 16 ms, so later runs have larger numbers.
struct Version {
  static constexpr uint32_t kCounterBits = 28;
  static constexpr uint32_t kCounterMax = (1u << kCounterBits) - 1;

  uint64_t run = 0;
  uint32_t counter = 0;

  static constexpr uint64_t run_started_at(uint64_t unix_ms) noexcept {
    return (unix_ms >> 4) & ((uint64_t{1} << (64 - kCounterBits)) - 1);
  }
  static constexpr Version unpack(uint64_t word) noexcept {
    return {word >> kCounterBits, static_cast<uint32_t>(word & kCounterMax)};
  }
  constexpr uint64_t pack() const noexcept { return run << kCounterBits | counter; }
};

enum class Verdict : uint8_t { kGood, kCorrupt, kForeign };

struct Checked {
  Verdict verdict = Verdict::kGood;
  Version version;
};

class Values {
 public:
  explicit Values(uint64_t seed);

  /// Fills `out` with the value of `key` at `version`.
  void write(MutableBytes out, uint64_t key, Version version) const noexcept;
  static Checked check(Bytes value, uint64_t key) noexcept;

 private:
  std::vector<std::byte> filler_;
};

/// How many different keys of this size there are.
uint64_t keys_possible(uint32_t key_bytes) noexcept;
/// Writes `key` into all of `out`.
void write_key(MutableBytes out, uint64_t key) noexcept;

}  // namespace dinomo::bench
