// SPDX-License-Identifier: BSD-3-Clause
// Deterministic generator (SplitMix64), seeded by whoever owns it: the same seed gives the same
// jitter, keys and operations. 1-2 ns a draw. Not for secrets.
#pragma once

#include <cstdint>

namespace dinomo::client {

class Random {
 public:
  explicit Random(uint64_t seed) noexcept : state_(seed) {}

  uint64_t next() noexcept {
    state_ += 0x9e37'79b9'7f4a'7c15u;
    uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xbf58'476d'1ce4'e5b9u;
    z = (z ^ (z >> 27)) * 0x94d0'49bb'1331'11ebu;
    return z ^ (z >> 31);
  }
  /// Uniform in [0, 1), 53 bits.
  double unit() noexcept { return static_cast<double>(next() >> 11) * 0x1.0p-53; }
  /// Uniform in [0, bound); the bias is below bound / 2^64. `bound` > 0.
  uint64_t below(uint64_t bound) noexcept {
    return static_cast<uint64_t>((static_cast<unsigned __int128>(next()) * bound) >> 64);
  }

 private:
  uint64_t state_;
};

}  // namespace dinomo::client
