// SPDX-License-Identifier: BSD-3-Clause
// Helpers of the fuzz targets.
#pragma once

#include <cstdio>
#include <cstdlib>

#include "common/bytes.h"

/// A property that every input has to keep; the sanitizers watch the rest.
#define FUZZ_CHECK(condition)                                                        \
  do {                                                                               \
    if (!(condition)) {                                                              \
      std::fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                  \
    }                                                                                \
  } while (false)

namespace dinomo::fuzz {

inline bool inside(Bytes part, Bytes whole) {
  return part.empty() ||
         (part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size());
}

/// Reads every byte, so that AddressSanitizer sees a span that is too long.
inline void touch(Bytes bytes) {
  unsigned sum = 0;
  for (const std::byte b : bytes) sum += std::to_integer<unsigned>(b);
  [[maybe_unused]] volatile unsigned sink = sum;
}

}  // namespace dinomo::fuzz
