// SPDX-License-Identifier: BSD-3-Clause
#include "check.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iostream>

#include "sim/checker.h"

namespace dinomo::app {

int run_check(const CheckArguments& arguments) {
  std::ifstream file;
  if (arguments.file != "-") {
    file.open(arguments.file);
    if (!file) {
      fmt::print(stderr, "dinomo-sim: cannot read the history '{}': {}\n", arguments.file,
                 std::strerror(errno));
      return 2;
    }
  }
  std::string why;
  const auto history = sim::read_history(arguments.file == "-" ? std::cin : file, &why);
  if (!history) {
    fmt::print(stderr, "dinomo-sim: '{}' {}; doc/simulator.md has the format\n", arguments.file,
               why);
    return 2;
  }
  sim::CheckOptions options;
  options.model.clock_skew_ns = arguments.clock_skew_ms * 1'000'000;
  options.configurations_max = arguments.configurations_max;
  const sim::CheckReport r = sim::check_linearizable(*history, options);
  fmt::print("{} operations on {} keys judged, {} of them without reply; {} say nothing\n",
             r.operations, r.keys, r.unanswered, r.ignored);
  switch (r.verdict) {
    case sim::Verdict::kLinearizable: fmt::print("linearizable\n"); return 0;
    case sim::Verdict::kNotLinearizable:
      fmt::print("NOT LINEARIZABLE: key '{}': {}", r.key, r.explanation);
      return 1;
    case sim::Verdict::kUndecided: break;
  }
  fmt::print("UNDECIDED: key '{}': {}", r.key, r.explanation);
  return 3;
}

}  // namespace dinomo::app
