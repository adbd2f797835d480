// SPDX-License-Identifier: BSD-3-Clause
#include "world/cluster.h"

#include <algorithm>
#include <numeric>

#include "ring/ring.h"
#include "world/checks.h"

namespace dinomo::world {

namespace {

constexpr uint64_t kMs = 1'000'000;

std::string ip_of_slot(uint16_t kn_slot) { return "10.0.1." + std::to_string(1 + kn_slot); }

uint16_t owner_of_partition(uint32_t partition, uint64_t kns) noexcept {
  return static_cast<uint16_t>(partition % kns);
}

}  // namespace

Cluster::Cluster(const Scenario& s, uint64_t seed, Environment* environment)
    : scenario_(s), environment_(environment), random_(seed) {
  set_networks(true);
  make_dpm();
  if (s.elastic == 0) {
    make_ring();
  } else {
    for (uint64_t k = 0; k < std::min(s.replicated, s.keys); ++k) {
      if (!replicate(k, 0)) broken_ = "there is no cell for a replicated key";
    }
  }
  for (uint16_t slot = 0; slot < static_cast<uint16_t>(s.kns); ++slot)
    add_kn(slot, "kn" + std::to_string(slot));
  for (uint32_t c = 0; c < s.clients; ++c) {
    clients_.push_back(std::make_unique<ClientNode>(environment, client_options(c)));
  }
  forger_ =
      std::make_unique<Forger>(environment, Forger::Options{.count = s.forgeries,
                                                            .window_ns = s.fault_window_ms * kMs,
                                                            .keys = static_cast<uint32_t>(s.keys),
                                                            .seed = random_.next()});
  faults_ = std::make_unique<Faults>(this, s, random_.next());
}

Cluster::~Cluster() = default;

void Cluster::make_dpm() {
  const Scenario& s = scenario_;
  DpmOptions dpm;
  dpm.pool_bytes = s.pool_mib << 20;
  dpm.index_buckets = s.index_buckets;
  dpm.geometry.segment_bytes = s.segment_kib << 10;
  dpm.geometry.kn_slots = kKnSlots;
  dpm.geometry.workers_per_kn = kWorkersPerKn;
  dpm.geometry.session_count = 64;
  dpm.service.merge_workers = 0;
  dpm.service.reclaim_grace_ms = static_cast<uint32_t>(s.reclaim_grace_ms);
  dpm.costs.turn_ns = s.dpm_turn_ns;
  dpm.clock = clock_faults();
  dpm.seed = random_.next();
  dpms_.push_back(std::make_unique<DpmNode>(environment_, dpm));
  start_dpm(dpms_.back().get());
}

/// Written into the pool once; the KNs take it as it is.
void Cluster::make_ring() {
  ring::Ring ring;
  ring.version = 1;
  for (uint32_t p = 0; p < ring.owner.size(); ++p) {
    ring.owner[p] = owner_of_partition(p, scenario_.kns);
  }
  for (uint16_t slot = 0; slot < static_cast<uint16_t>(scenario_.kns); ++slot) {
    members_.push_back({ingress::parse_address(ip_of_slot(slot))->address, slot, wire::kDefaultPort,
                        static_cast<uint16_t>(scenario_.workers),
                        static_cast<uint16_t>(pool::KnState::kActive)});
  }
  replicate_keys(&ring);
  sim::PoolMemory& memory = dpms_.front()->memory();
  const uint64_t at = memory.superblock().ring_offset + sizeof(pool::RingRecord);
  store(memory.at(at), ring::to_record(ring));  // odd versions lie in the second place
  memory.persist_now(at, sizeof(pool::RingRecord));
}

Result<pool::GlobalAddress> Cluster::replicate(uint64_t key, uint64_t kns_wanted) {
  const std::string name = ClientNode::key_name(key);
  DpmNode& dpm = *dpms_.front();
  const uint64_t hash = key_hash(as_bytes(name), dpm.memory().superblock().hash_seed);
  return dpm.service().cells().install(hash, routing_hash(as_bytes(name)), kns_wanted);
}

void Cluster::dereplicate(uint64_t key) {
  const std::string name = ClientNode::key_name(key);
  DpmNode& dpm = *dpms_.front();
  dpm.service().cells().remove(key_hash(as_bytes(name), dpm.memory().superblock().hash_seed), {});
}

/// Without a leader the list is as it was at the start.
void Cluster::replicate_keys(ring::Ring* ring) {
  std::vector<uint16_t> kns(scenario_.kns);
  std::iota(kns.begin(), kns.end(), uint16_t{0});
  for (uint64_t k = 0; k < std::min(scenario_.replicated, scenario_.keys); ++k) {
    const std::string key = ClientNode::key_name(k);
    const auto cell = replicate(k, 0);
    if (!cell) {
      broken_ = "there is no cell for a replicated key";
      return;
    }
    ring->replicated.push_back(
        ring::make_replicated(routing_hash(as_bytes(key)), cell->word(), kns));
  }
}

void Cluster::add_kn(uint16_t kn_slot, const std::string& name) {
  const Scenario& s = scenario_;
  KnOptions kn;
  kn.name = name;
  kn.kn_slot = kn_slot;
  kn.ip = ip_of_slot(kn_slot);
  kn.number = static_cast<uint8_t>(kns_.size());
  kn.members = members_;  // none if the cluster is elastic
  kn.workers = static_cast<uint16_t>(s.workers);
  kn.worker.cache.budget_bytes = s.cache_kib << 10;
  kn.worker.staging_bytes = s.staging_kib << 10;
  kn.worker.unmerged_log2 = 12;
  kn.worker.sessions_max = 64;
  kn.worker.fetches_max = 32;
  kn.worker.queue_wait_us = static_cast<uint32_t>(s.queue_wait_us);
  kn.costs.work_ns = s.kn_work_ns;
  kn.lease_us = static_cast<uint32_t>(s.lease_ms * 1000);
  kn.heartbeat_us = static_cast<uint32_t>(s.heartbeat_ms * 1000);
  kn.clock = clock_faults();
  kns_.push_back(std::make_unique<KnNode>(environment_, kn));
  kns_.back()->start();
}

ClientOptions Cluster::client_options(uint32_t number) {
  const Scenario& s = scenario_;
  ClientOptions c;
  c.number = number;
  c.ip = "10.0.2." + std::to_string(1 + number);
  for (const auto& kn : kns_) c.seeds.push_back(kn->options().ip);
  c.load.keys = static_cast<uint32_t>(s.keys);
  c.load.depth = static_cast<uint32_t>(s.depth);
  c.load.operations = s.operations;
  c.load.read_percent = static_cast<uint32_t>(s.read_percent);
  c.load.delete_percent = static_cast<uint32_t>(s.delete_percent);
  c.load.conditional_percent = static_cast<uint32_t>(s.conditional_percent);
  c.load.expiry_percent = static_cast<uint32_t>(s.expiry_percent);
  c.load.ttl_ms_max = static_cast<uint32_t>(s.ttl_ms);
  c.load.value_bytes_max = static_cast<uint32_t>(s.value_bytes);
  c.load.think_ns = s.think_us * 1000;
  c.load.exactly_once = s.exactly_once != 0;
  c.load.record = s.check != 0;
  c.client.in_flight_max = static_cast<uint32_t>(std::max<uint64_t>(s.depth, 16));
  c.client.retry_first_ms = 5;
  c.client.retry_min_ms = 2;
  c.client.retry_max_ms = 100;
  c.client.deadline_ms = 3000;
  c.client.attempts_max = 1000;
  c.clock = clock_faults();
  c.seed = random_.next();
  return c;
}

sim::ClockFaults Cluster::clock_faults() {
  const auto either_way = [this](uint64_t most) {
    return static_cast<int64_t>(random_.below(2 * most + 1)) - static_cast<int64_t>(most);
  };
  return {.origin_ns = 1'000'000'000 + random_.below(1'000'000'000),
          .drift_ppm = either_way(scenario_.drift_ppm),
          .unix_skew_ms = either_way(scenario_.unix_skew_ms)};
}

