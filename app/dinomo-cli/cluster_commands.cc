// SPDX-License-Identifier: BSD-3-Clause
#include "cluster_commands.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <map>
#include <thread>

#include "cluster_view.h"

namespace dinomo::cli {

namespace {

using Steady = std::chrono::steady_clock;

/// What is to become of a slot, and how to see that it has.
struct Wish {
  const char* name;  // as the DPM knows it
  const char* done;  // for people
  bool (*reached)(const Kn&);
};

constexpr Wish kDrained = {"drained", "owns no partition",
                           [](const Kn& kn) { return kn.partitions == 0; }};
constexpr Wish kRemoved = {"removed", "owns no partition, and its process has ended",
                           [](const Kn& kn) { return kn.partitions == 0 && !kn.active; }};
constexpr Wish kServing = {"serving", "owns partitions", [](const Kn& kn) {
                             return kn.active && kn.partitions != 0 && kn.moving == 0;
                           }};

std::string waits_for(const Cluster& cluster, const Kn& kn, const Wish& wish) {
  const bool in = &wish == &kServing;
  if (in && !kn.active) return fmt::format("a dinomo-kn with --kn-slot {}", kn.kn_slot);
  if (!cluster.led) return "a KN that leads";
  if (kn.moving != 0) {
    return fmt::format("KN slot {} to have merged what it wrote to {} partitions", kn.kn_slot,
                       kn.moving);
  }
  if (in) return "the leader to move partitions to it";
  if (kn.partitions == 0) return fmt::format("the process of KN slot {} to end", kn.kn_slot);
  return fmt::format("the leader to give its {} partitions to others", kn.partitions);
}

int tell_done(const Settings& s, const Kn& kn, const Wish& wish, Steady::duration waited) {
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(waited).count();
  if (s.json_output) {
    std::cout << json{{"status", "ok"},
                      {"kn_slot", kn.kn_slot},
                      {"wanted", wish.name},
                      {"partitions", kn.partitions},
                      {"waited_ms", ms}}
                     .dump()
              << '\n';
  } else {
    std::cout << fmt::format("KN slot {} {} ({} ms)\n", kn.kn_slot, wish.done, ms);
  }
  return kOk;
}

/// A KN that is to be drained goes on serving as long as nobody else could: waiting does not help
/// then.
bool is_last(const Cluster& cluster, const Kn& drained) {
  return drained.active && std::ranges::none_of(cluster.kns, [&](const Kn& kn) {
           return kn.kn_slot != drained.kn_slot && kn.active && !kn.leaves &&
                  kn.wanted == "serving";
         });
}

/// Looks until the wish has come true; says what it waits for whenever that changes.
int wait_until(const Settings& s, ControlSocket& dpm, const Wish& wish) {
  const auto began = Steady::now();
  std::string said;
  for (;;) {
    const auto cluster = look(dpm);
    if (!cluster) return no_answer();
    const Kn kn = cluster->kn(s.kn_slot);
    if (wish.reached(kn)) return tell_done(s, kn, wish, Steady::now() - began);
    if (&wish == &kDrained && is_last(*cluster, kn)) {
      return complain(
          kUnreachable,
          fmt::format("KN slot {} goes on serving {} partitions, since no other KN takes any. The "
                      "wish is written down: they move when another KN starts or is let in "
                      "(cluster add); `cluster undrain {}` takes it back",
                      kn.kn_slot, kn.partitions, kn.kn_slot));
    }
    const std::string waits = waits_for(*cluster, kn, wish);
    if (Steady::now() - began >= std::chrono::seconds(s.wait_s)) {
      return still_waits(s, waits);
    }
    if (waits != said) std::cerr << "waiting for " << waits << '\n';
    said = waits;
    std::this_thread::sleep_for(kLookEvery);
  }
}

int ask_for(const Settings& s, const Wish& wish) {
  ControlSocket dpm;
  if (const int status = dpm.open(s.control); status != kOk) return status;
  const auto answer = dpm.ask(
      "/dinomo/want", fmt::format("{}:{}{}", s.kn_slot, wish.name, s.force ? ":force" : ""));
  if (!answer.is_object()) return no_answer();
  if (!answer.value("done", false)) return complain(kRefused, answer.value("why", "refused"));
  return wait_until(s, dpm, wish);
}

json describe(const Kn& kn) {
  return {{"kn_slot", kn.kn_slot},         {"name", kn.name},     {"address", kn.address},
          {"workers", kn.workers},         {"state", kn.state()}, {"wanted", kn.wanted},
          {"incarnation", kn.incarnation}, {"weight", kn.weight}, {"leads", kn.leads},
          {"partitions", kn.partitions},   {"moving", kn.moving}};
}

void print_status(const Cluster& c) {
  std::cout << fmt::format("ring version {}, {}\n\n", c.ring_version,
                           c.led ? fmt::format("led by KN slot {}", c.leader) : "no leader");
  std::cout << fmt::format("  {:>4}  {:<16} {:<24} {:>7}  {:<9} {:<8} {:>10} {:>6} {:>7}\n", "KN",
                           "name", "address", "workers", "state", "wanted", "partitions", "moving",
                           "share");
  for (const Kn& kn : c.kns) {
    std::cout << fmt::format("  {:>4}  {:<16} {:<24} {:>7}  {:<9} {:<8} {:>10} {:>6} {:>6.1f}%{}\n",
                             kn.kn_slot, kn.name, kn.address, kn.workers, kn.state(), kn.wanted,
                             kn.partitions, kn.moving, kn.partitions * 100.0 / kPartitionsInRing,
                             kn.leads ? "  leads" : "");
  }
  if (c.orphans != 0) std::cout << fmt::format("\n  {} partitions have no owner\n", c.orphans);
}

}  // namespace

int no_answer() {
  return complain(kUnreachable, "dinomo-dpm does not answer: is it still starting, or stopping?");
}

int still_waits(const Settings& s, const std::string& for_what) {
  return complain(kUnreachable,
                  fmt::format("after {} s it still waits for {}. What was asked for stays written "
                              "down; ask again to go on waiting",
                              s.wait_s, for_what));
}

int run_cluster_status(const Settings& s) {
  ControlSocket dpm;
  if (const int status = dpm.open(s.control); status != kOk) return status;
  const auto cluster = look_for_beats(dpm, s.wait_s);
  if (!cluster) return no_answer();
  if (!s.json_output) {
    print_status(*cluster);
    return kOk;
  }
  json kns = json::array();
  for (const Kn& kn : cluster->kns) kns.push_back(describe(kn));
  json out = {{"status", "ok"},
              {"ring_version", cluster->ring_version},
              {"leader", nullptr},
              {"partitions_without_owner", cluster->orphans},
              {"kns", std::move(kns)}};
  if (cluster->led) out["leader"] = cluster->leader;
  std::cout << out.dump() << '\n';
  return kOk;
}

int run_cluster_leader(const Settings& s) {
  ControlSocket dpm;
  if (const int status = dpm.open(s.control); status != kOk) return status;
  const auto cluster = look(dpm);
  if (!cluster) return no_answer();
  if (!cluster->led) return complain(kNotFound, "no KN leads now");
  const Kn kn = cluster->kn(cluster->leader);
  if (s.json_output) {
    std::cout << json{{"status", "ok"}, {"leader", describe(kn)}}.dump() << '\n';
  } else {
    std::cout << fmt::format("KN slot {} ({}, {}), incarnation {}\n", kn.kn_slot, kn.name,
                             kn.address, kn.incarnation);
  }
  return kOk;
}

int run_cluster_ring(const Settings& s) {
  ControlSocket dpm;
  if (const int status = dpm.open(s.control); status != kOk) return status;
  const auto ring = look_at_ring(dpm);
  if (!ring) return no_answer();
  if (s.json_output) {
    std::cout << json{{"status", "ok"},
                      {"ring_version", ring->version},
                      {"owner", ring->owner},
                      {"moving", ring->moving},
                      {"pinned", ring->pinned}}
                     .dump()
              << '\n';
    return kOk;
  }
  std::cout << fmt::format("ring version {}, {} partitions moving\n", ring->version,
                           ring->moving.size());
  std::map<uint16_t, std::string> of;  // runs of partitions, by owner
  for (size_t first = 0; first < ring->owner.size();) {
    size_t end = first + 1;
    while (end < ring->owner.size() && ring->owner[end] == ring->owner[first]) ++end;
    std::string& runs = of[ring->owner[first]];
    if (!runs.empty()) runs += ' ';
    runs += end - first == 1 ? fmt::format("{}", first) : fmt::format("{}-{}", first, end - 1);
    first = end;
  }
  for (const auto& [owner, runs] : of) {
    std::cout << (owner == kNobody ? std::string("nobody") : fmt::format("KN slot {}", owner))
              << ": " << runs << '\n';
  }
  return kOk;
}

int run_cluster_drain(const Settings& s) { return ask_for(s, kDrained); }
int run_cluster_add(const Settings& s) { return ask_for(s, kServing); }
int run_cluster_remove(const Settings& s) { return ask_for(s, kRemoved); }

}  // namespace dinomo::cli
