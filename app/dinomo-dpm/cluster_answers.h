// SPDX-License-Identifier: BSD-3-Clause
// What dinomo-dpm answers `dinomo-cli cluster` on its telemetry socket. Whoever may write to that
// socket (its owner and root, unless its folder says otherwise) may steer the cluster.
//
//   /dinomo/cluster[,SLOT]             ring, leader, and kClusterKns KNs from that slot on
//   /dinomo/ring[,PARTITION]           owners of kRingPartitions partitions from that one on
//   /dinomo/want,SLOT:WISH[:force]     WISH: serving, drained or removed
//   /dinomo/replicated[,N]             keys that are replicated: kReplicatedKeys from the N-th on
//   /dinomo/replicate,KEY[:KNS]        KEY in hexadecimal, to be read at so many KNs; 0: all
//   /dinomo/dereplicate,KEY
//   /dinomo/pinned[,N]                 runs of pinned partitions: kPinnedRuns from the N-th on
//   /dinomo/pin,PARTITION:COUNT:SLOT
//   /dinomo/unpin,PARTITION:COUNT
//
// Thread rule: service thread.
#pragma once

#include <nlohmann/json.hpp>
#include <string_view>
#include <vector>

#include "app/common/telemetry.h"
#include "dpm/service.h"
#include "pool/space.h"

namespace dinomo::app {

inline constexpr size_t kClusterKns = 32;  // an answer has to fit into 16 KiB
inline constexpr uint32_t kRingPartitions = 1024;
inline constexpr size_t kReplicatedKeys = 64;
inline constexpr size_t kPinnedRuns = 128;

const std::vector<TelemetryCommand>& cluster_commands();

/// Null: the command or its parameter makes no sense.
nlohmann::json answer_cluster(pool::Space& space, dpm::Service& service, std::string_view command,
                              std::string_view parameter);

}  // namespace dinomo::app
