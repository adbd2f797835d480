// SPDX-License-Identifier: BSD-3-Clause
#include "app/dinomo-dpm/cluster_answers.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "common/decimal.h"
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
  for (auto p = static_cast<uint32_t>(from); p < end; ++p) {
    owners.push_back(ring.owner[p]);
    if (ring.moving[p]) moving.push_back(p);
  }
  return {{"ring_version", ring.version},
          {"from", from},
          {"owner", std::move(owners)},
          {"moving", std::move(moving)}};
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

}  // namespace

const std::vector<TelemetryCommand>& cluster_commands() {
  static const std::vector<TelemetryCommand> commands = {
      {"/dinomo/cluster", "Ring version, leader, KNs. Parameter: first KN slot, or none"},
      {"/dinomo/ring", "Owners of partitions. Parameter: the first one, or none"},
      {"/dinomo/want", "What a KN is to be. Parameter: SLOT:serving, SLOT:drained, SLOT:removed"},
  };
  return commands;
}

nlohmann::json answer_cluster(pool::Space& space, std::string_view command,
                              std::string_view parameter) {
  if (command == "/dinomo/want") return answer_want(space, parameter);
  const std::optional<uint64_t> from = parameter.empty() ? 0 : parse_decimal(parameter);
  if (!from) return nullptr;
  if (command == "/dinomo/cluster") return answer_report(space, *from);
  if (command == "/dinomo/ring") return answer_ring(space, *from);
  return nullptr;
}

}  // namespace dinomo::app
