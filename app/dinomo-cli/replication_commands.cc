// SPDX-License-Identifier: BSD-3-Clause
// `dinomo-cli cluster replicate|dereplicate|replicated`.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <iostream>
#include <thread>

#include "cluster_commands.h"
#include "cluster_view.h"
#include "wire/format.h"

namespace dinomo::cli {

namespace {

using Steady = std::chrono::steady_clock;

/// As the ring has it; one that is not there is neither wanted nor listed.
std::optional<ReplicatedKey> find(ControlSocket& dpm, const std::string& routing_hash) {
  const auto keys = look_at_replicated(dpm);
  if (!keys) return std::nullopt;
  const auto found = std::ranges::find(*keys, routing_hash, &ReplicatedKey::routing_hash);
  if (found != keys->end()) return *found;
  ReplicatedKey none;
  none.routing_hash = routing_hash;
  return none;
}

std::string kns_text(const ReplicatedKey& key) {
  return key.kns.empty() ? "none yet" : fmt::format("{}", fmt::join(key.kns, ","));
}

json describe(const ReplicatedKey& key) {
  return {{"routing_hash", key.routing_hash},
          {"wanted", key.wanted},
          {"kns_wanted", key.kns_wanted},
          {"kns", key.kns}};
}

int tell_done(const Settings& s, const ReplicatedKey& key, Steady::duration waited) {
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(waited).count();
  if (s.json_output) {
    json out = {{"status", "ok"}, {"key", describe(key)}, {"waited_ms", ms}};
    std::cout << out.dump() << '\n';
  } else if (key.kns.empty()) {
    std::cout << fmt::format("served by the owner of its partition alone ({} ms)\n", ms);
  } else {
    std::cout << fmt::format("reads are served by KN slots {} ({} ms)\n", kns_text(key), ms);
  }
  return kOk;
}

/// Looks until the ring says what was asked for.
int ask_for(const Settings& s, const char* command, const std::string& parameter,
            const std::function<bool(const ReplicatedKey&, const Cluster&)>& reached) {
  ControlSocket dpm;
  if (const int status = dpm.open(s.control); status != kOk) return status;
  const auto answer = dpm.ask(command, parameter);
  if (!answer.is_object()) return no_answer();
  if (!answer.value("done", false)) return complain(kRefused, answer.value("why", "refused"));
  const auto began = Steady::now();
  bool said = false;
  for (;;) {
    const auto cluster = look(dpm);
    const auto key = find(dpm, answer.value("routing_hash", ""));
    if (!cluster || !key) return no_answer();
    const auto waited = Steady::now() - began;
    if (reached(*key, *cluster)) return tell_done(s, *key, waited);
    const char* const waits = cluster->led ? "the leader to change the ring"
                                           : "a KN that leads; a ring that is fixed has none";
    if (waited >= std::chrono::seconds(s.wait_s)) {
      return still_waits(s, waits);
    }
    if (!said) std::cerr << "waiting for " << waits << '\n';
    said = true;
    std::this_thread::sleep_for(kLookEvery);
  }
}

}  // namespace

int run_cluster_replicate(const Settings& s) {
  const auto reached = [&](const ReplicatedKey& key, const Cluster& cluster) {
    const auto serving = static_cast<uint64_t>(std::ranges::count_if(
        cluster.kns, [](const Kn& kn) { return kn.active && kn.partitions != 0; }));
    const uint64_t wanted = s.kns_wanted == 0 ? serving : std::min<uint64_t>(s.kns_wanted, serving);
    return !key.kns.empty() && key.kns.size() >= std::min<uint64_t>(wanted, wire::kReplicasMax);
  };
  return ask_for(s, "/dinomo/replicate", fmt::format("{}:{}", to_hex(s.key), s.kns_wanted),
                 reached);
}

int run_cluster_dereplicate(const Settings& s) {
  const auto reached = [](const ReplicatedKey& key, const Cluster&) {
    return !key.wanted && key.kns.empty();
  };
  return ask_for(s, "/dinomo/dereplicate", to_hex(s.key), reached);
}

int run_cluster_replicated(const Settings& s) {
  ControlSocket dpm;
  if (const int status = dpm.open(s.control); status != kOk) return status;
  const auto keys = look_at_replicated(dpm);
  if (!keys) return no_answer();
  if (s.json_output) {
    json all = json::array();
    for (const ReplicatedKey& key : *keys) all.push_back(describe(key));
    std::cout << json{{"status", "ok"}, {"keys", std::move(all)}}.dump() << '\n';
    return kOk;
  }
  if (keys->empty()) std::cout << "no key is replicated\n";
  for (const ReplicatedKey& key : *keys) {
    std::cout << fmt::format("routing hash {}: read at KN slots {}{}\n", key.routing_hash,
                             kns_text(key), key.wanted ? "" : ", not for long any more");
  }
  return kOk;
}

}  // namespace dinomo::cli