void Cluster::set_networks(bool faulty) {
  const Scenario& s = scenario_;
  const auto ppm = [faulty](uint64_t value) { return static_cast<uint32_t>(faulty ? value : 0); };
  sim::NetworkFaults n;
  n.delay_ns = s.delay_us * 1000;
  n.jitter_ns = s.jitter_us * 1000;
  n.loss_ppm = ppm(s.loss_ppm);
  n.duplicate_ppm = ppm(s.duplicate_ppm);
  n.duplicate_late_ns = s.duplicate_late_ms * kMs;
  n.reorder_ppm = ppm(s.reorder_ppm);
  n.corrupt_ppm = ppm(s.corrupt_ppm);
  n.misroute_ppm = ppm(s.misroute_ppm);
  environment_->network.set_faults(n);
  fabric::sim::FabricFaults f;
  f.delay_ns = s.fabric_delay_ns;
  f.jitter_ns = s.fabric_jitter_ns;
  f.verb_ns = s.verb_ns;
  f.bytes_per_us = s.bytes_per_us;
  f.reads_in_flight_max = static_cast<uint32_t>(s.reads_in_flight);
  f.straggler_ppm = ppm(s.straggler_ppm);
  f.late_ppm = ppm(s.late_ppm);
  f.late_ns = s.late_ms * kMs;
  f.tear_ppm = ppm(s.tear_ppm);
  environment_->fabric.set_faults(f);
}

