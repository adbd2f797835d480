// SPDX-License-Identifier: BSD-3-Clause
// Unsigned decimal numbers as text, the form in which counters are stored.
#pragma once

#include <charconv>
#include <cstdint>
#include <optional>
#include <string_view>

namespace dinomo {

/// Digits only, all of them, and below 2^64; nullopt for anything else.
inline std::optional<uint64_t> parse_decimal(std::string_view text) noexcept {
  uint64_t number = 0;
  const auto [at, error] = std::from_chars(text.begin(), text.end(), number);
  if (text.empty() || error != std::errc() || at != text.end()) return std::nullopt;
  return number;
}

inline constexpr size_t kDecimalBytesMax = 20;

}  // namespace dinomo
