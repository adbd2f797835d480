// SPDX-License-Identifier: BSD-3-Clause
// What has to hold of every run besides linearizability. Each check answers with what is wrong, or
// with nothing.
#pragma once

#include <string>

#include "sim/history.h"
#include "world/cluster.h"

namespace dinomo::world {

/// No reply says INTERNAL: the engine has met something that cannot be.
std::string check_no_internal(const sim::History& history);

/// Every version of a key was given by the log of an owner, once, and grows while the owner is the
/// same: a mutation that began after the reply to another has the higher one.
std::string check_versions(const Cluster& cluster, const sim::History& history);

/// The cost table: a shortcut hit takes 1 round trip, a miss 2 and hardly ever more, an absent key
/// 1, a group commit 1. Of the KNs that run.
std::string check_round_trips(Cluster* cluster, bool exact);

/// Nothing that waits is more than its bound: datagrams of a worker, its remote lookups, sessions,
/// full segments before their merge, requests of a client. At any time.
std::string check_bounds(const Cluster& cluster);

/// Nothing waits and nothing is under way in any worker.
bool idle(Cluster* cluster);

}  // namespace dinomo::world
