// SPDX-License-Identifier: BSD-3-Clause
// Nine-bit hit counter: 5 bits of mantissa, 4 of exponent. Exact up to 63, then within 1/32 up to a
// million: above 63 it advances by a step of 2^k with probability 2^-k, so its mean stays true.
// Halving is exact to the step.
#pragma once

#include <cstdint>

namespace dinomo::cache {

inline constexpr uint32_t kFrequencyCodeMax = 511;

/// Small seeded generator (xorshift): the same calls give the same run, in every process.
class Dice {
 public:
  uint64_t next() noexcept {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return state_;
  }

 private:
  uint64_t state_ = 0x2545'f491'4f6c'dd1d;
};

inline constexpr uint32_t frequency_of(uint32_t code) noexcept {
  const uint32_t exponent = code >> 5;
  return exponent == 0 ? code : (32 + (code & 31)) << (exponent - 1);
}

inline uint32_t frequency_incremented(uint32_t code, Dice& dice) noexcept {
  if (code < 64) return code + 1;  // steps of one
  if (code == kFrequencyCodeMax) return code;
  const uint32_t step_bits = (code >> 5) - 1;
  return (dice.next() & ((uint64_t{1} << step_bits) - 1)) == 0 ? code + 1 : code;
}

inline constexpr uint32_t frequency_halved(uint32_t code) noexcept {
  if (code >= 64) return code - 32;
  return frequency_of(code) >> 1;  // below 64 the code is the count
}

}  // namespace dinomo::cache
