// SPDX-License-Identifier: BSD-3-Clause
// Looks at everything in a recovered pool that nobody else uses, and says what does not fit. What
// recovery itself has mended is in the report already. With `repair`, what cannot be valid is
// discarded, and what the logs prove is put back; live counters are then counted anew by the next
// start.
//
// Thread rule: one thread, while the service is started and not polled.
// Cost: one walk over the index, and two over the logs if puts of absent keys are there (more if
// they are over kAbsentPerRound). Memory: kAbsentPerRound events, beside a few words a segment.
#pragma once

#include <cstdint>

#include "dpm/check/report.h"
#include "dpm/service.h"
#include "pool/space.h"

namespace dinomo::dpm {

inline constexpr uint64_t kAbsentPerRound = uint64_t{1} << 20;  // some 64 MiB

struct Audit {
  pool::Space& space;
  Service& service;
  CheckReport& report;
  bool repair;
  uint64_t unix_ms;
  uint64_t absent_per_round = kAbsentPerRound;
};

/// Index root, log records, KN slots, ring.
void audit_records(Audit& audit);

void audit_sessions(Audit& audit);

/// Chains, slots, and what they say of segments.
void audit_index(Audit& audit);

/// Headers of segments, entries, and what they say of the index.
void audit_logs(Audit& audit);

}  // namespace dinomo::dpm
