// SPDX-License-Identifier: BSD-3-Clause
// dinomo-sim: the whole cluster in virtual time, and the judge of histories.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <string>

#include "app/common/complaint.h"
#include "check.h"
#include "common/planted.h"
#include "runs.h"

namespace {

constexpr int kExitUsage = 2;

int run(int argc, char** argv) {
  CLI::App app{"The Dinomo simulator", "dinomo-sim"};
  app.set_version_flag("--version", "dinomo-sim " DINOMO_VERSION);
  app.require_subcommand(1);
  app.failure_message(dinomo::app::complaint);
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
  dinomo::app::RunArguments runs;
  std::string seeds = "1";
  CLI::App* const running = app.add_subcommand("run", "run seeds of a scenario and judge them");
  running->add_option("SCENARIO", runs.scenario, "libconfig file of knobs")
      ->check(CLI::ExistingFile);
  running->add_option("--seed,--seeds", seeds, "one, or a range such as 1-500");
  running->add_option("--set", runs.sets, "knobs, NAME=NUMBER ...");
  running->add_flag("--swarm", runs.swarm, "each seed switches faults and knobs on by itself");
  running->add_flag("--replay", runs.replay, "tell what happens, first seed only");
  running->add_flag("!--no-shrink", runs.shrink, "do not make failing runs smaller");
  running->add_flag("--until-failure", runs.until_failure, "end at the first seed that fails");
  running->add_option(
      "--reach", runs.reach,
      "fail unless these were reached by some seed; all: everything that is counted");
#ifdef DINOMO_PLANTED_BUGS
  std::string plant;
  running->add_option("--plant", plant, "switch a planted bug on");
#endif
  running->add_option("--jobs", runs.jobs, "processes; 0: one a core")->check(CLI::Range(0, 256));
  running->add_option("--history", runs.history, "write the history there, first seed only");
  running->add_option("--coverage", runs.coverage, "write what was reached there, JSON");
  const CLI::App* const knobs = app.add_subcommand("knobs", "list what --set can set");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : kExitUsage;
  }
  if (knobs->parsed()) return dinomo::app::print_knobs();
  if (checking->parsed()) return dinomo::app::run_check(check);
  if (!dinomo::app::parse_seeds(seeds, &runs)) {
    std::fprintf(stderr, "dinomo-sim: '--seeds %s': give a number or a range such as 1-500\n",
                 seeds.c_str());
    return kExitUsage;
  }
#ifdef DINOMO_PLANTED_BUGS
  dinomo::planted_bug = plant;
#endif
  return dinomo::app::run_seeds(runs);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "dinomo-sim: %s\n", error.what());
  }
  return kExitUsage;
}