void Cluster::start_dpm(DpmNode* node) {
  if (node->running()) return;
  if (!ok(node->start()) && broken_.empty()) {
    broken_ = node->name() + " could not recover its pool: " + node->why();
  }
}

void Cluster::start_dpms() {
  for (const auto& dpm : dpms_) start_dpm(dpm.get());
}

void Cluster::start_kns() {
  for (const auto& kn : kns_) {
    if (!kn->running() && !kn->retired()) kn->start();
  }
}

void Cluster::replace_kn(uint16_t kn_slot) {
  add_kn(kn_slot, "kn" + std::to_string(kn_slot) + "-" + std::to_string(kns_.size()));
}

void Cluster::keep_one_kn(uint16_t kn_slot) {
  KnNode* keep = nullptr;
  for (const auto& kn : kns_) {
    if (kn->options().kn_slot != kn_slot || kn->retired()) continue;
    if (keep == nullptr || kn->serving() || !keep->serving()) keep = kn.get();
  }
  for (const auto& kn : kns_) {
    if (kn->options().kn_slot == kn_slot && kn.get() != keep) kn->retire();
  }
}

KnNode* Cluster::running_kn(uint16_t kn_slot) noexcept {
  const auto newest = std::ranges::find_if(kns_.rbegin(), kns_.rend(), [&](const auto& kn) {
    return kn->options().kn_slot == kn_slot && kn->running();
  });
  return newest == kns_.rend() ? nullptr : newest->get();
}

void Cluster::heal() {
  environment_->say("faults", "end");
  faults_->end();
  set_networks(false);
  start_dpms();
  for (uint16_t slot = 0; slot < static_cast<uint16_t>(scenario_.kns); ++slot) keep_one_kn(slot);
  start_kns();
}

bool Cluster::clients_finished() const noexcept {
  return std::ranges::all_of(clients_, [](const auto& c) { return c->finished(); });
}

bool Cluster::run_until(const std::function<bool()>& condition, uint64_t limit_ns) {
  const uint64_t end_ns = environment_->loop.now_ns() + limit_ns;
  uint64_t steps = 0;
  while (broken_.empty()) {
    if (scenario_.elastic != 0 && steps % 256 == 0) broken_ = two_owners();
    if (steps % 256 == 0 && broken_.empty()) broken_ = check_bounds(*this);
    if (steps++ % 64 == 0 && condition()) return true;
    if (!environment_->loop.step(end_ns)) return condition();
  }
  return false;
}

bool Cluster::may_have_given(const std::string& key, uint16_t log_id) const noexcept {
  const uint64_t routing = routing_hash(as_bytes(key));
  const uint32_t worker = worker_of(routing, static_cast<uint32_t>(scenario_.workers));
  if (log_id % kWorkersPerKn != worker) return false;
  const uint16_t slot = log_id / kWorkersPerKn;
  return scenario_.elastic != 0 ? slot < scenario_.kns
                                : slot == owner_of_partition(partition_of(routing), scenario_.kns);
}

