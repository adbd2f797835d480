// SPDX-License-Identifier: BSD-3-Clause
// `dinomo-sim run`: seeds, on all cores, with their verdicts; shrinking what fails.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace dinomo::app {

struct RunArguments {
  std::string scenario;           // file; empty: defaults
  std::vector<std::string> sets;  // name=value
  uint64_t seed_first = 1;
  uint64_t seed_last = 1;
  bool swarm = false;   // each seed chooses faults and knobs of its own
  bool replay = false;  // print what happens
  bool shrink = true;   // a failing run is made smaller
  uint32_t jobs = 0;    // 0: one a core
  bool until_failure = false;
  std::vector<std::string> reach;  // what has to be counted, "all" for everything that is
  std::string history;             // file for the history of the last seed
  std::string coverage;            // file for the sums, JSON
};

/// "7" or "1-500" into seed_first and seed_last; false if it is neither.
bool parse_seeds(const std::string& text, RunArguments* arguments);

/// Exit status: 0 all passed, 1 some failed, 2 the arguments or the scenario are wrong.
int run_seeds(const RunArguments& arguments);

/// Lists the knobs.
int print_knobs();

}  // namespace dinomo::app
