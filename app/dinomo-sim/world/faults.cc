// SPDX-License-Identifier: BSD-3-Clause
#include "world/faults.h"

#include <algorithm>

#include "ingress/ingress.h"
#include "world/cluster.h"

namespace dinomo::world {

namespace {

constexpr uint64_t kMs = 1'000'000;
constexpr uint64_t kUnderWayNs = 3'000;  // how long after it was posted an operation is under way
constexpr uint64_t kWaitMs = 20;         // for something to be under way
constexpr uint64_t kLeavePollNs = 1'000'000;
constexpr uint64_t kDrainsMax = 40;  // of the turns of a memory node, until it stops

sim::Ip ip_of(const std::string& text) { return ingress::parse_address(text)->address; }

}  // namespace

Faults::Faults(Cluster* cluster, const Scenario& s, uint64_t seed)
    : cluster_(cluster),
      environment_(&cluster->environment()),
      scenario_(s),
      outage_ns_(s.outage_ms * kMs),
      id_(environment_->loop.add(this)),
      random_(seed),
      fencer_(environment_, cluster->dpms().front()->name(), Cluster::kFencerSlot) {
  for (const auto& dpm : cluster->dpms()) {
    dpm->on_stopped = [this] {
      count("dpm stopped in a turn");
      if (ended_) {
        cluster_->start_dpms();
      } else {
        at(soon_ns(), Fault::kDpmStart);
      }
    };
  }
  for (const char* what :
       {"kn kill", "kn pause", "kn fenced", "kn replaced", "kn drained", "kn left", "dpm kill",
        "key replicated", "key dereplicated", "partitions pinned", "partitions unpinned",
        "dpm pause", "dpm stopped in a turn", "power failure", "partition", "link cut"}) {
    injected_[what] = 0;
  }
  plan(Fault::kKnKill, s.kn_kills);
  plan(Fault::kKnPause, s.kn_pauses);
  plan(Fault::kDpmKill, s.dpm_kills);
  plan(Fault::kPowerFailure, s.power_failures);
  plan(Fault::kDpmPause, s.dpm_pauses);
  plan(Fault::kPartition, s.partitions);
  plan(Fault::kLinkCut, s.link_cuts);
  plan(Fault::kTakeover, s.takeovers);
  plan(Fault::kDrain, s.drains);
  plan(Fault::kKnLeave, s.kn_stops);
  plan(Fault::kReplicate, s.replications);
  plan(Fault::kPin, s.pins);
}

Faults::~Faults() {
  environment_->fabric.set_observer(nullptr);
  for (const auto& dpm : cluster_->dpms()) dpm->on_stopped = nullptr;
  environment_->loop.remove(id_);
}

void Faults::plan(Fault fault, uint64_t count) {
  for (uint64_t i = 0; i < count; ++i) at(random_.below(scenario_.fault_window_ms * kMs), fault);
}

void Faults::at(uint64_t at_ns, Fault fault, uint64_t argument) {
  environment_->loop.at(at_ns, id_, static_cast<uint64_t>(fault) | argument << 8);
}

void Faults::end() {
  ended_ = true;
  environment_->fabric.set_observer(nullptr);
  environment_->network.unblock_all();
  for (const auto& dpm : cluster_->dpms()) dpm->stop_at_drain(0, false);
  for (uint16_t slot = 0; slot < Cluster::kFencerSlot; ++slot)
    environment_->fabric.cut(slot, false);
  for (const auto& kn : cluster_->kns()) {
    kn->drain(false);
    if (kn->stopping()) kn->kill();
  }
}

void Faults::on_event(uint64_t argument) {
  if (ended_) return;
  const auto fault = static_cast<Fault>(argument & 0xff);
  const uint64_t index = argument >> 8;
  switch (fault) {
    case Fault::kKnStart: cluster_->start_kns(); return;
    case Fault::kDpmStart: cluster_->start_dpms(); return;
    case Fault::kPartitionEnd:
      environment_->network.unblock(blocks_[index].first, blocks_[index].second);
      return;
    case Fault::kLinkMend: environment_->fabric.cut(static_cast<uint16_t>(index), false); return;
    case Fault::kReplace:
      if (now_ns() < replace_ns_[static_cast<uint16_t>(index)]) return;  // fenced again meanwhile
      count("kn replaced");
      awaited_.erase(static_cast<uint16_t>(index));
      cluster_->replace_kn(static_cast<uint16_t>(index));
      at(soon_ns() + scenario_.lease_ms * 3 * kMs, Fault::kCleanUp, index);
      return;
    case Fault::kCleanUp: cluster_->keep_one_kn(static_cast<uint16_t>(index)); return;
    case Fault::kUndrain: cluster_->kns()[index]->drain(false); return;
    case Fault::kKnLeft: await_leave(index); return;
    case Fault::kNow: strike_waiting(index); return;
    default: begin(fault); return;
  }
}

/// At once, or when the KN has posted something.
void Faults::begin(Fault fault) {
  KnNode* kn = cluster_->kns()[random_.below(cluster_->kns().size())].get();
  if (!kn->running()) return;
  if (random_.below(3) == 0) {
    strike(fault, kn);
    return;
  }
  const uint64_t id = ++waited_;
  waiting_.emplace(id, Waiting{fault, kn->options().kn_slot});
  environment_->fabric.set_observer([this](uint16_t slot) { on_launch(slot); });
  at(now_ns() + kWaitMs * kMs, Fault::kNow, id);  // or then, if nothing is
}

void Faults::on_launch(uint16_t kn_slot) {
  for (const auto& [id, waiting] : waiting_) {
    // Not the very first operation: that is often the same one.
    if (waiting.kn_slot != kn_slot || random_.below(4) != 0) continue;
    at(now_ns() + random_.below(kUnderWayNs), Fault::kNow, id);
    return;
  }
}

void Faults::strike_waiting(uint64_t id) {
  const auto found = waiting_.find(id);
  if (found == waiting_.end()) return;
  const Waiting w = found->second;
  waiting_.erase(found);
  if (waiting_.empty()) environment_->fabric.set_observer(nullptr);
  if (KnNode* kn = cluster_->running_kn(w.kn_slot)) strike(w.fault, kn);
}

void Faults::strike(Fault fault, KnNode* kn) {
  const uint64_t later = soon_ns();
  switch (fault) {
    case Fault::kKnKill:
      count("kn kill");
      kn->kill();
      at(later, Fault::kKnStart);
      return;
    case Fault::kKnPause: {
      count("kn pause");
      const uint64_t pause_ns = random_.below(2 * scenario_.lease_ms * kMs);
      environment_->say(kn->name(), "paused for " + std::to_string(pause_ns / 1000) + " us");
      kn->pause(now_ns() + pause_ns);
      return;
    }
    case Fault::kDpmKill: stop_dpm(false); return;
    case Fault::kPowerFailure: stop_dpm(true); return;
    case Fault::kDpmPause:
      count("dpm pause");
      cluster_->dpms().front()->pause(later);
      return;
    case Fault::kPartition: partition(*kn); return;
    case Fault::kLinkCut:
      count("link cut");
      environment_->say(kn->name(), "cut off from the memory node");
      environment_->fabric.cut(kn->options().kn_slot, true);
      at(later, Fault::kLinkMend, kn->options().kn_slot);
      return;
    case Fault::kTakeover: take_over(kn); return;
    case Fault::kDrain:
      count("kn drained");
      environment_->say(kn->name(), "drained");
      kn->drain(true);
      at(later, Fault::kUndrain, index_of(*kn));
      return;
    case Fault::kReplicate: replicate(); return;
    case Fault::kPin: pin(); return;
    case Fault::kKnLeave:
      environment_->say(kn->name(), "is told to leave");
      kn->stop();
      at(now_ns() + kLeavePollNs, Fault::kKnLeft, index_of(*kn));
      return;
    default: return;
  }
}

/// One of the hot keys gets a cell or loses it.
void Faults::replicate() {
  constexpr uint64_t kHotKeys = 8;
  if (!cluster_->dpms().front()->running()) return;
  const uint64_t key = random_.below(std::min(kHotKeys, scenario_.keys));
  const uint64_t kns_wanted = random_.below(2) == 0 ? 0 : 2;
  const bool on = random_.below(2) == 0;
  environment_->say("operator",
                    (on ? "replicates key " : "dereplicates key ") + std::to_string(key));
  count(on ? "key replicated" : "key dereplicated");
  if (on) {
    const bool has_cell = cluster_->replicate(key, kns_wanted).has_value();
    if (!has_cell) environment_->say("operator", "there is no room for its cell");
  } else {
    cluster_->dereplicate(key);
  }
}

/// A run of partitions is wanted at one KN, which need not be there, or anywhere again.
void Faults::pin() {
  DpmNode& dpm = *cluster_->dpms().front();
  if (!dpm.running()) return;
  const uint64_t first = random_.below(kPartitions);
  const uint64_t count = 1 + random_.below(kPartitions - first);
  const uint64_t target = random_.below(3) == 0 ? 0 : 1 + random_.below(scenario_.kns);
  environment_->say("operator", (target == 0 ? "unpins " : "pins ") + std::to_string(count) +
                                    " partitions from " + std::to_string(first) + " on" +
                                    (target == 0 ? "" : " to slot " + std::to_string(target - 1)));
  this->count(target == 0 ? "partitions unpinned" : "partitions pinned");
  if (!ok(dpm.service().pins().pin(first, count, target))) {
    environment_->say("operator", "there is no room for the table of pins");
  }
}

uint64_t Faults::index_of(const KnNode& kn) const {
  const auto& kns = cluster_->kns();
  return static_cast<uint64_t>(std::ranges::find(kns, &kn, [](const auto& k) { return k.get(); }) -
                               kns.begin());
}

void Faults::await_leave(uint64_t index) {
  KnNode& kn = *cluster_->kns()[index];
  if (!kn.running() || !kn.stopping()) return;  // killed meanwhile
  if (!kn.control().stopped()) {
    at(now_ns() + kLeavePollNs, Fault::kKnLeft, index);
    return;
  }
  count("kn left");
  kn.kill();
  at(soon_ns(), Fault::kKnStart);
}

void Faults::stop_dpm(bool power) {
  DpmNode& dpm = *cluster_->dpms().front();
  if (!dpm.running()) return;
  count(power ? "power failure" : "dpm kill");
  if (random_.below(2) == 0) {  // in the middle of one of the next turns
    dpm.stop_at_drain(1 + random_.below(kDrainsMax), power);
    return;
  }
  if (power) {
    dpm.fail_power();
  } else {
    dpm.kill();
  }
  at(soon_ns(), Fault::kDpmStart);
  // Recovery does not always get to its end either.
  if (random_.below(4) == 0) dpm.stop_at_drain(1 + random_.below(kDrainsMax), power);
}

/// All clients or one, both ways or one.
void Faults::partition(const KnNode& kn) {
  count("partition");
  const sim::Ip from = ip_of(kn.options().ip);
  const auto& clients = cluster_->clients();
  const sim::Ip to =
      random_.below(2) == 0 ? sim::Ip{} : ip_of(clients[random_.below(clients.size())]->ip());
  const uint64_t ways = random_.below(3);
  environment_->say(kn.name(), ways == 0   ? "partitioned from clients"
                               : ways == 1 ? "not heard by clients"
                                           : "hears no clients");
  for (const auto& [a, b] : {std::pair(from, to), std::pair(to, from)}) {
    if (ways == (a == from ? 2 : 1)) continue;
    environment_->network.block(a, b);
    blocks_.emplace_back(a, b);
    at(soon_ns(), Fault::kPartitionEnd, blocks_.size() - 1);
  }
}

/// The KN is held for dead, rightly or not: it is fenced, its lease waited out, and another process
/// takes its slot and its address. It may live on and not know.
void Faults::take_over(KnNode* kn) {
  const uint16_t slot = kn->options().kn_slot;
  const auto here = [slot](const auto& k) { return k->running() && k->options().kn_slot == slot; };
  // Without a leader nobody would tell another process that waits for the slot to wait the lease
  // of the fenced one out, too. While a lease is waited out the slot is not taken over again: who
  // replaces the first would not wait for the second.
  const bool contended = scenario_.elastic == 0 && std::ranges::count_if(cluster_->kns(), here) > 1;
  if (fencer_.busy() || contended || awaited_.contains(slot)) return;
  const uint64_t lease_ns = scenario_.lease_ms * kMs;
  const uint64_t dead_for_ns = random_.below(4 * lease_ns);
  if (random_.below(3) != 0) {
    environment_->say(kn->name(),
                      "held for dead; paused for " + std::to_string(dead_for_ns / 1000) + " us");
    kn->pause(now_ns() + dead_for_ns);
  }
  fencer_.fence(slot, [this, slot, lease_ns](bool fenced) {
    if (ended_ || !fenced) return;
    count("kn fenced");
    awaited_.insert(slot);
    // Its clock may be slow, this one fast.
    const uint64_t wait_ns = lease_ns + lease_ns / 1'000'000 * 2 * scenario_.drift_ppm + kMs;
    replace_ns_[slot] = now_ns() + wait_ns;
    at(replace_ns_[slot], Fault::kReplace, slot);
  });
}

}  // namespace dinomo::world
