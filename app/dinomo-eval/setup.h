// SPDX-License-Identifier: BSD-3-Clause
// Connections of a simulated baseline: memory that can be reached one-sidedly, and ways to it.
// What fails here is a mistake of the program: it aborts. Thread rule: the event loop's.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "app/dinomo-eval/calibration.h"
#include "app/dinomo-eval/machine.h"
#include "drivers/fabric/sim/sim_network.h"
#include "fabric/driver.h"

namespace dinomo::eval {

fabric::sim::FabricFaults fabric_of(const Calibration& calibration) noexcept;

/// `memory` outlives what is returned.
std::unique_ptr<fabric::Target> listen(const std::string& address, MutableBytes memory,
                                       uint16_t slots);
/// Whom to tell of what was written or changed at `target`, with its offset.
void on_landed(fabric::Target* target, std::function<void(uint64_t offset)> hears);
std::unique_ptr<fabric::Fabric> connect(const std::string& address, uint16_t slot);
/// Its completions wake `thread`, which polls it.
std::unique_ptr<fabric::Queue> open_queue(fabric::Fabric& fabric, SimThread* thread);

}  // namespace dinomo::eval
