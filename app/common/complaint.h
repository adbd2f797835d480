// SPDX-License-Identifier: BSD-3-Clause
// What a program whose command line is read by CLI11 says about one that is wrong: one line that
// begins with the program's name, as every other error of ours does. For App::failure_message.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace dinomo::app {

inline std::string complaint(const CLI::App* app, const CLI::Error& error) {
  return app->get_name() + ": " + error.what() + "; see " + app->get_name() + " --help\n";
}

}  // namespace dinomo::app
