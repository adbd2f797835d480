// SPDX-License-Identifier: BSD-3-Clause
#include "runs.h"

#include <fmt/format.h>
#include <sys/wait.h>
#include <time.h>  // NOLINT(modernize-deprecated-headers): clock_gettime
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <thread>

#include "common/planted.h"
#include "dinomo_commit.h"
#include "shrink.h"
#include "world/run.h"

namespace dinomo::app {

namespace {

using world::RunReport;
using world::Scenario;

double cpu_seconds() {
  timespec t{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) / 1e9;
}

Scenario of_seed(const Scenario& base, const RunArguments& a, uint64_t seed) {
  return a.swarm ? world::swarm(base, seed) : base;
}

struct Sums {
  uint64_t passed = 0;
  uint64_t failed = 0;
  uint64_t operations = 0;
  uint64_t events = 0;
  uint64_t trace = 0;  // of all seeds, so that two runs can be compared
  double cpu_s = 0;
  std::map<std::string, uint64_t> coverage;
  std::map<std::string, uint64_t> seeds_with;
};

std::string command_of(const Scenario& s, uint64_t seed) {
  std::string command = fmt::format("dinomo-sim run --seed {} --replay", seed);
#ifdef DINOMO_PLANTED_BUGS
  if (!planted_bug.empty()) command += fmt::format(" --plant {}", planted_bug);
#endif
  const std::string difference = world::difference(s);
  if (!difference.empty()) command += " --set " + difference;
  return command;
}

nlohmann::json run_one(const Scenario& base, const RunArguments& a, uint64_t seed) {
  const Scenario s = of_seed(base, a, seed);
  const double before = cpu_seconds();
  RunReport r = world::run_scenario(s, seed);
  nlohmann::json j{
      {"seed", seed},          {"passed", r.passed},         {"hash", r.trace_hash},
      {"events", r.events},    {"operations", r.operations}, {"cpu_s", cpu_seconds() - before},
      {"coverage", r.coverage}};
  if (!r.passed) {
    alarm(0);
    j["failure"] = r.failure;
    j["command"] = command_of(a.shrink ? shrink(s, seed) : s, seed);
  }
  return j;
}

void add_line(const nlohmann::json& j, Sums* sums) {
  sums->operations += j["operations"].get<uint64_t>();
  sums->events += j["events"].get<uint64_t>();
  sums->cpu_s += j["cpu_s"].get<double>();
  // Order of arrival differs between runs, so the sum must not.
  sums->trace += j["hash"].get<uint64_t>() * (2 * j["seed"].get<uint64_t>() + 1);
  for (const auto& [name, count] : j["coverage"].items()) {
    sums->coverage[name] += count.get<uint64_t>();
    sums->seeds_with[name] += count.get<uint64_t>() != 0 ? 1 : 0;
  }
  if (j["passed"].get<bool>()) {
    ++sums->passed;
    return;
  }
  ++sums->failed;
  fmt::print("seed {} FAILED (commit {}): {}\n  again: {}\n", j["seed"].get<uint64_t>(),
             DINOMO_COMMIT, j["failure"].get<std::string>(), j["command"].get<std::string>());
}

std::string how_it_ended(int status) {
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM) {
    return fmt::format("HANGS: no end after {} s", kRunLimitS);
  }
  if (WIFSIGNALED(status)) return fmt::format("CRASHED: signal {}", WTERMSIG(status));
  return fmt::format("CRASHED: exit status {}", WEXITSTATUS(status));
}

/// A process of its own, so that a seed which crashes the engine is a failed seed, not the end.
class Job {
 public:
  Job(const Scenario& base, const RunArguments& a, uint64_t first, uint64_t step)
      : next_(first), step_(step) {
    start(base, a);
  }

