// SPDX-License-Identifier: BSD-3-Clause
// One run of a scenario: builds the cluster, injects the faults, lets the clients finish, and then
// asks every checker.
//
//   1. load and faults              until every client has ended, or limit_ms
//   2. faults end, all nodes run    every key is read by one client: progress
//   3. every key is deleted         nothing may be left in the pool
//   4. the history is judged
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "sim/history.h"
#include "world/scenario.h"

namespace dinomo::world {

struct RunReport {
  bool passed = false;
  std::string failure;  // which checker, and what it saw
  uint64_t trace_hash = 0;
  uint64_t events = 0;
  uint64_t operations = 0;  // answered
  uint64_t given_up = 0;
  uint64_t virtual_ns = 0;
  /// How often each fault and each rare branch was reached, so that a scenario that tests nothing
  /// shows.
  std::map<std::string, uint64_t> coverage;
  sim::History history;
};

using Trace = std::function<void(uint64_t at_ns, const std::string& who, const std::string& what)>;

RunReport run_scenario(const Scenario& scenario, uint64_t seed, const Trace& trace = {});

}  // namespace dinomo::world
