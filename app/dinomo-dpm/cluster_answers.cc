// SPDX-License-Identifier: BSD-3-Clause
#include "app/dinomo-dpm/cluster_answers.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

#include "common/decimal.h"
#include "common/hash.h"
#include "dpm/operator.h"

namespace dinomo::app {

namespace {

using nlohmann::json;

constexpr std::array<const char*, 5> kStates = {"free", "active", "standby", "draining", "fenced"};
constexpr std::array<const char*, 3> kWishes = {"serving", "drained", "removed"};

template <size_t N>
const char* name_in(const std::array<const char*, N>& names, uint32_t value) {
  return value < N ? names[value] : "unknown";
}

json describe_kn(const dpm::KnReport& kn) {
  const pool::KnSlot& line = kn.line;
  const std::string_view name(line.name.data(), ::strnlen(line.name.data(), line.name.size()));
  const bool beats = line.heartbeat_incarnation == line.incarnation;
  return {{"kn_slot", kn.kn_slot},
          {"name", name},
          {"address", line.address},
          {"udp_port", line.udp_port_base},
          {"workers", line.workers},
          {"state", name_in(kStates, line.state)},
          {"incarnation", line.incarnation},
          {"heartbeat", beats ? line.heartbeat : 0},
          {"lease_us", line.lease_us},
          {"weight", line.weight},
          {"wanted", name_in(kWishes, line.wanted)},
          {"leaves", beats && (line.heartbeat_flags & pool::kHeartbeatLeaving) != 0},
          {"settled_ring", beats ? line.ring_version_seen : 0},
          {"partitions", kn.partitions},
          {"moving", kn.moving},
          {"leads", kn.leads}};
}

json answer_report(pool::Space& space, uint64_t from) {
  const dpm::ClusterReport report = dpm::report_cluster(space);
  json kns = json::array();
  bool more = false;
  for (const dpm::KnReport& kn : report.kns) {
    if (kn.kn_slot < from) continue;
    more = kns.size() == kClusterKns;
    if (more) break;
    kns.push_back(describe_kn(kn));
  }
  return {{"ring_version", report.ring.version},
          {"partitions_without_owner", report.orphans},
          {"kn_slots", space.superblock().kn_slots},
          {"kns", std::move(kns)},
          {"more", more}};
}

json answer_ring(pool::Space& space, uint64_t from) {
  if (from >= kPartitions) return nullptr;
  const ring::Ring ring = dpm::report_cluster(space).ring;
  const auto end = static_cast<uint32_t>(std::min<uint64_t>(from + kRingPartitions, kPartitions));
  json owners = json::array();
  json moving = json::array();
  json pinned = json::array();
  for (auto p = static_cast<uint32_t>(from); p < end; ++p) {
    owners.push_back(ring.owner[p]);
    if (ring.moving[p]) moving.push_back(p);
    if (ring.pinned[p]) pinned.push_back(p);
  }
  return {{"ring_version", ring.version},
          {"from", from},
          {"owner", std::move(owners)},
          {"moving", std::move(moving)},
          {"pinned", std::move(pinned)}};
}

json answer_want(pool::Space& space, std::string_view parameter) {
  const size_t colon = parameter.find(':');
  if (colon == std::string_view::npos) return nullptr;
  const std::optional<uint64_t> slot = parse_decimal(parameter.substr(0, colon));
  std::string_view wish = parameter.substr(colon + 1);
  const bool force = wish.ends_with(":force");
  if (force) wish.remove_suffix(std::string_view(":force").size());
  const auto* const found = std::ranges::find(kWishes, wish);
  if (!slot || found == kWishes.end()) return nullptr;
  const auto wanted = static_cast<pool::KnWanted>(found - kWishes.begin());
  const std::string why = dpm::want(space, *slot, wanted, force);
  if (why.empty()) spdlog::info("an operator wants KN slot {} {}", *slot, wish);
  return {{"done", why.empty()}, {"why", why}};
}

json answer_replicated(pool::Space& space, dpm::CellTable& cells, uint64_t from) {
  json keys = json::array();
  const std::vector<dpm::ReplicatedReport> all = dpm::report_replicated(space, cells);
  const uint64_t end = std::min<uint64_t>(from + kReplicatedKeys, all.size());
  for (uint64_t n = from; n < end; ++n) {
    keys.push_back({{"routing_hash", fmt::format("{:016x}", all[n].routing_hash)},
                    {"wanted", all[n].wanted},
                    {"kns_wanted", all[n].kns_wanted},
                    {"kns", all[n].kns}});
  }
  return {{"keys", std::move(keys)}, {"more", end < all.size()}};
}

/// The key and what follows a colon.
struct KeyParameter {
  std::string key;
  uint64_t number = 0;
};

std::optional<KeyParameter> parse_key(std::string_view parameter) {
  KeyParameter parsed;
  const size_t colon = parameter.find(':');
  if (colon != std::string_view::npos) {
    const auto number = parse_decimal(parameter.substr(colon + 1));
    if (!number) return std::nullopt;
    parsed.number = *number;
  }
  const std::string_view hex = parameter.substr(0, colon);
  for (size_t at = 0; at + 1 < hex.size(); at += 2) {
    uint8_t byte = 0;
    const auto [end, error] = std::from_chars(hex.data() + at, hex.data() + at + 2, byte, 16);
    if (error != std::errc() || end != hex.data() + at + 2) return std::nullopt;
    parsed.key += static_cast<char>(byte);
  }
  const bool sound = hex.size() % 2 == 0 && !hex.empty() && parsed.key.size() <= pool::kKeyBytesMax;
  return sound ? std::optional(parsed) : std::nullopt;
}

json answer_replicate(pool::Space& space, dpm::CellTable& cells, std::string_view parameter,
                      bool on) {
  const auto wish = parse_key(parameter);
  if (!wish) return nullptr;
  const Bytes key = as_bytes(wish->key);
  const std::string why =
      on ? dpm::replicate(space, cells, key, wish->number) : dpm::dereplicate(space, cells, key);
  const std::string hash = fmt::format("{:016x}", routing_hash(key));
  if (why.empty()) {
    spdlog::info("an operator wants the key of routing hash {} {}", hash,
                 on ? "replicated" : "no longer replicated");
  }
  return {{"done", why.empty()}, {"why", why}, {"routing_hash", hash}};
}

json answer_pinned(dpm::PinTable& pins, uint64_t from) {
  json runs = json::array();
  const std::vector<dpm::Pin> all = pins.pinned();
  const uint64_t end = std::min<uint64_t>(from + kPinnedRuns, all.size());
  for (uint64_t n = from; n < end; ++n) {
    runs.push_back({{"first", all[n].first}, {"count", all[n].count}, {"kn_slot", all[n].kn_slot}});
  }
  return {{"pins", std::move(runs)}, {"more", end < all.size()}};
}

/// Numbers between colons, as many as are expected.
template <size_t N>
std::optional<std::array<uint64_t, N>> parse_numbers(std::string_view text) {
  std::array<uint64_t, N> numbers{};
  for (size_t i = 0; i < N; ++i) {
    const size_t colon = text.find(':');
    const std::optional<uint64_t> number = parse_decimal(text.substr(0, colon));
    if (!number || (colon == std::string_view::npos) != (i + 1 == N)) return std::nullopt;
    numbers[i] = *number;
    if (i + 1 != N) text.remove_prefix(colon + 1);
  }
  return numbers;
}

json answer_pin(pool::Space& space, dpm::PinTable& pins, std::string_view parameter) {
  const auto n = parse_numbers<3>(parameter);
  if (!n || std::ranges::any_of(*n, [](uint64_t v) { return v > UINT16_MAX; })) return nullptr;
  const auto [first, count, slot] = *n;
  const std::string why = dpm::pin(
      space, pins,
      {static_cast<uint32_t>(first), static_cast<uint32_t>(count), static_cast<uint16_t>(slot)});
  if (why.empty()) {
    spdlog::info("an operator wants {} partitions from {} on at KN slot {}", count, first, slot);
  }
  return {{"done", why.empty()}, {"why", why}};
}

json answer_unpin(dpm::PinTable& pins, std::string_view parameter) {
  const auto n = parse_numbers<2>(parameter);
  if (!n) return nullptr;
  const auto [first, count] = *n;
  const std::string why = dpm::unpin(pins, first, count);
  if (why.empty()) spdlog::info("an operator unpins {} partitions from {} on", count, first);
  return {{"done", why.empty()}, {"why", why}};
}

}  // namespace

const std::vector<TelemetryCommand>& cluster_commands() {
  static const std::vector<TelemetryCommand> commands = {
      {"/dinomo/cluster", "Ring version, leader, KNs. Parameter: first KN slot, or none"},
      {"/dinomo/ring", "Owners of partitions. Parameter: the first one, or none"},
      {"/dinomo/want", "What a KN is to be. Parameter: SLOT:serving, SLOT:drained, SLOT:removed"},
      {"/dinomo/replicated", "Replicated keys. Parameter: the first one, or none"},
      {"/dinomo/replicate", "Has several KNs serve reads of a key. Parameter: hex key[:KNs]"},
      {"/dinomo/dereplicate", "Has one KN serve a key again. Parameter: hex key"},
      {"/dinomo/pinned", "Pinned partitions. Parameter: the first run, or none"},
      {"/dinomo/pin", "Wants partitions at a KN. Parameter: PARTITION:COUNT:SLOT"},
      {"/dinomo/unpin", "Wants partitions anywhere. Parameter: PARTITION:COUNT"},
  };
  return commands;
}

nlohmann::json answer_cluster(pool::Space& space, dpm::Service& service, std::string_view command,
                              std::string_view parameter) {
  dpm::CellTable& cells = service.cells();
  if (command == "/dinomo/replicate") return answer_replicate(space, cells, parameter, true);
  if (command == "/dinomo/dereplicate") return answer_replicate(space, cells, parameter, false);
  if (command == "/dinomo/want") return answer_want(space, parameter);
  if (command == "/dinomo/pin") return answer_pin(space, service.pins(), parameter);
  if (command == "/dinomo/unpin") return answer_unpin(service.pins(), parameter);
  const std::optional<uint64_t> from = parameter.empty() ? 0 : parse_decimal(parameter);
  if (!from) return nullptr;
  if (command == "/dinomo/cluster") return answer_report(space, *from);
  if (command == "/dinomo/ring") return answer_ring(space, *from);
  if (command == "/dinomo/replicated") return answer_replicated(space, cells, *from);
  if (command == "/dinomo/pinned") return answer_pinned(service.pins(), *from);
  return nullptr;
}

}  // namespace dinomo::app
