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

#include "dpm/cell_table.h"
#include "dpm/pin_table.h"
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

/// A key that several KNs are to serve reads of.
struct ReplicatedReport {
  uint64_t routing_hash = 0;
  bool wanted = false;        // it has a cell
  uint64_t kns_wanted = 0;    // 0: all there are
  std::vector<uint16_t> kns;  // that the ring in force lists; empty: it lists the key not yet
};

/// All keys that are wanted or listed, by routing hash.
std::vector<ReplicatedReport> report_replicated(pool::Space& space, CellTable& cells);

/// Has the leader list the key, or list it no longer; again is no harm. Empty, or why it was
/// refused.
std::string replicate(pool::Space& space, CellTable& cells, Bytes key, uint64_t kns_wanted);
std::string dereplicate(pool::Space& space, CellTable& cells, Bytes key);

/// Wants partitions at a KN slot, whoever is there or comes, or anywhere again, durably; again is
/// no harm. Empty, or why it was refused.
std::string pin(pool::Space& space, PinTable& pins, const Pin& wanted);
std::string unpin(PinTable& pins, uint64_t first, uint64_t count);

/// Writes down what is wanted of a slot, durably; again is no harm. Empty, or why it was refused:
/// without `force`, the last KN that takes partitions is not sent away.
std::string want(pool::Space& space, uint64_t kn_slot, pool::KnWanted wanted, bool force);

}  // namespace dinomo::dpm
