// SPDX-License-Identifier: BSD-3-Clause
#include "app/common/reload.h"

#include <algorithm>
#include <sstream>

#include "app/common/log.h"

namespace dinomo::app {

bool reread_options(OptionTable* fresh, std::span<char* const> arguments) {
  std::ostringstream out;
  std::ostringstream problems;
  if (!fresh->parse(static_cast<int>(arguments.size()), arguments.data(), out, problems)) {
    return true;
  }
  std::istringstream lines(problems.str());
  for (std::string line; std::getline(lines, line);) spdlog::error("reload: {}", line);
  spdlog::error("reload: nothing changes; mend the configuration and send SIGHUP again");
  return false;
}

void log_reload(const OptionTable& now, const OptionTable& fresh,
                std::span<const std::string_view> at_run_time) {
  const std::vector<std::string> changed = now.changed_in(fresh);
  if (changed.empty()) spdlog::info("reload: no option has changed");
  for (const std::string& name : changed) {
    if (std::ranges::find(at_run_time, name) != at_run_time.end()) {
      spdlog::info("reload: {} has changed", name);
    } else {
      spdlog::warn("reload: {} has changed and waits for a restart", name);
    }
  }
}

}  // namespace dinomo::app
