// SPDX-License-Identifier: BSD-3-Clause
// Words and numbers of a text line.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <limits>
#include <optional>
#include <string_view>

namespace dinomo::memcached {

/// The next word of *rest, which is cut off; empty at the end. Only spaces separate words.
inline std::string_view next_token(std::string_view* rest) noexcept {
  const size_t begin = rest->find_first_not_of(' ');
  if (begin == std::string_view::npos) {
    *rest = {};
    return {};
  }
  const size_t end = std::min(rest->find(' ', begin), rest->size());
  const std::string_view token = rest->substr(begin, end - begin);
  rest->remove_prefix(end);
  return token;
}

/// A decimal number in the range of T, all of the text. A plus sign is let pass, as memcached does.
template <class T>
std::optional<T> parse_number(std::string_view text) noexcept {
  if (text.starts_with('+')) text.remove_prefix(1);
  if (text.starts_with('+')) return std::nullopt;
  T number{};
  const char* const begin = text.data();
  const char* const end = begin + text.size();
  const auto [at, error] = std::from_chars(begin, end, number);
  if (text.empty() || error != std::errc() || at != end) return std::nullopt;
  return number;
}

}  // namespace dinomo::memcached
