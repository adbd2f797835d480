// SPDX-License-Identifier: BSD-3-Clause
// dinomo-eval: the published evaluation in virtual time, DINOMO beside its baselines.
#include <CLI/CLI.hpp>
#include <exception>
#include <iostream>

#include "app/dinomo-eval/point.h"

namespace dinomo::eval {
namespace {

enum Exit { kExitOk = 0, kExitFailed = 1, kExitUsage = 2 };

int complain(const std::string& text, int exit) {
  std::cerr << "dinomo-eval: " << text << '\n';
  return exit;
}

int run(int argc, char** argv) {
  CLI::App app{"One point of the evaluation of DINOMO, as a line of JSON (doc/evaluation.md)",
               "dinomo-eval"};
  Point point;
  std::string file;
  std::vector<std::string> sets;
  const std::vector<std::string> names(engine_names().begin(), engine_names().end());
  app.set_version_flag("--version", DINOMO_VERSION);
  app.add_option("CALIBRATION", file, "what machines, network and sizes are modelled")->required();
  app.add_option("--engine", point.engine, "whose KNs")->required()->check(CLI::IsMember(names));
  app.add_option("--kns", point.kns, "how many")->check(CLI::Range(1u, kKnsMax));
  app.add_option("--reads", point.read_percent, "GETs, in percent; the others are PUTs")
      ->check(CLI::Range(0, 100));
  app.add_option("--seed", point.seed, "of everything that is drawn");
  app.add_option("--set", sets, "numbers over those of the calibration, NAME=NUMBER ...");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? kExitOk : kExitUsage;
  }
  Calibration calibration;
  std::string why;
  if (!ok(read_calibration(file, &calibration, &why))) return complain(why, kExitUsage);
  for (const std::string& s : sets) {
    if (!ok(set_calibration(&calibration, s, &why))) return complain(why, kExitUsage);
  }
  nlohmann::ordered_json result;
  const Status status = run_point(calibration, point, &result, &why);
  if (!ok(status)) return complain(why, status == Status::kInvalid ? kExitUsage : kExitFailed);
  std::cout << result.dump() << '\n';
  return kExitOk;
}

}  // namespace
}  // namespace dinomo::eval

int main(int argc, char** argv) {
  try {
    return dinomo::eval::run(argc, argv);
  } catch (const std::exception& e) {
    std::cerr << "dinomo-eval: " << e.what() << '\n';
    return 1;
  }
}
