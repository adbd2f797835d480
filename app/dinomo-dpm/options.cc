// SPDX-License-Identifier: BSD-3-Clause
#include "app/dinomo-dpm/options.h"

#include <bit>

namespace dinomo::app {

namespace {

std::string check_index_buckets(const DpmOptions& o) {
  if (o.index_buckets == 0 || std::has_single_bit(o.index_buckets)) return "";
  return "index_buckets must be a power of two, or 0 for the default; the nearest are " +
         std::to_string(std::bit_floor(o.index_buckets)) + " and " +
         std::to_string(std::bit_ceil(o.index_buckets));
}

void add_pool_options(OptionTable& table, DpmOptions* o) {
  table.group("Pool");
  table.add("pool", &o->pool,
            {.placeholder = "FILE", .help = "file or DAX device that holds the pool"});
  table.add("create", &o->create,
            {.help = "make the pool if there is no file; an existing one is never replaced"});
  table.add(
      "pool_bytes", &o->pool_bytes,
      {.unit = "bytes", .min = 64 << 20, .max = int64_t{4} << 40, .help = "size of a new pool"});
  table.add("segment_bytes", &o->segment_bytes,
            {.unit = "bytes",
             .min = 128 << 10,
             .max = 1 << 30,
             .help = "log segment of a new pool; multiples of 64"});
  table.add(
      "index_buckets", &o->index_buckets,
      {.min = 0,
       .max = int64_t{1} << 33,
       .help = "index that a new pool begins with, a power of two; it grows as needed and never "
               "shrinks below; 0: one for every 16 KiB of the pool"});
  table.add("node_id", &o->node_id,
            {.min = 0, .max = 255, .help = "of this memory node, in a new pool"});
  table.add("kn_slots", &o->kn_slots,
            {.min = 1, .max = 1000, .help = "compute nodes that a new pool has room for"});
  table.add("workers_per_kn", &o->workers_per_kn,
            {.min = 1, .max = 64, .help = "most worker lcores of a compute node, in a new pool"});
}

}  // namespace

void add_dpm_options(OptionTable& table, DpmOptions* o) {
  add_pool_options(table, o);

  table.group("Durability");
  table.add("persistence", &o->persistence,
            {.values = {{"auto", dpm::PersistenceChoice::kAuto},
                        {"dax", dpm::PersistenceChoice::kDax},
                        {"page-cache", dpm::PersistenceChoice::kPageCache},
                        {"msync", dpm::PersistenceChoice::kMsync}},
             .help = "how stores become durable; auto: dax where the pool lies on it, else "
                     "page-cache, which survives crashes of processes but no power failure"});
  table.add(
      "require_power_safe", &o->require_power_safe,
      {.help = "refuse to start where acknowledged writes would not survive a power failure"});

  table.group("Compute nodes");
  add_fabric_options(table, &o->fabric);
  table.add("listen", &o->listen,
            {.placeholder = "ADDRESS",
             .help = "where compute nodes connect; for fabric shm the path of a socket to make, "
                     "for mlx5 and verbs HOST:PORT (TCP, only to set up)"});

  table.group("Work");
  table.add("merge_workers", &o->merge_workers,
            {.min = 0, .max = 64, .help = "threads that merge logs; 0: the service thread does"});
  table.add("reclaim_grace_ms", &o->reclaim_grace_ms,
            {.unit = "ms",
             .min = 0,
             .max = 60'000,
             .help = "an emptied segment is not used again for so long"});
  table.add("index_grace_ms", &o->index_grace_ms,
            {.unit = "ms",
             .min = 0,
             .max = 600'000,
             .help = "an index table that was replaced is not freed for so long; more than the "
                     "lease_us of every compute node"});
  table.add("reserve_segments", &o->reserve_segments,
            {.min = 0, .max = 64, .help = "kept back for deletes when the pool is full"});
  table.add("compact_below_percent", &o->compact_below_percent,
            {.min = 0,
             .max = 100,
             .help = "sparse segments are compacted when less than this share of the pool is "
                     "free; a larger one copies more, 0: only when hardly anything is left"});
  table.add("expiry_grace_ms", &o->expiry_grace_ms,
            {.unit = "ms",
             .min = 0,
             .max = 3'600'000,
             .help = "the space of an item is taken back so long after its time; more than clocks "
                     "of nodes differ"});

  table.group("Observation");
  table.add("stats_file", &o->stats_file,
            {.placeholder = "FILE", .help = "write statistics as JSON there every second"});
  table.add("telemetry", &o->telemetry,
            {.help = "answer dinomo-stats, dinomo-exporter and dpdk-telemetry.py on a socket"});
  table.add("telemetry_prefix", &o->telemetry_prefix,
            {.placeholder = "NAME",
             .help = "folder of that socket, below dpdk/ in the runtime directory"});
  add_log_options(table, &o->log);

  table.check([o] {
    return o->telemetry_prefix.empty() || o->telemetry_prefix.contains('/')
               ? std::string("telemetry_prefix has to be a name without '/'")
               : std::string();
  });
  table.check([o] {
    return o->pool.empty() ? std::string("pool is missing: name the file of the pool") : "";
  });
  table.group("Instead of serving");
  table.add("check", &o->check,
            {.help = "look at every part of the pool, change nothing, report; nobody may use it. "
                     "Exit status: 0 clean, 1 problems that --repair mends, 2 others"});
  table.add("repair", &o->repair,
            {.help = "discard what cannot be valid and say what; exit status 0: the pool is clean "
                     "now, 2: it is not"});
  table.add("json", &o->json, {.help = "the report of --check or --repair as JSON"});

  table.check([o] {
    return o->check || o->repair ? std::string()
           : o->listen.empty()   ? std::string("listen is missing: name the socket to listen on")
                                 : std::string();
  });
  table.check([o] { return check_index_buckets(*o); });
}

}  // namespace dinomo::app
