// SPDX-License-Identifier: BSD-3-Clause
// dinomo-bench: YCSB load, measured and verified.
#include <fmt/format.h>

#include <exception>
#include <fstream>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <vector>

#include "app/dinomo-bench/phase.h"
#include "app/dinomo-bench/port.h"
#include "app/dinomo-bench/report.h"
#include "app/dinomo-bench/settings.h"

#include "drivers/clock/system/system_clock.h"

namespace dinomo::bench {
namespace {

/// Throws std::runtime_error with advice.
std::vector<client::Address> find_servers(const Settings& s) {
  const auto seeds = client::parse_addresses(s.server, wire::kDefaultPort);
  if (seeds) return *seeds;
  throw std::runtime_error(fmt::format(
      "--server {}: {}", s.server,
      seeds.error() == Status::kNotFound ? "unknown host" : "expected host[:port][,...]"));
}

std::vector<Task> tasks(const Settings& s) {
  std::vector<Task> out;
  if (s.loads()) out.push_back(Task::kLoad);
  if (s.runs()) out.push_back(Task::kRun);
  if (s.phase == "check") out.push_back(Task::kCheck);
  return out;
}

bool write_json(const Settings& s, const json& document) {
  if (s.json_file == "-") {
    std::cout << document.dump(1) << '\n';
    return true;
  }
  std::ofstream file(s.json_file, std::ios::trunc);
  file << document.dump(1) << '\n';
  file.close();
  return static_cast<bool>(file);
}

int cannot_write(const std::string& file) {
  std::cerr << fmt::format("dinomo-bench: cannot write {}\n", file);
  return kExitUsage;
}

int run(const Settings& s) {
  SystemClock clock;
  std::unique_ptr<Port> port;
  std::unique_ptr<Bench> bench;  // goes before the port
  std::ostream& human = s.json_file == "-" ? std::cerr : std::cout;
  try {
    const auto servers = find_servers(s);
    port = s.dpdk ? open_dpdk_port(s, servers.front()) : open_udp_port();
    bench = std::make_unique<Bench>(s, &clock, port.get());
    bench->connect(servers);
  } catch (const std::runtime_error& e) {
    std::cerr << "dinomo-bench: " << e.what() << '\n';
    return kExitUnreachable;
  }
  app::KeyStreamWriter recorder;
  if (!s.record_file.empty()) {
    if (const std::string wrong = recorder.open(s.record_file, clock.unix_ms()); !wrong.empty()) {
      std::cerr << "dinomo-bench: --record: " << wrong << '\n';
      return kExitUsage;
    }
  }
  std::ofstream timeline;
  if (!s.timeline_file.empty()) {
    timeline.open(s.timeline_file, std::ios::trunc);
    if (!timeline) return cannot_write(s.timeline_file);
  }
  const Recording recording{.keys = s.record_file.empty() ? nullptr : &recorder,
                            .timeline = s.timeline_file.empty() ? nullptr : &timeline};
  catch_signals();
  human << settings_line(s) << '\n' << std::flush;
  std::vector<PhaseResult> results;
  bool good = true;
  for (const Task task : tasks(s)) {
    results.push_back(bench->run(task, recording));
    human << table(s, results.back()) << std::flush;
    good = good && !results.back().failed(s.allow_lost);
    if (results.back().interrupted) break;
  }
  if (const std::string wrong = recorder.close(); !wrong.empty()) {
    std::cerr << "dinomo-bench: --record: " << wrong << '\n';
    good = false;
  } else if (!s.record_file.empty()) {
    human << fmt::format("{} operations recorded in {}\n", recorder.records(), s.record_file);
  }
  if (!s.json_file.empty() && !write_json(s, to_json(s, port->name(), results))) {
    return cannot_write(s.json_file);
  }
  if (!timeline) return cannot_write(s.timeline_file);
  if (!good) human << "\nFAILED: see the lines in capitals above\n";
  return good ? kExitOk : kExitFailed;
}

}  // namespace
}  // namespace dinomo::bench

int main(int argc, char** argv) {
  try {
    int status = 0;
    const auto settings = dinomo::bench::parse_command_line(argc, argv, &status);
    return settings ? dinomo::bench::run(*settings) : status;
  } catch (const std::exception& e) {
    std::cerr << "dinomo-bench: " << e.what() << '\n';
    return dinomo::bench::kExitUsage;
  }
}
