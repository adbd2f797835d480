// SPDX-License-Identifier: BSD-3-Clause
// What the two halves of the parser share. Internal to lib/memcached.
#pragma once

#include "memcached/command.h"
#include "pool/format.h"

namespace dinomo::memcached {

static_assert(kKeyBytesMax == pool::kKeyBytesMax);

inline constexpr std::string_view kErrorUnknown = "ERROR";
inline constexpr std::string_view kErrorFormat = "CLIENT_ERROR bad command line format";
inline constexpr std::string_view kErrorChunk = "CLIENT_ERROR bad data chunk";
inline constexpr std::string_view kErrorTooLarge = "SERVER_ERROR object too large for cache";
inline constexpr std::string_view kErrorExptime = "CLIENT_ERROR invalid exptime argument";

/// A line that has been looked at: what is wrong with it, if anything, and how large the value is
/// that follows it, as far as that can be told.
struct Line {
  std::string_view refusal;
  bool value_known = false;
  uint32_t value_bytes = 0;
};

/// mg ms md ma: `rest` is what follows the verb.
Line parse_meta(std::string_view rest, Command* command) noexcept;

inline bool good_key(std::string_view key) noexcept {
  return !key.empty() && key.size() <= kKeyBytesMax;
}

}  // namespace dinomo::memcached
