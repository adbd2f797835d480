// SPDX-License-Identifier: BSD-3-Clause
// Options of dinomo-dpm.
#pragma once

#include <cstdint>
#include <string>

#include "app/common/fabric_choice.h"
#include "app/common/log.h"
#include "app/common/options.h"
#include "dpm/pool_file.h"

namespace dinomo::app {

struct DpmOptions {
  // pool
  std::string pool;
  bool create = true;
  uint64_t pool_bytes = uint64_t{1} << 30;
  uint64_t segment_bytes = uint64_t{8} << 20;
  uint64_t index_buckets = 0;
  uint16_t node_id = 0;
  uint16_t kn_slots = 16;
  uint16_t workers_per_kn = 16;
  // durability
  dpm::PersistenceChoice persistence = dpm::PersistenceChoice::kAuto;
  bool require_power_safe = false;
  // compute nodes
  FabricChoice fabric;
  std::string listen;
  // work
  uint32_t merge_workers = 1;
  uint32_t reclaim_grace_ms = 50;
  uint32_t reserve_segments = 2;
  uint32_t index_grace_ms = 3000;
  uint32_t compact_below_percent = 8;
  uint32_t expiry_grace_ms = 1000;
  std::string stats_file;
  bool telemetry = true;
  std::string telemetry_prefix = "dinomo-dpm";
  // instead of serving
  bool check = false;
  bool repair = false;
  bool json = false;
  LogOptions log;
};

/// Binds every option to the table, with the checks that need more than one of them.
void add_dpm_options(OptionTable& table, DpmOptions* options);

}  // namespace dinomo::app
