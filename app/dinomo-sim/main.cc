// SPDX-License-Identifier: BSD-3-Clause
// dinomo-sim: the whole cluster in virtual time, and the judge of histories.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>

#include "check.h"

namespace {

int run(int argc, char** argv) {
  CLI::App app{"The Dinomo simulator", "dinomo-sim"};
  app.set_version_flag("--version", DINOMO_VERSION);
  app.require_subcommand(1);
  dinomo::app::CheckArguments check;
  CLI::App* const checking =
      app.add_subcommand("check", "judge a history (JSON lines) for linearizability per key");
  checking->add_option("FILE", check.file, "the history, - for standard input")->required();
  checking->add_option("--clock-skew-ms", check.clock_skew_ms,
                       "clocks of servers and clients differ by at most this");
  checking
      ->add_option("--configurations-max", check.configurations_max,
                   "give up on a key with more possible orders")
      ->check(CLI::Range(1u, 100'000'000u));
  CLI11_PARSE(app, argc, argv);
  return dinomo::app::run_check(check);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "dinomo-sim: %s\n", error.what());
  }
  return 2;
}
