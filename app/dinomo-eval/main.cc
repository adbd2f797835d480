// SPDX-License-Identifier: BSD-3-Clause
// dinomo-eval: the published evaluation in virtual time, DINOMO beside its baselines.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <exception>
#include <iostream>

#include "app/dinomo-eval/point.h"
#include "app/dinomo-eval/timeline.h"

namespace dinomo::eval {
namespace {

enum Exit { kExitOk = 0, kExitFailed = 1, kExitUsage = 2 };

int complain(const std::string& text, int exit) {
  std::cerr << "dinomo-eval: " << text << '\n';
  return exit;
}

constexpr const char* kMovesData = "dinomo-n";
constexpr uint64_t kScaledSecondUs = 1'000'000;  // divided by the scale

/// What a point cannot show, or a timeline not.
std::string refused(const Point& point, const Timeline& timeline) {
  if (timeline.script.empty()) {
    if (point.engine != kMovesData) return "";
    return "dinomo-n is dinomo until KNs come or go: give it a --timeline";
  }
  if (point.engine == kMovesData || point.engine == "dinomo") return "";
  return "a timeline is for the engines dinomo and dinomo-n";
}

int run(int argc, char** argv) {
  CLI::App app{"One point of the evaluation of DINOMO, as a line of JSON (doc/evaluation.md)",
               "dinomo-eval"};
  Point point;
  std::string file;
  std::vector<std::string> sets;
  Timeline timeline;
  timeline.second_us = 0;
  std::vector<std::string> names(engine_names().begin(), engine_names().end());
  names.emplace_back(kMovesData);
  const std::vector<std::string> scripts(script_names().begin(), script_names().end());
  app.set_version_flag("--version", DINOMO_VERSION);
  app.add_option("CALIBRATION", file, "what machines, network and sizes are modelled")->required();
  app.add_option("--engine", point.engine, "whose KNs")->required()->check(CLI::IsMember(names));
  app.add_option("--kns", point.kns, "how many")->check(CLI::Range(1u, kKnsMax));
  app.add_option("--reads", point.read_percent, "GETs, in percent; the others are PUTs")
      ->check(CLI::Range(0, 100));
  app.add_option("--seed", point.seed, "of everything that is drawn");
  app.add_option("--timeline", timeline.script, "instead of a point: what happens, in order")
      ->check(CLI::IsMember(scripts));
  app.add_option("--second-us", timeline.second_us,
                 "virtual time for a second of the timeline's script; default: one over the scale")
      ->check(CLI::Range(100, 1'000'000));
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
  why = refused(point, timeline);
  if (!why.empty()) return complain(why, kExitUsage);
  nlohmann::ordered_json result;
  Status status = Status::kOk;
  if (timeline.script.empty()) {
    status = run_point(calibration, point, &result, &why);
  } else {
    timeline.moves_data = point.engine == kMovesData;
    timeline.seed = point.seed;
    if (timeline.second_us == 0) {
      timeline.second_us = std::max<uint64_t>(kScaledSecondUs / calibration.scale, 100);
    }
    status = run_timeline(calibration, timeline, &result, &why);
  }
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
