// SPDX-License-Identifier: BSD-3-Clause
// Results for people (a table) and for programs (JSON).
#pragma once

#include <string>
#include <vector>

#include "app/dinomo-bench/phase.h"

namespace dinomo::bench {

std::string settings_line(const Settings& settings);
std::string table(const Settings& settings, const PhaseResult& result);
/// `port`: its name, "udp" or "dpdk".
json to_json(const Settings& settings, const std::string& port,
             const std::vector<PhaseResult>& results);

}  // namespace dinomo::bench
