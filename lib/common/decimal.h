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
  const char* const end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, number);
  if (text.empty() || error != std::errc() || at != end) return std::nullopt;
  return number;
}

inline constexpr size_t kDecimalBytesMax = 20;

}  // namespace dinomo
