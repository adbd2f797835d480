// SPDX-License-Identifier: BSD-3-Clause
#include "world/cluster.h"

#include <algorithm>

namespace dinomo::world {

namespace {

constexpr uint64_t kMs = 1'000'000;

}  // namespace

Cluster::Cluster(const Scenario& s, uint64_t seed, Environment* environment)
    : scenario_(s), environment_(environment), id_(environment->loop.add(this)), random_(seed) {
  set_networks(true);
  DpmOptions dpm;
  dpm.pool_bytes = s.pool_mib << 20;
  dpm.index_buckets = s.index_buckets;
  dpm.geometry.segment_bytes = s.segment_kib << 10;
  dpm.geometry.kn_slots = 4;
  dpm.geometry.workers_per_kn = 8;
  dpm.geometry.session_count = 64;
  dpm.service.merge_workers = 0;
  dpm.service.reclaim_grace_ms = static_cast<uint32_t>(s.reclaim_grace_ms);
  dpm.clock = clock_faults();
  dpm.seed = random_.next();
  dpms_.push_back(std::make_unique<DpmNode>(environment, dpm));
  start_dpm(dpms_.back().get());
  KnOptions kn;
  kn.workers = static_cast<uint16_t>(s.workers);
  kn.worker.cache.budget_bytes = s.cache_kib << 10;
  kn.worker.unmerged_log2 = 12;
  kn.worker.sessions_max = 64;
  kn.worker.fetches_max = 32;
  kn.lease_us = static_cast<uint32_t>(s.lease_ms * 1000);
  kn.heartbeat_us = static_cast<uint32_t>(s.heartbeat_ms * 1000);
  kn.clock = clock_faults();
  kns_.push_back(std::make_unique<KnNode>(environment, kn));
  kns_.back()->start();
  for (uint32_t c = 0; c < s.clients; ++c) {
    clients_.push_back(std::make_unique<ClientNode>(environment, client_options(c)));
  }
  plan(Fault::kKnKill, s.kn_kills);
  plan(Fault::kKnPause, s.kn_pauses);
  plan(Fault::kDpmKill, s.dpm_kills);
  plan(Fault::kPowerFailure, s.power_failures);
  plan(Fault::kDpmPause, s.dpm_pauses);
  plan(Fault::kPartition, s.partitions);
  plan(Fault::kLinkCut, s.link_cuts);
}

Cluster::~Cluster() { environment_->loop.remove(id_); }

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
  n.reorder_ppm = ppm(s.reorder_ppm);
  n.corrupt_ppm = ppm(s.corrupt_ppm);
  environment_->network.set_faults(n);
  fabric::sim::FabricFaults f;
  f.jitter_ns = s.fabric_jitter_ns;
  f.straggler_ppm = ppm(s.straggler_ppm);
  f.tear_ppm = ppm(s.tear_ppm);
  environment_->fabric.set_faults(f);
}

void Cluster::plan(Fault fault, uint64_t count) {
  for (uint64_t i = 0; i < count; ++i) at(random_.below(scenario_.fault_window_ms * kMs), fault);
}

void Cluster::at(uint64_t at_ns, Fault fault) {
  environment_->loop.at(at_ns, id_, static_cast<uint64_t>(fault));
}

void Cluster::start_dpm(DpmNode* node) {
  if (node->running()) return;
  if (!ok(node->start()) && broken_.empty()) {
    broken_ = node->name() + " could not recover its pool: " + node->why();
  }
}

