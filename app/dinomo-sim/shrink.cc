// SPDX-License-Identifier: BSD-3-Clause
#include "shrink.h"

#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <stdexcept>
#include <string_view>

#include "world/run.h"

namespace dinomo::app {

namespace {

constexpr int kRunsMax = 200;

bool is_size(const world::Knob& knob) {
  for (const std::string_view name : {"operations", "clients", "depth", "keys", "workers", "kns",
                                      "value_bytes", "conditional_percent", "delete_percent"}) {
    if (name == knob.name) return true;
  }
  return false;
}

}  // namespace

bool fails(const world::Scenario& scenario, uint64_t seed) {
  std::fflush(stdout);
  const pid_t pid = fork();
  if (pid < 0) throw std::runtime_error("cannot start a process");
  if (pid == 0) {
    alarm(kRunLimitS);
    _exit(world::run_scenario(scenario, seed).passed ? 0 : 1);
  }
  int status = 0;
  waitpid(pid, &status, 0);
  return !WIFEXITED(status) || WEXITSTATUS(status) != 0;
}

world::Scenario shrink(world::Scenario s, uint64_t seed) {
  int runs = 0;
  bool smaller = true;
  while (smaller && runs < kRunsMax) {
    smaller = false;
    for (const world::Knob& k : world::knobs()) {
      if (!k.fault && !is_size(k)) continue;
      // Off, half of it, one less: the first that still fails.
      for (const uint64_t value : {k.min, s.*k.value / 2, s.*k.value - 1}) {
        if (value < k.min || value >= s.*k.value || runs == kRunsMax) continue;
        world::Scenario candidate = s;
        candidate.*k.value = value;
        ++runs;
        if (!fails(candidate, seed)) continue;
        s = candidate;
        smaller = true;
        break;
      }
    }
  }
  return s;
}

}  // namespace dinomo::app