  /// Takes what the process has to say; false when it has ended.
  bool follow(const Scenario& base, const RunArguments& a, Sums* sums) {
    if (file_ == nullptr) return false;
    char* line = nullptr;
    size_t room = 0;
    const ssize_t n = getline(&line, &room, file_);
    if (n > 0) {
      add_line(nlohmann::json::parse(line), sums);
      next_ += step_;
      std::free(line);
      return true;
    }
    std::free(line);
    std::fclose(file_);
    file_ = nullptr;
    int status = 0;
    waitpid(pid_, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return false;
    ++sums->failed;
    const Scenario s = of_seed(base, a, next_);
    fmt::print("seed {} {} (commit {})\n  again: {}\n", next_, how_it_ended(status), DINOMO_COMMIT,
               command_of(a.shrink ? shrink(s, next_) : s, next_));
    next_ += step_;
    if (next_ > a.seed_last) return false;
    start(base, a);
    return true;
  }

  /// No more of it.
  void stop() noexcept {
    if (file_ == nullptr) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    std::fclose(file_);
    file_ = nullptr;
  }

 private:
  void start(const Scenario& base, const RunArguments& a) {
    if (next_ > a.seed_last) return;
    std::array<int, 2> ends{};
    if (pipe(ends.data()) != 0) throw std::runtime_error("cannot make a pipe");
    std::fflush(stdout);
    pid_ = fork();
    if (pid_ < 0) throw std::runtime_error("cannot start a process");
    if (pid_ == 0) {
      close(ends[0]);
      FILE* out = fdopen(ends[1], "w");
      for (uint64_t seed = next_; seed <= a.seed_last; seed += step_) {
        alarm(kRunLimitS);
        fmt::print(out, "{}\n", run_one(base, a, seed).dump());
        std::fflush(out);
      }
      _exit(0);
    }
    close(ends[1]);
    file_ = fdopen(ends[0], "r");
  }

  uint64_t next_;
  const uint64_t step_;
  pid_t pid_ = -1;
  FILE* file_ = nullptr;
};

void print_sums(const Sums& s) {
  fmt::print("{:<26} {:>12} {:>8}\n", "reached", "times", "seeds");
  for (const auto& [name, count] : s.coverage) {
    fmt::print("{:<26} {:>12} {:>8}\n", name, count, s.seeds_with.at(name));
  }
  fmt::print(
      "{} seeds passed, {} failed; {} operations, {} events, {:.1f} s of CPU, {:.0f} "
      "operations a CPU second; traces {:016x}\n",
      s.passed, s.failed, s.operations, s.events, s.cpu_s,
      s.cpu_s > 0 ? static_cast<double>(s.operations) / s.cpu_s : 0, s.trace);
}

/// A scenario that was to test something and did not is a failure.
bool check_reached(const RunArguments& a, const Sums& sums) {
  bool all = true;
  const auto missed = [&](const std::string& name) {
    const auto found = sums.coverage.find(name);
    if (found != sums.coverage.end() && found->second != 0) return;
    all = false;
    fmt::print("NOT REACHED: {}{}\n", name,
               found == sums.coverage.end() ? ", and nothing of that name is counted" : "");
  };
  for (const std::string& name : a.reach) {
    if (name != "all") {
      missed(name);
      continue;
    }
    for (const auto& [counted, times] : sums.coverage) missed(counted);
  }
  return all;
}

int replay(const Scenario& base, const RunArguments& a) {
  const Scenario s = of_seed(base, a, a.seed_first);
  fmt::print("seed {}: {}\n", a.seed_first, world::difference(s));
  const RunReport r = world::run_scenario(
      s, a.seed_first, [](uint64_t at_ns, const std::string& who, const std::string& what) {
        fmt::print("{:>14.3f} us  {:<10} {}\n", static_cast<double>(at_ns) / 1000, who, what);
      });
  if (!a.history.empty()) {
    std::ofstream file(a.history);
    sim::write_history(file, r.history);
  }
  for (const auto& [name, count] : r.coverage) fmt::print("{:<26} {}\n", name, count);
  fmt::print("{} operations, {} events, trace {:016x}: {}\n", r.operations, r.events, r.trace_hash,
             r.passed ? "passed" : "FAILED: " + r.failure);
  return r.passed ? 0 : 1;
}

bool load(const RunArguments& a, Scenario* s) {
  std::string why;
  if (!a.scenario.empty() && !ok(world::read_scenario(a.scenario, s, &why))) {
    fmt::print(stderr, "dinomo-sim: {}\n", why);
    return false;
  }
  for (const std::string& set : a.sets) {
    const size_t equals = set.find('=');
    uint64_t value = 0;
    const char* end = set.data() + set.size();
    const bool number = equals != std::string::npos &&
                        std::from_chars(set.data() + equals + 1, end, value).ptr == end;
    if (!number) {
      fmt::print(stderr, "dinomo-sim: '--set {}': write NAME=NUMBER\n", set);
      return false;
    }
    if (!ok(world::set_knob(s, set.substr(0, equals), value, &why))) {
      fmt::print(stderr, "dinomo-sim: {}\n", why);
      return false;
    }
  }
  return true;
}

}  // namespace

bool parse_seeds(const std::string& text, RunArguments* a) {
  const char* end = text.data() + text.size();
  const auto first = std::from_chars(text.data(), end, a->seed_first);
  if (first.ec != std::errc()) return false;
  a->seed_last = a->seed_first;
  if (first.ptr == end) return true;
  if (*first.ptr != '-') return false;
  const auto last = std::from_chars(first.ptr + 1, end, a->seed_last);
  return last.ec == std::errc() && last.ptr == end && a->seed_last >= a->seed_first;
}

int run_seeds(const RunArguments& a) {
  Scenario base;
  if (!load(a, &base)) return 2;
  if (a.replay || !a.history.empty()) return replay(base, a);
  const uint64_t cores = std::max(1u, std::thread::hardware_concurrency());
  const uint64_t jobs =
      std::min(a.jobs != 0 ? uint64_t{a.jobs} : cores, a.seed_last - a.seed_first + 1);
  std::vector<std::unique_ptr<Job>> running;
  running.reserve(jobs);
  for (uint64_t j = 0; j < jobs; ++j) {
    running.push_back(std::make_unique<Job>(base, a, a.seed_first + j, jobs));
  }
  Sums sums;
  // Seeds are dealt out evenly, so following the jobs in turn keeps all of them busy.
  for (bool any = true; any;) {
    any = false;
    for (const auto& job : running) any |= job->follow(base, a, &sums);
    if (!a.until_failure || sums.failed == 0) continue;
    for (const auto& job : running) job->stop();
    break;
  }
  print_sums(sums);
  if (!a.coverage.empty()) {
    std::ofstream(a.coverage) << nlohmann::json(sums.coverage).dump(2) << '\n';
  }
  const bool reached = check_reached(a, sums);
  return sums.failed == 0 && reached ? 0 : 1;
}

int print_knobs() {
  const Scenario defaults;
  for (const world::Knob& k : world::knobs()) {
    fmt::print("{:<20} {:>8}  {} to {}{}{}\n", k.name, defaults.*k.value, k.min, k.max,
               *k.help != 0 ? ": " : "", k.help);
  }
  return 0;
}

}  // namespace dinomo::app
