// SPDX-License-Identifier: BSD-3-Clause
#include "cluster_view.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <thread>

#include "client/address.h"

namespace dinomo::cli {

namespace {

using Steady = std::chrono::steady_clock;

constexpr int kTriesMax = 20;  // for answers that belong together
constexpr auto kBeatLook = std::chrono::milliseconds(50);

Kn kn_of(const nlohmann::json& from) {
  Kn kn;
  kn.kn_slot = from.at("kn_slot");
  kn.name = from.at("name");
  const std::array<uint8_t, 16> address = from.at("address");
  const uint16_t udp_port = from.at("udp_port");
  if (udp_port != 0) kn.address = client::Address{address, udp_port}.text();
  kn.workers = from.at("workers");
  kn.registered = from.at("state");
  kn.active = kn.registered == "active";
  kn.leaves = from.at("leaves");
  kn.wanted = from.at("wanted");
  kn.incarnation = from.at("incarnation");
  kn.weight = from.at("weight");
  kn.heartbeat = from.at("heartbeat");
  kn.lease_us = from.at("lease_us");
  kn.partitions = from.at("partitions");
  kn.moving = from.at("moving");
  kn.leads = from.at("leads");
  return kn;
}

}  // namespace

const char* Kn::state() const {
  if (!active) return registered.c_str();
  if (silent) return "silent";
  if (leaves) return "leaving";
  return partitions != 0 ? "serving" : "idle";
}

Kn Cluster::kn(uint32_t kn_slot) const {
  const auto found = std::ranges::find(kns, kn_slot, &Kn::kn_slot);
  if (found != kns.end()) return *found;
  Kn none;
  none.kn_slot = kn_slot;
  return none;
}

std::optional<Cluster> look(ControlSocket& dpm) {
  Cluster cluster;
  uint32_t from = 0;
  for (;;) {
    const auto page = dpm.ask("/dinomo/cluster", std::to_string(from));
    if (!page.is_object()) return std::nullopt;
    cluster.ring_version = page.at("ring_version");
    cluster.orphans = page.at("partitions_without_owner");
    for (const auto& kn : page.at("kns")) cluster.kns.push_back(kn_of(kn));
    if (!page.at("more").get<bool>()) break;
    from = cluster.kns.back().kn_slot + 1;
  }
  for (const Kn& kn : cluster.kns) {
    if (!kn.leads || !kn.active) continue;
    cluster.led = true;
    cluster.leader = kn.kn_slot;
  }
  return cluster;
}

std::optional<Cluster> look_for_beats(ControlSocket& dpm, uint32_t patience_s) {
  const auto began = Steady::now();
  auto first = look(dpm);
  if (!first) return first;
  for (;;) {
    std::this_thread::sleep_for(kBeatLook);
    auto now = look(dpm);
    if (!now) return now;
    const auto waited = Steady::now() - began;
    bool all = true;
    for (Kn& kn : now->kns) {
      const Kn before = first->kn(kn.kn_slot);
      kn.silent =
          kn.active && kn.heartbeat == before.heartbeat && kn.incarnation == before.incarnation;
      all = all && (!kn.silent || waited > std::chrono::microseconds(kn.lease_us));
    }
    if (all || waited >= std::chrono::seconds(patience_s)) return now;
  }
}

std::optional<std::vector<ReplicatedKey>> look_at_replicated(ControlSocket& dpm) {
  std::vector<ReplicatedKey> keys;
  for (;;) {
    const auto page = dpm.ask("/dinomo/replicated", std::to_string(keys.size()));
    if (!page.is_object()) return std::nullopt;
    for (const auto& key : page.at("keys")) {
      keys.push_back({.routing_hash = key.at("routing_hash"),
                      .wanted = key.at("wanted"),
                      .kns_wanted = key.at("kns_wanted"),
                      .kns = key.at("kns")});
    }
    if (!page.at("more").get<bool>()) return keys;
  }
}

std::optional<std::vector<Pin>> look_at_pins(ControlSocket& dpm) {
  std::vector<Pin> pins;
  for (;;) {
    const auto page = dpm.ask("/dinomo/pinned", std::to_string(pins.size()));
    if (!page.is_object()) return std::nullopt;
    for (const auto& pin : page.at("pins")) {
      pins.push_back(
          {.first = pin.at("first"), .count = pin.at("count"), .kn_slot = pin.at("kn_slot")});
    }
    if (!page.at("more").get<bool>()) return pins;
  }
}

std::optional<RingTable> look_at_ring(ControlSocket& dpm) {
  for (int i = 0; i < kTriesMax; ++i) {
    RingTable ring;
    bool same = true;
    while (same && ring.owner.size() < kPartitionsInRing) {
      const auto page = dpm.ask("/dinomo/ring", std::to_string(ring.owner.size()));
      if (!page.is_object()) return std::nullopt;
      same = ring.owner.empty() || page.at("ring_version") == ring.version;
      ring.version = page.at("ring_version");
      for (const auto& owner : page.at("owner")) ring.owner.push_back(owner);
      for (const auto& p : page.at("moving")) ring.moving.push_back(p);
      for (const auto& p : page.at("pinned")) ring.pinned.push_back(p);
    }
    if (same) return ring;
  }
  return std::nullopt;
}

}  // namespace dinomo::cli
