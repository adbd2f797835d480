// SPDX-License-Identifier: BSD-3-Clause
#include "world/scenario.h"

#include <fmt/format.h>

#include <libconfig.h>

#include <algorithm>
#include <bit>

#include "client/random.h"
#include "pool/format.h"

namespace dinomo::world {

namespace {

constexpr std::array kKnobs{
    Knob{"kns", &Scenario::kns, 1, 6, false, "KNs, each with its part of the ring"},
    Knob{"workers", &Scenario::workers, 1, 8, false, "worker lcores of each KN"},
    Knob{"elastic", &Scenario::elastic, 0, 1, false,
         "1: a leader divides the ring between the KNs that are there"},
    Knob{"replicated", &Scenario::replicated, 0, 256, false,
         "keys, from the hottest on, that every KN may read"},
    Knob{"pool_mib", &Scenario::pool_mib, 8, 4096, false, "size of the pool"},
    Knob{"segment_kib", &Scenario::segment_kib, 128, 65536, false, "size of a log segment"},
    Knob{"index_buckets", &Scenario::index_buckets, 64, 1 << 24, false, "a power of two"},
    Knob{"cache_kib", &Scenario::cache_kib, 64, 1 << 22, false, "cache of a worker"},
    Knob{"staging_kib", &Scenario::staging_kib, 512, 1 << 20, false, "of a worker"},
    Knob{"lease_ms", &Scenario::lease_ms, 5, 60000, false, "of a KN"},
    Knob{"heartbeat_ms", &Scenario::heartbeat_ms, 1, 10000, false, "between renewals"},
    Knob{"reclaim_grace_ms", &Scenario::reclaim_grace_ms, 1, 10000, false, "of emptied segments"},
    Knob{"dpm_turn_ns", &Scenario::dpm_turn_ns, 1, 10'000'000, false,
         "of the memory node's lcore, at least"},
    Knob{"kn_work_ns", &Scenario::kn_work_ns, 1, 10'000'000, false,
         "of a worker lcore, for each unit of work"},
    Knob{"queue_wait_us", &Scenario::queue_wait_us, 1, 1'000'000, false,
         "what would wait longer for a worker is refused"},
    Knob{"clients", &Scenario::clients, 1, 200, false, ""},
    Knob{"depth", &Scenario::depth, 1, 512, false, "operations in flight of a client"},
    Knob{"keys", &Scenario::keys, 1, 10'000'000, false, "shared by all clients"},
    Knob{"operations", &Scenario::operations, 1, 1'000'000'000, false, "of a client"},
    Knob{"think_us", &Scenario::think_us, 0, 1'000'000, false, "between operations, at most"},
    Knob{"read_percent", &Scenario::read_percent, 0, 100, false, "of the operations"},
    Knob{"delete_percent", &Scenario::delete_percent, 0, 100, false, "of the mutations"},
    Knob{"conditional_percent", &Scenario::conditional_percent, 0, 100, false,
         "of the mutations: ADD REPLACE CAS TOUCH GAT APPEND PREPEND INCR DECR"},
    Knob{"expiry_percent", &Scenario::expiry_percent, 0, 100, true, "of what is stored"},
    Knob{"ttl_ms", &Scenario::ttl_ms, 1, 1'000'000, false, "of what expires, at most"},
    Knob{"value_bytes", &Scenario::value_bytes, 1, 60'000, false, "at most"},
    Knob{"exactly_once", &Scenario::exactly_once, 0, 1, false,
         "0: a mutation that was sent again may count again after a KN lost its log"},
    Knob{"check", &Scenario::check, 0, 1, false, "0: record no history (to measure speed)"},
    Knob{"delay_us", &Scenario::delay_us, 0, 1'000'000, false, "clients' network, one way"},
    Knob{"jitter_us", &Scenario::jitter_us, 0, 1'000'000, false, "at most"},
    Knob{"loss_ppm", &Scenario::loss_ppm, 0, 900'000, true, "datagrams lost"},
    Knob{"duplicate_ppm", &Scenario::duplicate_ppm, 0, 900'000, true, "datagrams doubled"},
    Knob{"duplicate_late_ms", &Scenario::duplicate_late_ms, 0, 100'000, true,
         "how late the second one comes, at most"},
    Knob{"reorder_ppm", &Scenario::reorder_ppm, 0, 900'000, true, "datagrams held back"},
    Knob{"corrupt_ppm", &Scenario::corrupt_ppm, 0, 900'000, true, "datagrams damaged"},
    Knob{"misroute_ppm", &Scenario::misroute_ppm, 0, 900'000, true, "to a neighbouring port"},
    Knob{"forgeries", &Scenario::forgeries, 0, 100'000, true, "requests with false sessions"},
    Knob{"partitions", &Scenario::partitions, 0, 1000, true, "KN unreachable for clients"},
    Knob{"fabric_delay_ns", &Scenario::fabric_delay_ns, 0, 1'000'000, false, "one way"},
    Knob{"fabric_jitter_ns", &Scenario::fabric_jitter_ns, 0, 1'000'000, false, "one way"},
    Knob{"verb_ns", &Scenario::verb_ns, 0, 1'000'000, false, "of a card, for each operation"},
    Knob{"bytes_per_us", &Scenario::bytes_per_us, 1, 1'000'000, false, "of a card"},
    Knob{"reads_in_flight", &Scenario::reads_in_flight, 1, 1024, false, "of a queue"},
    Knob{"straggler_ppm", &Scenario::straggler_ppm, 0, 900'000, true, "operations late by 50 us"},
    Knob{"late_ppm", &Scenario::late_ppm, 0, 900'000, true, "operations later than that"},
    Knob{"late_ms", &Scenario::late_ms, 0, 10'000, false, "how much later, at most"},
    Knob{"tear_ppm", &Scenario::tear_ppm, 0, 1'000'000, true, "writes that land in two parts"},
    Knob{"link_cuts", &Scenario::link_cuts, 0, 1000, true, "KN cut off from the memory node"},
    Knob{"kn_kills", &Scenario::kn_kills, 0, 1000, true, ""},
    Knob{"kn_pauses", &Scenario::kn_pauses, 0, 1000, true, "for up to two leases"},
    Knob{"takeovers", &Scenario::takeovers, 0, 1000, true,
         "a KN is fenced, another process takes its slot and address"},
    Knob{"replications", &Scenario::replications, 0, 1000, true,
         "elastic: a hot key is replicated, or is no longer"},
    Knob{"pins", &Scenario::pins, 0, 1000, true,
         "elastic: partitions are wanted at one KN, or anywhere again"},
    Knob{"drains", &Scenario::drains, 0, 1000, true, "elastic: a KN is emptied for a while"},
    Knob{"kn_stops", &Scenario::kn_stops, 0, 1000, true, "a KN leaves in order, comes back"},
    Knob{"dpm_kills", &Scenario::dpm_kills, 0, 1000, true, ""},
    Knob{"power_failures", &Scenario::power_failures, 0, 1000, true, "of the memory node"},
    Knob{"dpm_pauses", &Scenario::dpm_pauses, 0, 1000, true, ""},
    Knob{"drift_ppm", &Scenario::drift_ppm, 0, 100'000, true, "of clocks, either way"},
    Knob{"unix_skew_ms", &Scenario::unix_skew_ms, 0, 1'000'000, true, "of dates, either way"},
    Knob{"outage_ms", &Scenario::outage_ms, 1, 100'000, false, "that a fault lasts, at most"},
    Knob{"fault_window_ms", &Scenario::fault_window_ms, 1, 1'000'000, false,
         "from the start; faults begin in it"},
    Knob{"limit_ms", &Scenario::limit_ms, 100, 100'000'000, false, "virtual time for the load"},
};

}  // namespace

std::span<const Knob> knobs() noexcept { return kKnobs; }

Status set_knob(Scenario* scenario, const std::string& name, uint64_t value, std::string* why) {
  for (const Knob& k : kKnobs) {
    if (name != k.name) continue;
    if (value < k.min || value > k.max) {
      *why = fmt::format("{} = {} is out of range; give {} to {}", name, value, k.min, k.max);
      return Status::kInvalid;
    }
    if (name == "index_buckets" && !std::has_single_bit(value)) {
      *why = fmt::format("index_buckets = {} is no power of two", value);
      return Status::kInvalid;
    }
    scenario->*k.value = value;
    return Status::kOk;
  }
  *why = fmt::format("there is no knob '{}'; dinomo-sim knobs lists them", name);
  return Status::kInvalid;
}

namespace {

Status read_settings(const config_t& file, const std::string& path, Scenario* scenario,
                     std::string* why) {
  const config_setting_t* root = config_root_setting(&file);
  for (int i = 0; i < config_setting_length(root); ++i) {
    const config_setting_t* s = config_setting_get_elem(root, static_cast<unsigned>(i));
    const int type = config_setting_type(s);
    const bool number = type == CONFIG_TYPE_INT || type == CONFIG_TYPE_INT64;
    const int64_t value = number ? config_setting_get_int64(s) : -1;
    const char* name = config_setting_name(s);
    const unsigned line = config_setting_source_line(s);
    if (value < 0) {
      *why = fmt::format("{}:{}: {} has to be a whole number from 0 on", path, line, name);
      return Status::kInvalid;
    }
    if (!ok(set_knob(scenario, name, static_cast<uint64_t>(value), why))) {
      *why = fmt::format("{}:{}: {}", path, line, *why);
      return Status::kInvalid;
    }
  }
  return Status::kOk;
}

}  // namespace

Status read_scenario(const std::string& path, Scenario* scenario, std::string* why) {
  config_t file;
  config_init(&file);
  Status status = Status::kInvalid;
  if (config_read_file(&file, path.c_str()) == CONFIG_TRUE) {
    status = read_settings(file, path, scenario, why);
  } else if (config_error_type(&file) == CONFIG_ERR_FILE_IO) {
    *why = fmt::format("cannot read the scenario '{}'", path);
  } else {
    *why = fmt::format("{}:{}: {}", path, config_error_line(&file), config_error_text(&file));
  }
  config_destroy(&file);
  return status;
}

std::string difference(const Scenario& scenario) {
  const Scenario defaults;
  std::string text;
  for (const Knob& k : kKnobs) {
    if (scenario.*k.value == defaults.*k.value) continue;
    text += fmt::format("{}{}={}", text.empty() ? "" : " ", k.name, scenario.*k.value);
  }
  return text;
}

namespace {

/// Neither a link nor a pool that is too small for anything to work is a fault.
void make_feasible(Scenario* scenario) {
  Scenario& s = *scenario;
  // A leader that begins reads and writes rings over the link that renews its lease, which all KNs
  // share at the memory node: where that takes longer than the lease, nobody ever leads.
  const uint64_t rings_bytes = 4 * (s.kns + 1) * sizeof(pool::RingRecord);
  s.bytes_per_us = std::max(s.bytes_per_us, rings_bytes / (s.lease_ms * 1000) + 1);
  // Every worker appends to a segment and has been granted the next one. In a pool without so many,
  // a delete can wait for good (doc/space.md says how many have to be kept).
  const uint64_t segments = 2 * s.kns * s.workers + 5;
  s.pool_mib = std::max(s.pool_mib, segments * s.segment_kib * 32 / 27 / 1024 + 1);
}

}  // namespace

Scenario swarm(const Scenario& base, uint64_t seed) {
  client::Random random(seed * 0x9e37'79b9 + 17);
  Scenario s = base;
  const auto one_in = [&](uint64_t n) { return random.below(n) == 0; };
  const auto up_to = [&](uint64_t n) { return 1 + random.below(n); };
  s.kns = one_in(2) ? 1 : up_to(4);
  s.workers = up_to(3);
  s.clients = up_to(4);
  s.depth = up_to(8);
  s.keys = one_in(4) ? up_to(400) : up_to(30);
  s.cache_kib = one_in(3) ? 64 : 64 + random.below(400);
  s.segment_kib = 128 + 64 * random.below(4);
  s.read_percent = random.below(91);
  s.delete_percent = random.below(40);
  s.conditional_percent = random.below(60);
  s.value_bytes = one_in(3) ? up_to(1300) : up_to(200);
  if (one_in(6)) s.value_bytes = up_to(60'000);
  if (one_in(8)) s.pool_mib = 8;
  s.staging_kib = one_in(2) ? 512 : 1024;
  if (one_in(3)) s.index_buckets = 64;
  if (one_in(3)) s.dpm_turn_ns = up_to(300'000);
  if (one_in(6)) s.verb_ns = random.below(2000);
  if (one_in(6)) s.bytes_per_us = up_to(1000);
  if (one_in(6)) s.reads_in_flight = up_to(4);
  s.think_us = one_in(2) ? 0 : random.below(2000);
  s.lease_ms = 20 + random.below(200);
  s.heartbeat_ms = 1 + s.lease_ms / (3 + random.below(10));
  if (one_in(2)) s.loss_ppm = random.below(200'000);
  if (one_in(2)) s.duplicate_ppm = random.below(200'000);
  if (s.exactly_once != 0 && one_in(2)) s.duplicate_late_ms = random.below(100);
  if (one_in(2)) s.reorder_ppm = random.below(300'000);
  if (one_in(4)) s.corrupt_ppm = random.below(50'000);
  if (one_in(4)) s.misroute_ppm = random.below(50'000);
  if (one_in(3)) s.forgeries = up_to(20);
  if (one_in(4)) s.partitions = up_to(3);
  if (one_in(2)) s.straggler_ppm = random.below(100'000);
  if (one_in(4)) s.late_ppm = random.below(3'000);
  s.late_ms = up_to(2 * s.lease_ms);
  if (one_in(2)) s.tear_ppm = random.below(1'000'000);
  if (one_in(4)) s.link_cuts = up_to(2);
  if (one_in(3)) s.kn_kills = up_to(3);
  if (one_in(3)) s.kn_pauses = up_to(3);
  if (one_in(3)) s.takeovers = up_to(3);
  if (one_in(3)) s.dpm_kills = up_to(3);
  if (one_in(3)) s.power_failures = up_to(3);
  if (one_in(4)) s.dpm_pauses = up_to(3);
  if (one_in(3)) s.drift_ppm = random.below(1000);
  if (one_in(3)) s.unix_skew_ms = random.below(30);
  if (one_in(3)) s.expiry_percent = random.below(50);
  s.elastic = one_in(2) ? 1 : 0;
  if (s.elastic != 0) {  // drawn last: static clusters have the runs that they always had
    if (s.kns == 1 && one_in(2)) s.kns = up_to(4);
    s.lease_ms = 20 + random.below(60);
    s.heartbeat_ms = 1 + s.lease_ms / (3 + random.below(10));
    if (one_in(2)) s.outage_ms = up_to(4 * s.lease_ms);
    if (one_in(2)) s.drains = up_to(4);
    if (one_in(2)) s.kn_stops = up_to(3);
  }
  make_feasible(&s);
  if (one_in(8)) {                      // more than the workers can serve
    s.clients = 40 + random.below(20);  // with sessions for all of them
    s.keys = 1000;                      // or histories of a key are too wide to be judged
    s.operations = std::min<uint64_t>(s.operations, 60);
    s.workers = 1;
    s.kn_work_ns = 2000 + random.below(20'000);
    s.queue_wait_us = up_to(1000);
    s.depth = 8;
    s.think_us = 0;
  }
  if (s.kns > 1 && one_in(2)) s.replicated = up_to(8);
  if (s.elastic != 0 && one_in(2)) s.replications = up_to(12);
  if (s.elastic != 0 && one_in(2)) s.pins = up_to(6);
  // What the scenario says holds.
  const Scenario defaults;
  for (const Knob& k : kKnobs) {
    if (base.*k.value != defaults.*k.value) s.*k.value = base.*k.value;
  }
  return s;
}

}  // namespace dinomo::world
