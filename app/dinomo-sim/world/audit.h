// SPDX-License-Identifier: BSD-3-Clause
// What dinomo-dpm --check looks for, looked for in the pool of a simulated memory node.
#pragma once

#include <string>

#include "dpm/check/report.h"
#include "dpm/damage.h"
#include "dpm/service.h"
#include "sim/history.h"
#include "world/dpm_node.h"

namespace dinomo::world {

/// For ServiceConfig::on_damage: what recovery takes for damage. A crash leaves nothing of the
/// kind.
dpm::DamageLog::Sink into(dpm::CheckReport* report);

/// Walks index, logs, sessions and records of a pool that `service` has just recovered and not
/// polled since. The first problem in words, or nothing.
std::string audit(pool::Space& space, dpm::Service& service, uint64_t unix_ms,
                  dpm::CheckReport* report);

/// The pool as it would be found if the memory node's process died now, recovered beside it and
/// audited; the run itself notices nothing. Every item is what the GETs in `read`, one for every
/// key, have answered, and there is no other. Keys with a mutation in `history` that nobody
/// answered, or with items that expire, may differ by now.
/// REQUIRES: the node runs. An empty `read`: no comparison.
std::string audit_image(DpmNode* node, const sim::History& read, const sim::History& history);

}  // namespace dinomo::world
