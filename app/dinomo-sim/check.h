// SPDX-License-Identifier: BSD-3-Clause
// `dinomo-sim check`: judges a recorded history.
#pragma once

#include <cstdint>
#include <string>

namespace dinomo::app {

struct CheckArguments {
  std::string file;  // "-": standard input
  uint64_t clock_skew_ms = 0;
  uint32_t configurations_max = 200'000;
};

/// Exit status: 0 linearizable, 1 not, 2 the file cannot be read, 3 could not be decided.
int run_check(const CheckArguments& arguments);

}  // namespace dinomo::app
