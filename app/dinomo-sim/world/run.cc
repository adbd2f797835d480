// SPDX-License-Identifier: BSD-3-Clause
#include "world/run.h"

#include <fmt/format.h>

#include <algorithm>

#include "sim/checker.h"
#include "world/audit.h"
#include "world/checks.h"
#include "world/cluster.h"

namespace dinomo::world {

namespace {

constexpr uint64_t kMs = 1'000'000;
constexpr uint64_t kProgressMs = 30'000;

sim::History all_histories(Cluster* cluster) {
  sim::History all;
  for (const auto& c : cluster->clients()) {
    all.insert(all.end(), c->history().begin(), c->history().end());
  }
  return all;
}

/// The pool holds what the clients read, and it is sound.
std::string check_pool(Cluster* cluster, uint64_t read_from_ns) {
  const sim::History all = all_histories(cluster);
  sim::History read;
  std::ranges::copy_if(all, std::back_inserter(read), [=](const sim::Operation& o) {
    return o.opcode == wire::Opcode::kGet && o.invoke_ns >= read_from_ns;
  });
  return audit_image(cluster->dpms().front().get(), read, all);
}

/// After the faults every key can be read: "eventually" has a bound.
std::string check_progress(Cluster* cluster) {
  ClientNode& reader = *cluster->clients().front();
  const uint64_t given_up = reader.given_up();
  const uint64_t from_ns = cluster->environment().loop.now_ns();
  reader.read_all();
  if (!cluster->run_until([&] { return reader.finished(); }, kProgressMs * kMs)) {
    return fmt::format("no progress: {} reads unanswered {} ms after the last fault",
                       reader.in_flight(), kProgressMs);
  }
  if (reader.given_up() != given_up) {
    return fmt::format("no progress: {} reads given up after the last fault",
                       reader.given_up() - given_up);
  }
  return check_pool(cluster, from_ns);
}

/// With every key deleted and every log merged, the pool holds nothing.
std::string check_leaks(Cluster* cluster, const Scenario& scenario) {
  ClientNode& client = *cluster->clients().front();
  // An item that has expired is NOT_FOUND for DELETE, and stays in the index until it is replaced.
  client.overwrite_all();
  if (!cluster->run_until([&] { return client.finished(); }, kProgressMs * kMs)) {
    return "no progress: writes stay unanswered after the last fault";
  }
  client.delete_all();
  if (!cluster->run_until([&] { return client.finished(); }, kProgressMs * kMs)) {
    return "no progress: deletes stay unanswered after the last fault";
  }
  const auto settled = [&] {
    dpm::Service& dpm = cluster->dpms().front()->service();
    const dpm::ServiceStats s = dpm.stats();
    const bool drained = s.segments.free + s.segments.open == s.segments.total;
    return s.items == 0 && s.lag_entries == 0 && drained;
  };
  if (cluster->run_until(settled, (2000 + 4 * scenario.reclaim_grace_ms) * kMs)) {
    return audit_image(cluster->dpms().front().get(), {}, {});
  }
  if (!cluster->broken().empty()) return cluster->broken();
  const dpm::ServiceStats s = cluster->dpms().front()->service().stats();
  return fmt::format(
      "leak: everything was deleted, but {} items, {} unmerged entries; segments: {} in all, {} "
      "free, {} open, {} merged, {} live bytes",
      s.items, s.lag_entries, s.segments.total, s.segments.free, s.segments.open, s.segments.merged,
      s.segments.live_bytes);
}

sim::CheckOptions check_options(const Scenario& s, uint64_t virtual_ns) {
  sim::CheckOptions o;
  // Each clock may be off by skew and drift in either direction.
  o.model.clock_skew_ns =
      2 * (s.unix_skew_ms * kMs + virtual_ns / 1'000'000 * s.drift_ppm) + 2 * kMs;
  o.configurations_max = s.exactly_once != 0 ? 200'000 : 3'000;
  return o;
}

std::string check_history(const Scenario& scenario, RunReport* all) {
  RunReport& report = *all;
  const sim::CheckReport r =
      sim::check_linearizable(report.history, check_options(scenario, report.virtual_ns));
  switch (r.verdict) {
    case sim::Verdict::kLinearizable: return {};
    case sim::Verdict::kUndecided:
      ++report.coverage["history undecided"];
      if (scenario.exactly_once == 0) return {};  // too many ways to count
      return fmt::format("undecided: key {}: {}", r.key, r.explanation);
    case sim::Verdict::kNotLinearizable: break;
  }
  return fmt::format("not linearizable: key {}: {}", r.key, r.explanation);
}

/// Nothing that makes a read take more than its table says.
bool is_calm(const Scenario& s) {
  return s.index_buckets >= 4 * s.keys &&
         std::ranges::all_of(knobs(), [&](const Knob& k) { return !k.fault || s.*k.value == 0; });
}

std::string judge(Cluster* cluster, const Scenario& scenario, RunReport* report) {
  if (!cluster->run_until([&] { return cluster->clients_finished(); }, scenario.limit_ms * kMs)) {
    if (!cluster->broken().empty()) return cluster->broken();
    return "no end: a client's requests outlive their deadlines";
  }
  cluster->heal();
  if (!cluster->broken().empty()) return cluster->broken();
  std::string failure = check_progress(cluster);
  report->virtual_ns = cluster->environment().loop.now_ns();
  if (failure.empty()) failure = check_leaks(cluster, scenario);
  if (failure.empty() && !cluster->run_until([&] { return idle(cluster); }, kProgressMs * kMs)) {
    failure = "a worker keeps something waiting for ever";
  }
  if (failure.empty()) failure = check_round_trips(cluster, is_calm(scenario));
  if (failure.empty() && scenario.duplicate_ppm == 0 && cluster->forger().amplified()) {
    failure = "replies to somebody without a cookie are larger than its requests";
  }
  for (const auto& c : cluster->clients()) {
    report->operations += c->answered();
    report->given_up += c->given_up();
  }
  report->history = all_histories(cluster);
  // What clients saw says most, and so comes first.
  for (const std::string& wrong :
       {check_history(scenario, report), check_no_internal(report->history),
        check_versions(*cluster, report->history)}) {
    if (!wrong.empty()) return wrong;
  }
  return failure;
}

}  // namespace

RunReport run_scenario(const Scenario& scenario, uint64_t seed, const Trace& trace) {
  RunReport report;
  Environment environment(seed);
  environment.trace = trace;
  Cluster cluster(scenario, seed, &environment);
  report.failure = judge(&cluster, scenario, &report);
  report.passed = report.failure.empty();
  report.coverage.merge(cluster.coverage());
  report.trace_hash = environment.loop.trace_hash();
  report.events = environment.loop.events();
  return report;
}

}  // namespace dinomo::world
