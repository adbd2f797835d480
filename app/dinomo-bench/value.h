// SPDX-License-Identifier: BSD-3-Clause
// What the benchmark stores: keys that can be typed, and values that can be checked.
//
//   key    decimal number of the key, zero-padded to the key size (with "user" in front if it fits)
//   value  0   8  checksum (XXH3 of all that follows, seeded with the key's number)
//          8   8  version: run of the benchmark (upper half), counter of the key (lower half)
//          16  8  number of the key, if the value has 24 bytes or more
//          then bytes that look random
// A value of less than 16 bytes has only filler and cannot be checked.
#pragma once

#include <cstdint>
#include <vector>

#include "common/bytes.h"

namespace dinomo::bench {

inline constexpr size_t kCheckableBytes = 16;

enum class Verdict : uint8_t { kGood, kCorrupt, kForeign };

struct Checked {
  Verdict verdict = Verdict::kGood;
  uint64_t version = 0;
};

class Values {
 public:
  explicit Values(uint64_t seed);

  /// Fills `out` with the value of `key` at `version`.
  void write(MutableBytes out, uint64_t key, uint64_t version) const noexcept;
  static Checked check(Bytes value, uint64_t key) noexcept;

 private:
  std::vector<std::byte> filler_;
};

/// How many different keys of this size there are.
uint64_t keys_possible(uint32_t key_bytes) noexcept;
/// Writes `key` into all of `out`.
void write_key(MutableBytes out, uint64_t key) noexcept;

}  // namespace dinomo::bench
