// SPDX-License-Identifier: BSD-3-Clause
#include "app/dinomo-eval/point.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <optional>

#include "app/dinomo-eval/clover/cluster.h"
#include "app/dinomo-eval/dinomo/cluster.h"
#include "app/dinomo-eval/load.h"
#include "app/dinomo-eval/setup.h"
#include "world/environment.h"

namespace dinomo::eval {

namespace {

using nlohmann::ordered_json;

constexpr uint64_t kMib = uint64_t{1} << 20;
constexpr uint64_t kLimitNs = 600'000'000'000;  // of virtual time
// What clients have in flight gathers at the busiest thread, where nearly all of it waits in the
// end; that takes as many operations as are in flight over its share of them (a tenth or so).
constexpr uint64_t kSettling = 12;
constexpr uint64_t kCloverPointers = uint64_t{1} << 26;  // 1 GiB of 16 B: its cache, unscaled

constexpr const char* kNames[] = {"dinomo", "dinomo-s", "dinomo-v", clover::kPublished.name,
                                  clover::kUpstream.name};

std::optional<cache::Policy> policy_of(const std::string& engine) {
  if (engine == "dinomo") return cache::Policy::kDac;
  if (engine == "dinomo-s") return cache::Policy::kShortcutOnly;
  if (engine == "dinomo-v") return cache::Policy::kValueOnly;
  return std::nullopt;
}

double share(uint64_t part, uint64_t whole) {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

/// Of the time in which operations were counted.
struct Used {
  uint64_t fabric_bytes = 0;
  uint64_t kn_busy_ns = 0;
  uint64_t ms_busy_ns = 0;
  uint64_t ms_workers = 0;
};

class Run {
 public:
  Run(const Calibration& calibration, const Point& point)
      : c_(calibration),
        point_(point),
        environment_(point.seed),
        load_(&environment_.loop, load()) {
    environment_.fabric.set_faults(fabric_of(c_));
  }

  Status run_dinomo(cache::Policy policy, ordered_json* result, std::string* why);
  Status run_clover(const clover::Variant& variant, ordered_json* result, std::string* why);

 private:
  LoadConfig load() const {
    LoadConfig l;
    l.keys = c_.scaled_keys();
    l.zipf = static_cast<double>(c_.zipf_percent) / 100;
    l.read_percent = point_.read_percent;
    l.load_keys = policy_of(point_.engine).has_value();
    l.warm = l.keys * c_.warm_per_key;
    l.counted = l.keys * c_.counted_per_key;
    l.seed = point_.seed;
    return l;
  }
  Status to_the_end(std::string* why) {
    while (!load_.finished()) {
      if (!environment_.loop.step(kLimitNs)) {
        *why = "the operations did not end";
        return Status::kInternal;
      }
    }
    if (load_.failed() == 0) return Status::kOk;
    *why = fmt::format("{} operations failed, the first with {}", load_.failed(),
                       status_name(load_.first_failure()));
    return Status::kInternal;
  }
  ordered_json common(const Used& used) const;

  const Calibration& c_;
  const Point& point_;
  world::Environment environment_;
  Load load_;
};

ordered_json Run::common(const Used& used) const {
  const uint64_t ns = load_.counted_ns();
  const Tally& t = load_.counted();
  const double us = static_cast<double>(ns) / 1000;
  ordered_json j;
  j["engine"] = point_.engine;
  j["kns"] = point_.kns;
  j["read_percent"] = point_.read_percent;
  j["operations"] = t.operations;
  j["virtual_us"] = us;
  j["mops_per_s"] = static_cast<double>(t.operations) / us;
  // Both directions; of a full duplex card each of them may be used whole.
  const uint64_t card = static_cast<uint64_t>(us * static_cast<double>(c_.bytes_per_us));
  j["dpm_bytes_per_op"] = share(used.fabric_bytes, t.operations);
  j["dpm_bandwidth_used"] = share(used.fabric_bytes, card);
  j["kn_cpu_used"] = share(used.kn_busy_ns, ns * point_.kns * c_.kn_threads);
  if (used.ms_workers != 0) j["ms_cpu_used"] = share(used.ms_busy_ns, ns * used.ms_workers);
  return j;
}

KnCounts since(const KnCounts& now, const KnCounts& was) noexcept {
  return {.gets = now.gets - was.gets,
          .puts = now.puts - was.puts,
          .value_hits = now.value_hits - was.value_hits,
          .shortcut_hits = now.shortcut_hits - was.shortcut_hits,
          .unmerged_hits = now.unmerged_hits - was.unmerged_hits,
          .misses = now.misses - was.misses,
          .absent = now.absent - was.absent,
          .joined = now.joined - was.joined,
          .shared = now.shared - was.shared,
          .elsewhere = now.elsewhere - was.elsewhere,
          .read_rts = now.read_rts - was.read_rts,
          .commits = now.commits - was.commits,
          .cell_writes = now.cell_writes - was.cell_writes,
          .refused = now.refused - was.refused,
          .bytes = now.bytes - was.bytes};
}

Status Run::run_dinomo(cache::Policy policy, ordered_json* result, std::string* why) {
  if (c_.scaled_keys() * c_.warm_per_key < kSettling * c_.depth) {
    *why = fmt::format(
        "{} operations in flight have not settled before they are counted: a larger "
        "warm_per_key, or a smaller scale",
        c_.depth);
    return Status::kInvalid;
  }
  DinomoCluster cluster(&environment_, c_,
                        {.kns = point_.kns, .policy = policy, .seed = point_.seed});
  *why = cluster.broken();
  if (!why->empty()) return Status::kInvalid;
  cluster.add_clients(&load_);
  KnCounts was;
  std::vector<uint64_t> busy_ns;
  uint64_t merged = 0;
  load_.on_counting = [&] {
    was = cluster.counts();
    busy_ns = cluster.busy_ns();
    merged = cluster.dpm().merged_entries;
  };
  const Status status = to_the_end(why);
  if (!ok(status)) return status;
  const KnCounts n = since(cluster.counts(), was);
  const std::vector<uint64_t> busy_now_ns = cluster.busy_ns();
  for (size_t w = 0; w < busy_ns.size(); ++w) busy_ns[w] = busy_now_ns[w] - busy_ns[w];
  ordered_json j =
      common({.fabric_bytes = n.bytes,
              .kn_busy_ns = std::accumulate(busy_ns.begin(), busy_ns.end(), uint64_t{0})});
  j["busiest_thread_used"] = share(std::ranges::max(busy_ns), load_.counted_ns());
  j["rts_per_op"] = share(n.read_rts + n.commits + n.cell_writes, n.gets + n.puts);
  j["rts_per_get"] = share(n.read_rts, n.gets);
  j["entries_per_commit"] = share(n.puts, n.commits);
  j["rts_per_put"] = share(n.commits + n.cell_writes, n.puts);
  j["refused"] = n.refused;
  j["gets"] = {{"value", share(n.value_hits, n.gets)},
               {"joined", share(n.joined, n.gets)},
               {"shortcut", share(n.shortcut_hits, n.gets)},
               {"unmerged", share(n.unmerged_hits, n.gets)},
               {"miss", share(n.misses, n.gets)},
               {"shared", share(n.shared, n.gets)},
               {"elsewhere", share(n.elsewhere, n.gets)}};
  const dpm::ServiceStats dpm = cluster.dpm();
  j["merge_cpu_used"] = share((dpm.merged_entries - merged) * c_.cpu(c_.merge_ns),
                              load_.counted_ns() * c_.dpm_threads);
  j["compacted_entries"] = dpm.compacted_entries;
  *result = std::move(j);
  return Status::kOk;
}

uint64_t bytes_of(clover::Cluster* cluster, uint32_t threads) {
  uint64_t all = 0;
  for (const auto& kn : cluster->kns()) {
    for (uint32_t t = 0; t < threads; ++t) {
      for (const auto& purpose : kn->verbs(t).by_purpose) all += purpose.bytes;
    }
  }
  return all;
}

Status Run::run_clover(const clover::Variant& variant, ordered_json* result, std::string* why) {
  clover::ClusterConfig config;
  config.variant = variant;
  config.variant.kn.threads = static_cast<uint32_t>(c_.kn_threads);
  config.kns = point_.kns;
  config.keys = c_.scaled_keys();
  config.buffers = c_.clover_pool_mib * kMib / c_.scale / clover::kBufferBytes;
  config.kn = {.get_ns = c_.cpu(c_.datagram_ns + c_.get_shortcut_ns),
               .put_ns = c_.cpu(c_.datagram_ns + c_.put_ns),
               .verb_ns = c_.cpu(c_.post_ns),
               .idle_sleep_ns = c_.idle_sleep_ns};
  config.ms = {.query_ns = c_.ms_query_ns,
               .alloc_ns = c_.ms_alloc_ns,
               .gc_entry_ns = c_.ms_gc_entry_ns,
               .call_ns = c_.ms_call_ns,
               .recycle_ns = c_.ms_recycle_ns,
               .gc_sleep_ns = c_.ms_gc_sleep_ns};
  config.seed = point_.seed;
  if (config.keys > kCloverPointers / c_.scale || config.keys + 1 >= config.buffers) {
    *why = "Clover has not room for so many keys: fewer keys, or a larger clover_pool_mib";
    return Status::kInvalid;
  }
  clover::Cluster cluster(&environment_.loop, config);
  std::vector<Step> clients;
  for (const auto& kn : cluster.kns()) {
    for (const auto& session : kn->sessions()) clients.push_back(drive(session.get(), &load_));
  }
  for (Step& client : clients) client.start();
  const auto busy_ns = [&] {
    uint64_t all = 0;
    for (const auto& kn : cluster.kns()) all += kn->busy_ns();
    return all;
  };
  Used was;
  clover::MsCounters ms_was;
  load_.on_counting = [&] {
    was.fabric_bytes = bytes_of(&cluster, config.variant.kn.threads);
    was.kn_busy_ns = busy_ns();
    ms_was = cluster.ms().counters();
  };
  const Status status = to_the_end(why);
  if (!ok(status)) return status;
  const clover::MsCounters ms = cluster.ms().counters();
  ordered_json j =
      common({.fabric_bytes = bytes_of(&cluster, config.variant.kn.threads) - was.fabric_bytes,
              .kn_busy_ns = busy_ns() - was.kn_busy_ns,
              .ms_busy_ns = ms.busy_ns - ms_was.busy_ns,
              .ms_workers = variant.ms_workers});
  const Tally& t = load_.counted();
  const uint64_t puts = t.answered(Answer::kPut);
  const uint64_t gets = t.operations - puts;
  const uint64_t rts = t.round_trips_of_all();
  const uint64_t put_rts = t.round_trips_of(Answer::kPut);
  j["rts_per_op"] = share(rts, t.operations);
  j["rts_per_get"] = share(rts - put_rts, gets);
  j["rts_per_put"] = share(put_rts, puts);
  j["calls_per_op"] = share(t.calls, t.operations);
  j["gets"] = {{"fresh", share(t.answered(Answer::kFresh), gets)},
               {"stale", share(t.answered(Answer::kStale), gets)},
               {"cold", share(t.answered(Answer::kCold), gets)}};
  uint64_t backlog = 0;
  for (const auto& kn : cluster.kns()) backlog += kn->gc_backlog();
  j["gc_backlog"] = backlog;
  *result = std::move(j);
  return Status::kOk;
}

}  // namespace

std::span<const char* const> engine_names() noexcept { return kNames; }

Status run_point(const Calibration& calibration, const Point& point, ordered_json* result,
                 std::string* why) {
  const auto known = [&](const char* name) { return point.engine == name; };
  if (std::ranges::none_of(kNames, known)) {
    *why = fmt::format("there is no engine '{}': give one of {}", point.engine,
                       fmt::join(kNames, ", "));
    return Status::kInvalid;
  }
  Run run(calibration, point);
  if (const auto policy = policy_of(point.engine)) return run.run_dinomo(*policy, result, why);
  const bool upstream = point.engine == clover::kUpstream.name;
  return run.run_clover(upstream ? clover::kUpstream : clover::kPublished, result, why);
}

}  // namespace dinomo::eval
