// SPDX-License-Identifier: BSD-3-Clause
// Throughput over time while the load and the KNs change, as JSON.
//
// When KNs come and go is a script: what is shown is what a change costs, not how soon it is
// decided. Engines: `dinomo`, and `dinomo-n`, which is DINOMO with partitioned data: a change of
// ownership moves the data of every key that changes hands, from KN to KN, and nobody is served in
// the meantime. Thread rule: any thread, one timeline at a time on each.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string>

#include "app/dinomo-eval/calibration.h"
#include "sim/history.h"

namespace dinomo::eval {

struct Timeline {
  std::string script;  // one of script_names()
  bool moves_data = false;
  uint64_t second_us = 1000;  // virtual time for one second of the script
  uint64_t seed = 1;
  sim::History* history = nullptr;  // gets all operations
};

std::span<const char* const> script_names() noexcept;

/// kInvalid with a sentence: a script that is not known, sizes that do not fit each other.
/// kInternal: operations failed, or a change did not come about.
Status run_timeline(const Calibration& calibration, const Timeline& timeline,
                    nlohmann::ordered_json* result, std::string* why);

}  // namespace dinomo::eval
