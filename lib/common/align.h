// SPDX-License-Identifier: BSD-3-Clause
// Cache lines and powers of two.
#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>

namespace dinomo {

inline constexpr size_t kCacheLineBytes = 64;

template <std::unsigned_integral T>
inline constexpr T align_up(T value, T alignment) noexcept {
  return (value + alignment - 1) / alignment * alignment;
}

template <std::unsigned_integral T>
inline constexpr bool is_power_of_two(T value) noexcept {
  return std::has_single_bit(value);
}

}  // namespace dinomo
