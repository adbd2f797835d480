// SPDX-License-Identifier: BSD-3-Clause
// dinomo-lab: how many round trips a read costs with so much memory and such a cache policy, for
// key streams made up or recorded. The cache is the product's (lib/cache).
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <fstream>
#include <iostream>
#include <thread>

#include "app/common/complaint.h"
#include "app/dinomo-lab/grid.h"

namespace dinomo::lab {
namespace {

enum Exit { kExitOk = 0, kExitViolated = 1, kExitUsage = 2 };

struct Settings {
  std::vector<std::string> streams;  // recordings
  std::vector<std::string> kinds;
  StreamSize size;
  GridSetup grid;
  uint64_t accesses_max = 50'000'000;
  std::string json_file;
  double ratio_max = 1.05;
  bool check = false;
  bool list = false;
};

constexpr const char* kFooter = R"(
Each stream is replayed through the cache of a KN worker (lib/cache) under every policy, at each size
of memory. The first half warms the cache up and is not counted. Printed is what a GET costs in round
trips: 0 for a hit on a value, 1 through a shortcut, --miss-rt for a miss.

  best static  the best of static:0, static:1/N ... static:1, chosen after the fact (its X in brackets)
  ideal        best fixed contents of the memory, had the counted half been known ahead
  ratio        dac against best static

EXIT STATUS
  0  done
  1  --check: DAC was worse than --ratio-max times the best baseline somewhere, or more was allocated
     than the budget, or an answer was wrong
  2  usage, or a recording that cannot be read

EXAMPLES
  dinomo-lab --kinds zipf-0.99,scans --keys 100000 --value-bytes 1024 --json lab.json
  dinomo-bench --workload b --record b.stream && dinomo-lab --stream b.stream
)";

int complain(const std::string& text) {
  std::cerr << "dinomo-lab: " << text << '\n';
  return kExitUsage;
}

void add_options(CLI::App& app, Settings& s) {
  app.add_option("--stream", s.streams, "Recording of dinomo-bench --record; may be repeated");
  app.add_option("--kinds", s.kinds, "Streams to make, see --list; all, unless --stream is given")
      ->delimiter(',');
  app.add_flag("--list", s.list, "Say which streams can be made");
  app.add_option("--keys", s.size.keys, "Keys of made streams")
      ->check(CLI::Range(uint64_t{100}, uint64_t{1} << 28))
      ->capture_default_str();
  app.add_option("--accesses-per-key", s.size.accesses_per_key, "Length of made streams")
      ->check(CLI::Range(uint64_t{1}, uint64_t{1} << 20))
      ->capture_default_str();
  app.add_option("--value-bytes", s.size.value_bytes, "Values of made streams (not mixed-sizes)")
      ->check(CLI::Range(0, 61'440))
      ->capture_default_str();
  app.add_option("--shift-every", s.size.shift_every,
                 "Accesses a key between two jumps of the hot set of the stream shifting")
      ->check(CLI::Range(0.01, 1e6))
      ->capture_default_str();
  app.add_option("--seed", s.size.seed, "The same seed makes the same streams")
      ->capture_default_str();
  app.add_option("--accesses-max", s.accesses_max, "Read at most so much of a recording")
      ->check(CLI::Range(uint64_t{1}, uint64_t{1} << 40))
      ->capture_default_str();
  app.add_option("--memory", s.grid.divisors, "Sizes of memory: data divided by each of these")
      ->delimiter(',')
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  app.add_option("--splits", s.grid.splits, "Static splits to try: N + 1 from 0 to 1")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app.add_option("--miss-rt", s.grid.miss_rt, "Round trips of a miss")
      ->check(CLI::Range(1, 100))
      ->capture_default_str();
  app.add_option("--warm-up", s.grid.warm_up, "Share of a stream that is not counted")
      ->check(CLI::Range(0.0, 0.99))
      ->capture_default_str();
  app.add_option("--threads", s.grid.threads, "Replays at a time")->check(CLI::Range(1, 256));
  app.add_option("--json", s.json_file, "Also write everything to this file");
  app.add_flag("--check", s.check, "Exit with 1 if DAC does not hold its bound");
  app.add_option("--ratio-max", s.ratio_max, "The bound of --check")->capture_default_str();
}

/// Empty, or what is wrong.
std::string check(Settings& s) {
  if (s.kinds.empty() && s.streams.empty()) {
    for (const StreamKind& k : stream_kinds()) s.kinds.emplace_back(k.name);
  }
  for (const std::string& name : s.kinds) {
    const bool known =
        std::ranges::any_of(stream_kinds(), [&](const StreamKind& k) { return k.name == name; });
    if (!known) return fmt::format("--kinds {}: no such stream, see --list", name);
  }
  if (s.size.keys > (uint64_t{1} << 36) / s.size.accesses_per_key) {
    return "--keys times --accesses-per-key is more than a machine can hold";
  }
  std::ranges::sort(s.grid.divisors, std::greater<>());
  return "";
}

int list() {
  for (const StreamKind& k : stream_kinds()) std::cout << fmt::format("{:12} {}\n", k.name, k.what);
  return kExitOk;
}

class Report {
 public:
  explicit Report(const Settings& s) : s_(s) {}

  void add(const Curve& curve) {
    std::cout << table(curve) << std::flush;
    curves_.push_back(to_json(curve));
    for (std::string& line : violations(curve, s_.ratio_max)) wrong_.push_back(std::move(line));
  }

  int finish() const {
    if (!s_.json_file.empty() && !write()) return complain("cannot write " + s_.json_file);
    if (!s_.check) return kExitOk;
    for (const std::string& line : wrong_) std::cout << "FAILED: " << line << '\n';
    if (wrong_.empty()) std::cout << fmt::format("\nDAC within {:.2f} everywhere\n", s_.ratio_max);
    return wrong_.empty() ? kExitOk : kExitViolated;
  }

 private:
  bool write() const {
    const nlohmann::ordered_json document = {
        {"what", "dinomo-lab"},       {"value_bytes", s_.size.value_bytes},
        {"miss_rt", s_.grid.miss_rt}, {"warm_up", s_.grid.warm_up},
        {"seed", s_.size.seed},       {"streams", curves_}};
    std::ofstream file(s_.json_file, std::ios::trunc);
    file << document.dump(1) << '\n';
    file.close();
    return static_cast<bool>(file);
  }

  const Settings& s_;
  nlohmann::ordered_json curves_ = nlohmann::ordered_json::array();
  std::vector<std::string> wrong_;
};

int run(const Settings& s) {
  Report report(s);
  for (const std::string& path : s.streams) {
    const auto stream = read_stream(path, s.accesses_max);
    if (!stream) return complain("--stream " + stream.error());
    report.add(run_grid(*stream, s.grid));
  }
  for (const std::string& kind : s.kinds) report.add(run_grid(make_stream(kind, s.size), s.grid));
  return report.finish();
}

}  // namespace
}  // namespace dinomo::lab

int main(int argc, char** argv) try {
  using namespace dinomo::lab;
  Settings s;
  s.grid.threads = std::max(1u, std::thread::hardware_concurrency());
  CLI::App app{"Replay key streams through Dinomo's cache at many sizes of memory.", "dinomo-lab"};
  app.footer(kFooter);
  app.failure_message(dinomo::app::complaint);
  app.set_version_flag("--version", "dinomo-lab " DINOMO_VERSION);
  add_options(app, s);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? kExitOk : kExitUsage;
  }
  if (s.list) return list();
  if (const std::string wrong = check(s); !wrong.empty()) return complain(wrong);
  return run(s);
} catch (const std::exception& e) {
  std::cerr << "dinomo-lab: " << e.what() << '\n';
  return 2;
}
