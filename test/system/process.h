// SPDX-License-Identifier: BSD-3-Clause
// Runs a program to its end and keeps what it said.
#pragma once

#include <string>
#include <vector>

namespace dinomo::test {

struct Finished {
  int status = -1;  // exit status; 128 + signal if it was killed; -1 if it could not be started
  std::string out;
  std::string err;
};

/// The path that meson test has put into this variable; ends the program with advice if it is not
/// set.
std::string program_path(const char* variable);

/// `arguments[0]` is the program's path. Killed after `timeout_s`.
Finished run_process(const std::vector<std::string>& arguments, const std::string& input = "",
                     int timeout_s = 60);

}  // namespace dinomo::test