void Cluster::on_event(uint64_t argument) {
  if (healed_) return;
  KnNode& kn = *kns_[random_.below(kns_.size())];
  DpmNode& dpm = *dpms_[random_.below(dpms_.size())];
  const uint64_t now = environment_->loop.now_ns();
  const uint64_t later = now + 1 + random_.below(scenario_.outage_ms * kMs);
  const auto ip = ingress::parse_address(kn.options().ip)->address;
  switch (static_cast<Fault>(argument)) {
    case Fault::kKnKill:
      if (!kn.running()) return;
      ++injected_["kn kill"];
      kn.kill();
      at(later, Fault::kKnStart);
      return;
    case Fault::kKnStart:
      for (const auto& node : kns_) {
        if (!node->running()) node->start();
      }
      return;
    case Fault::kKnPause: {
      ++injected_["kn pause"];
      const uint64_t pause_ns = random_.below(2 * scenario_.lease_ms * kMs);
      environment_->say(kn.name(), "paused for " + std::to_string(pause_ns / 1000) + " us");
      kn.pause(now + pause_ns);
      return;
    }
    case Fault::kDpmKill:
    case Fault::kPowerFailure:
      if (!dpm.running()) return;
      if (static_cast<Fault>(argument) == Fault::kDpmKill) {
        ++injected_["dpm kill"];
        dpm.kill();
      } else {
        ++injected_["power failure"];
        dpm.fail_power();
      }
      at(later, Fault::kDpmStart);
      return;
    case Fault::kDpmStart:
      for (const auto& node : dpms_) start_dpm(node.get());
      return;
    case Fault::kDpmPause:
      ++injected_["dpm pause"];
      dpm.pause(later);
      return;
    case Fault::kPartition:
      ++injected_["partition"];
      environment_->network.isolate(ip, true);
      at(later, Fault::kPartitionEnd);
      return;
    case Fault::kPartitionEnd: environment_->network.isolate(ip, false); return;
    case Fault::kLinkCut:
      ++injected_["link cut"];
      environment_->fabric.cut(kn.options().kn_slot, true);
      at(later, Fault::kLinkMend);
      return;
    case Fault::kLinkMend: environment_->fabric.cut(kn.options().kn_slot, false); return;
  }
}

void Cluster::heal() {
  healed_ = true;
  environment_->say("faults", "end");
  set_networks(false);
  for (const auto& kn : kns_) {
    environment_->network.isolate(ingress::parse_address(kn->options().ip)->address, false);
    environment_->fabric.cut(kn->options().kn_slot, false);
    if (!kn->running()) kn->start();
  }
  for (const auto& dpm : dpms_) start_dpm(dpm.get());
}

bool Cluster::clients_finished() const noexcept {
  return std::ranges::all_of(clients_, [](const auto& c) { return c->finished(); });
}

bool Cluster::run_until(const std::function<bool()>& condition, uint64_t limit_ns) {
  const uint64_t end_ns = environment_->loop.now_ns() + limit_ns;
  uint64_t steps = 0;
  while (broken_.empty()) {
    if (steps++ % 64 == 0 && condition()) return true;
    if (!environment_->loop.step(end_ns)) return condition();
  }
  return false;
}

std::map<std::string, uint64_t> Cluster::coverage() const {
  std::map<std::string, uint64_t> c = injected_;
  const sim::NetworkCounters& n = environment_->network.counters();
  c["datagram lost"] = n.lost;
  c["datagram duplicated"] = n.duplicated;
  c["datagram reordered"] = n.reordered;
  c["datagram corrupted"] = n.corrupted;
  c["datagram partitioned"] = n.partitioned;
  c["datagram to nobody"] = n.nobody;
  const fabric::sim::FabricCounters& f = environment_->fabric.counters();
  c["write torn"] = f.torn;
  c["operation late"] = f.stragglers;
  c["orphan landed"] = f.orphans_landed;
  c["orphan dropped"] = f.orphans_dropped;
  c["operation fenced"] = f.fenced;
  c["operation unreachable"] = f.unreachable;
  for (const auto& client : clients_) {
    const client::Counters& counters = client->library().counters();
    c["retransmission"] += counters.timeouts;
    c["late reply"] += counters.late_replies;
    c["busy"] += counters.busy;
    c["session lost"] += counters.sessions > 1 ? counters.sessions - 1 : 0;
    c["given up"] += client->given_up();
  }
  for (const auto& kn : kns_) {
    if (!kn->running()) continue;
    for (const auto& w : kn->workers()) {
      const kn::WorkerStats& s = w->stats();
      c["value hit"] += s.value_hits.get();
      c["deferred"] += s.deferred.get();
      c["expired"] += s.expired.get();
      c["refused: lease"] += s.refused_lease.get();
    }
  }
  return c;
}

}  // namespace dinomo::world
