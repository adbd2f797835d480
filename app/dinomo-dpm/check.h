// SPDX-License-Identifier: BSD-3-Clause
// dinomo-dpm --check and --repair: the report, for people or as JSON. doc/fsck.md.
#pragma once

#include "app/dinomo-dpm/options.h"

namespace dinomo::app {

/// Returns the exit status: 0 clean, 1 problems that --repair mends, 2 others.
int check(const DpmOptions& options);

}  // namespace dinomo::app
