// SPDX-License-Identifier: BSD-3-Clause
// Makes a failing run smaller: fewer faults, fewer and smaller of everything, while it still fails.
#pragma once

#include <cstdint>

#include "world/scenario.h"

namespace dinomo::app {

/// Longest a run may take, in seconds of the machine; one that takes longer hangs.
inline constexpr unsigned kRunLimitS = 120;

/// In a process of its own, so that a crash or an endless loop is a failure, too.
bool fails(const world::Scenario& scenario, uint64_t seed);

/// REQUIRES: it fails. At most 200 runs.
world::Scenario shrink(world::Scenario scenario, uint64_t seed);

}  // namespace dinomo::app