/// What somebody may serve now, by its own clock and the ring that its worker goes by.
std::string Cluster::two_owners() const {
  struct Serving {
    const KnNode* kn;
    const kn::Worker* worker;
  };
  std::vector<Serving> serving;
  for (const auto& kn : kns_) {
    if (!kn->running() || !kn->lease_valid()) continue;
    for (const auto& w : kn->workers()) serving.push_back({kn.get(), w.get()});
  }
  for (size_t i = 0; i < serving.size(); ++i) {
    for (size_t j = i + 1; j < serving.size(); ++j) {
      if (serving[i].kn == serving[j].kn) continue;
      const auto both = serving[i].worker->served() & serving[j].worker->served();
      if (both.none()) continue;
      return "two owners: " + serving[i].kn->name() + " and " + serving[j].kn->name() +
             " serve partition " + std::to_string(both._Find_first());
    }
  }
  return "";
}

std::map<std::string, uint64_t> Cluster::coverage() const {
  std::map<std::string, uint64_t> c = faults_->injected();
  const sim::NetworkCounters& n = environment_->network.counters();
  c["datagram lost"] = n.lost;
  c["datagram duplicated"] = n.duplicated;
  c["datagram reordered"] = n.reordered;
  c["datagram corrupted"] = n.corrupted;
  c["datagram misrouted"] = n.misrouted;
  c["datagram partitioned"] = n.partitioned;
  c["datagram to nobody"] = n.nobody;
  c["datagram to either of two"] = n.two_receivers;
  c["request forged"] = forger_->sent();
  const fabric::sim::FabricCounters& f = environment_->fabric.counters();
  c["write torn"] = f.torn;
  c["operation late"] = f.stragglers;
  c["operation very late"] = f.late;
  c["orphan landed"] = f.orphans_landed;
  c["orphan dropped"] = f.orphans_dropped;
  c["operation fenced"] = f.fenced;
  c["operation unreachable"] = f.unreachable;
  for (const auto& client : clients_) {
    const client::Counters& counters = client->library().counters();
    c["retransmission"] += counters.timeouts;
    c["late reply"] += counters.late_replies;
    c["busy"] += counters.busy;
    c["wrong owner"] += counters.wrong_owner;
    c["told moving"] += counters.moving;
    c["session lost"] += counters.sessions > 1 ? counters.sessions - 1 : 0;
    c["given up"] += client->given_up();
  }
  count_workers(&c);
  return c;
}

void Cluster::count_workers(std::map<std::string, uint64_t>* coverage) const {
  std::map<std::string, uint64_t>& c = *coverage;
  for (const auto& kn : kns_) {
    if (!kn->running()) continue;
    for (const auto& w : kn->workers()) {
      const kn::WorkerStats& s = w->stats();
      c["value hit"] += s.value_hits.get();
      c["shortcut hit"] += s.shortcut_hits.get();
      c["unmerged hit"] += s.unmerged_hits.get();
      c["shared read"] += s.shared_reads.get();
      c["shared read elsewhere"] += s.shared_elsewhere.get();
      c["cell written"] += s.cell_writes.get();
      c["cell taken over"] += s.cells_taken.get();
      c["stale shortcut"] += s.stale_shortcuts.get();
      c["index retry"] += s.index_retries.get();
      c["fetch joined"] += s.joined.get();
      c["eviction"] += s.evictions.get();
      c["demotion"] += s.demotions.get();
      c["promotion"] += s.promotions.get();
      c["deferred"] += s.deferred.get();
      c["shed"] += s.shed.get();
      c["duplicate"] += s.duplicates.get();
      c["expired"] += s.expired.get();
      c["refused: moving"] += s.refused_moving.get();
      c["refused: lease"] += s.refused_lease.get();
      c["refused: session"] += s.refused_session.get();
    }
  }
}

}  // namespace dinomo::world
