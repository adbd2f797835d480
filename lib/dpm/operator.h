// SPDX-License-Identifier: BSD-3-Clause
// The cluster as its operator sees it and steers it, at the one process that is always there: what
// the pool's directory, leader lease and ring say, and what is wanted of a KN slot. The leader and
// the KN read the wish from the directory (pool::KnSlot::wanted), so it outlives all of them.
//
// Thread rule: service thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pool/space.h"
#include "ring/ring.h"

namespace dinomo::dpm {

struct KnReport {
  uint16_t kn_slot = 0;
  pool::KnSlot line{};
  uint32_t partitions = 0;  // that it owns
  uint32_t moving = 0;      // of these
  bool leads = false;
};

struct ClusterReport {
  ring::Ring ring;  // version 0: none yet, or both copies are being written
  uint32_t orphans = 0;
  std::vector<KnReport> kns;  // slots that were ever used, or of which something is wanted
};

ClusterReport report_cluster(pool::Space& space);

/// Writes down what is wanted of a slot, durably; again is no harm. Empty, or why it was refused:
/// without `force`, the last KN that takes partitions is not sent away.
std::string want(pool::Space& space, uint64_t kn_slot, pool::KnWanted wanted, bool force);

}  // namespace dinomo::dpm
