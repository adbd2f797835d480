// SPDX-License-Identifier: BSD-3-Clause
// Words for findings.
#pragma once

#include <array>
#include <cstdio>
#include <string>

#include "common/bytes.h"

namespace dinomo::dpm {

inline std::string hex(uint64_t n) {
  std::array<char, 24> text{};
  std::snprintf(text.data(), text.size(), "0x%llx", static_cast<unsigned long long>(n));
  return text.data();
}

/// A key for a terminal: other bytes as \xNN.
inline std::string quoted(Bytes key) {
  std::string text = "\"";
  for (const std::byte b : key) {
    const auto c = static_cast<char>(b);
    if (c >= ' ' && c <= '~' && c != '"' && c != '\\') {
      text += c;
      continue;
    }
    std::array<char, 8> escape{};
    std::snprintf(escape.data(), escape.size(), "\\x%02x", static_cast<unsigned>(b));
    text += escape.data();
  }
  return text + "\"";
}

}  // namespace dinomo::dpm
