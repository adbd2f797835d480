// SPDX-License-Identifier: BSD-3-Clause
// SIGHUP: file and command line are read again, and what can change while the program runs, does.
#pragma once

#include <span>
#include <string_view>

#include "app/common/options.h"

namespace dinomo::app {

/// Fills `fresh`, a table of the program's options bound to variables of its own. False: something
/// is wrong there; it has been logged, and nothing changes.
bool reread_options(OptionTable* fresh, std::span<char* const> arguments);

/// Logs what is another value in `fresh`, and which of that waits for a restart because it is not
/// in `at_run_time`. Before the caller takes the new values over.
void log_reload(const OptionTable& now, const OptionTable& fresh,
                std::span<const std::string_view> at_run_time);

}  // namespace dinomo::app
