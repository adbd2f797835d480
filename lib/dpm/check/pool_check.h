// SPDX-License-Identifier: BSD-3-Clause
// Check and repair of a pool that nobody uses: dinomo-dpm --check and --repair (doc/fsck.md).
//
// The pool is recovered as at any start, with every entry that the index refers to validated; a
// check does that on a mapping whose stores stay in this process. What recovery had to mend, and
// what an audit of the result finds, is the report. So what a crash may leave is never taken for
// damage.
//
// Thread rule: one thread; recovery uses `workers` more.
#pragma once

#include <cstdint>
#include <string>

#include "common/clock.h"
#include "dpm/check/report.h"
#include "dpm/pool_file.h"
#include "dpm/service.h"

namespace dinomo::dpm {

struct CheckOptions {
  std::string path;
  bool repair = false;
  uint32_t workers = 1;
};

/// What happened, beside what was found.
struct CheckOutcome {
  CheckReport found;  // before anything was repaired
  uint64_t left = 0;  // repair: problems of the pool as it is now
  uint64_t duration_ns = 0;
  std::string why_not;  // the pool could not be opened or recovered; empty: it was
};

/// `wait` lets so many milliseconds pass: KNs that still write heartbeats are told by them.
using Wait = void (*)(uint32_t ms);

/// 0 clean (after a repair: now), 1 problems that --repair mends, 2 problems that it does not, or
/// the pool cannot be looked at.
int check_pool(const CheckOptions& options, Clock& clock, Wait wait, CheckOutcome* outcome);

/// Audits a pool that `service` has recovered and nobody uses.
void audit_pool(pool::Space& space, Service& service, bool repair, uint64_t unix_ms,
                CheckReport* report);

}  // namespace dinomo::dpm
