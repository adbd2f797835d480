// SPDX-License-Identifier: BSD-3-Clause
#include "app/dinomo-kn/kn_telemetry.h"

#include <algorithm>

#include "app/common/log.h"
#include "common/decimal.h"

namespace dinomo::app {

namespace {

using nlohmann::json;
using telemetry::Kind;
using telemetry::Unit;

constexpr size_t kSlowShown = 32;

json purposes(kn::Workers workers, const kn::PurposeMetric& m) {
  json values = json::object();
  for (size_t p = 0; p < fabric::kPurposes; ++p) {
    const auto purpose = static_cast<fabric::Purpose>(p);
    values[fabric::purpose_name(purpose)] = m.value(workers, purpose);
  }
  return values;
}

std::string address_of(const KnOptions& o) {
  const std::string& with_bits = o.ip.empty() ? o.ip6 : o.ip;
  return with_bits.substr(0, with_bits.find('/')) + " port " + std::to_string(o.udp_port);
}

/// For people and tools that ask once; what changes is in the figures.
json describe(const ingress::Capabilities& port) {
  return {{"name", port.port},
          {"device", port.device},
          {"mtu", port.mtu},
          {"rx_queues", port.rx_queues},
          {"tx_queues", port.tx_queues},
          {"steering", ingress::steering_name(port.steering)},
          {"steering_why", port.steering_why},
          {"idle_wait", ingress::wait_method_name(port.wait)},
          {"checksums", port.tx_checksum_offload ? "port" : "software"},
          {"scattered_tx", port.scattered_tx ? 1 : 0}};
}

static_assert(static_cast<int>(ingress::Steering::kSingle) == 0 &&
              static_cast<int>(ingress::Steering::kHardware) == 1 &&
              static_cast<int>(ingress::Steering::kRss) == 2 &&
              static_cast<int>(ingress::Steering::kSoftware) == 3);  // as the row below says

constexpr std::array<telemetry::Metric, kKnFacts> kFactMetrics = {{
    {"", "uptime_ms", Kind::kGauge, Unit::kMs, "time since the start"},
    {"", "workers", Kind::kGauge, Unit::kNone, "worker lcores"},
    {"", "serving", Kind::kGauge, Unit::kNone, "1: registered with the DPM and serving"},
    {"", "ready", Kind::kGauge, Unit::kNone, "1: serving, lease valid, cache warm"},
    {"", "kn_slot", Kind::kGauge, Unit::kNone, "slot in the directory"},
    {"", "ring_version", Kind::kGauge, Unit::kNone, "version of the ring in force, 0 none"},
    {"", "lease_left_us", Kind::kGauge, Unit::kUs, "what is left of the lease, 0 expired"},
    {"", "slow_operations", Kind::kCounter, Unit::kNone,
     "groups of operations slower than slow_us"},
    {"", "steering", Kind::kGauge, Unit::kNone,
     "how the port finds a worker: 0 there is one, 1 flow rules, 2 RSS, 3 software"},
    {"", "port_missed", Kind::kCounter, Unit::kNone,
     "frames that the port dropped because no worker fetched them in time"},
}};

}  // namespace

std::span<const telemetry::Metric, kKnFacts> kn_fact_metrics() noexcept { return kFactMetrics; }

KnTelemetry::KnTelemetry(const KnOptions& options, const kn::Shared* shared,
                         const ingress::Capabilities& port, uint64_t now_ns)
    : name_(options.name),
      dpm_(options.dpm),
      address_(address_of(options)),
      port_(describe(port)),
      shared_(*shared),
      began_ns_(now_ns),
      warm_s_(options.warm_s),
      slow_logged_(shared->stats.size()) {
  set(KnFact::kSteering, static_cast<uint64_t>(port.steering));
}

bool KnTelemetry::cache_full() const noexcept {
  uint64_t used = 0;
  uint64_t budget = 0;
  for (const kn::WorkerStats* w : shared_.stats) {
    used += w->cache_used_bytes.get();
    budget += w->cache_budget_bytes.get();
  }
  return budget != 0 && used >= budget / 100 * kWarmPercent;
}

void KnTelemetry::follow(const cluster::KnControl& control, uint64_t now_ns) noexcept {
  const bool serving = control.phase() == cluster::KnPhase::kServing;
  const uint64_t deadline_ns = shared_.lease_deadline_ns.load(std::memory_order_relaxed);
  const ring::Ring* ring = shared_.ring.load(std::memory_order_relaxed);
  if (!serving) serving_since_ns_ = 0;
  if (serving && serving_since_ns_ == 0) serving_since_ns_ = now_ns;
  const uint64_t warm_ns = uint64_t{warm_s_.load(std::memory_order_relaxed)} * 1'000'000'000;
  const bool warm = serving && (now_ns - serving_since_ns_ >= warm_ns || cache_full());
  phase_.store(control.phase(), std::memory_order_relaxed);
  set(KnFact::kUptimeMs, (now_ns - began_ns_) / 1'000'000);
  set(KnFact::kWorkers, shared_.stats.size());
  set(KnFact::kServing, serving ? 1 : 0);
  set(KnFact::kReady, warm && deadline_ns > now_ns ? 1 : 0);
  set(KnFact::kSlot, control.kn_slot());
  set(KnFact::kRingVersion, ring == nullptr ? 0 : ring->version);
  set(KnFact::kLeaseLeftUs, deadline_ns > now_ns ? (deadline_ns - now_ns) / 1000 : 0);
  turned_ns_.store(now_ns, std::memory_order_relaxed);
}

void KnTelemetry::log_slow() {
  uint64_t all = 0;
  for (size_t w = 0; w < shared_.stats.size(); ++w) {
    const kn::SlowLog& log = shared_.stats[w]->slow;
    const uint64_t added = log.added();
    all += added;
    if (added == slow_logged_[w]) continue;
    kn::SlowOperations worst;
    const uint64_t oldest = added > kn::SlowLog::kKept ? added - kn::SlowLog::kKept : 0;
    for (uint64_t n = std::max(slow_logged_[w], oldest); n < added; ++n) {
      const kn::SlowOperations s = log.at(n);
      if (s.took_ns > worst.took_ns) worst = s;
    }
    DINOMO_LOG_LIMITED(warn,
                       "slow operations: worker={} kind={} operations={} took_us={} "
                       "key_hash={:016x} others={}",
                       w, kn::latency_class_name(worst.kind), worst.operations,
                       worst.took_ns / 1000, worst.key_hash, added - slow_logged_[w] - 1);
    slow_logged_[w] = added;
  }
  set(KnFact::kSlowOperations, all);
}

nlohmann::json KnTelemetry::info() {
  json info = program_info("dinomo-kn");
  info["name"] = name_;
  info["dpm"] = dpm_;
  info["address"] = address_;
  info["port"] = port_;
  info["kn_slot"] = fact(KnFact::kSlot).get();
  info["workers"] = shared_.stats.size();
  info["phase"] = cluster::phase_name(phase_.load(std::memory_order_relaxed));
  return info;
}

Health KnTelemetry::health() {
  const uint64_t turned_ns = turned_ns_.load(std::memory_order_relaxed);
  if (turned_ns != 0 && log_clock_ns() > turned_ns + kLiveNs) {
    return {.live = false, .ready = false, .why = "the control lcore hangs"};
  }
  if (fact(KnFact::kServing).get() == 0) {
    return {.live = true,
            .ready = false,
            .why = cluster::phase_name(phase_.load(std::memory_order_relaxed))};
  }
  if (fact(KnFact::kLeaseLeftUs).get() == 0) {
    return {.live = true, .ready = false, .why = "lease expired"};
  }
  if (fact(KnFact::kReady).get() == 0) {
    return {.live = true, .ready = false, .why = "warming up"};
  }
  return {.live = true, .ready = true, .why = ""};
}

std::vector<MetricRow> KnTelemetry::metrics() const {
  std::vector<MetricRow> rows;
  rows.reserve(kFactMetrics.size() + kn::worker_metrics().size() + kn::purpose_metrics().size() +
               1);
  for (const telemetry::Metric& m : kFactMetrics) rows.push_back({m});
  for (const kn::WorkerMetric& m : kn::worker_metrics()) rows.push_back({m.metric});
  rows.push_back({kn::malformed_metric()});
  for (const kn::PurposeMetric& m : kn::purpose_metrics()) rows.push_back({m.metric, "purpose"});
  return rows;
}

nlohmann::json KnTelemetry::stats(std::string_view part) {
  kn::Workers workers = shared_.stats;
  json values = json::object();
  if (part.empty()) {
    for (size_t f = 0; f < kKnFacts; ++f) values[kFactMetrics[f].full_name()] = facts_[f].get();
  } else {
    const std::optional<uint64_t> worker = parse_decimal(part);
    if (!worker || *worker >= workers.size()) return nullptr;
    workers = workers.subspan(*worker, 1);
  }
  for (const kn::WorkerMetric& m : kn::worker_metrics()) {
    values[m.metric.full_name()] = m.value(workers);
  }
  values[kn::malformed_metric().name] = kn::malformed(workers);
  for (const kn::PurposeMetric& m : kn::purpose_metrics()) {
    values[m.metric.full_name()] = purposes(workers, m);
  }
  return values;
}

std::vector<NamedHistogram> KnTelemetry::histograms() {
  std::vector<NamedHistogram> all(kn::kLatencyClasses);
  for (size_t c = 0; c < kn::kLatencyClasses; ++c) {
    all[c].name = kn::latency_class_name(static_cast<kn::LatencyClass>(c));
    all[c].help = kn::latency_class_help(static_cast<kn::LatencyClass>(c));
    for (const kn::WorkerStats* w : shared_.stats) {
      w->latency[c].add_to(&all[c].buckets);
      all[c].sum_ns += w->latency[c].sum_ns();
    }
  }
  return all;
}

nlohmann::json KnTelemetry::slow() {
  struct Of {
    kn::SlowOperations what;
    size_t worker;
  };
  std::vector<Of> found;
  for (size_t w = 0; w < shared_.stats.size(); ++w) {
    const kn::SlowLog& log = shared_.stats[w]->slow;
    const uint64_t added = log.added();
    for (uint64_t n = added > kSlowShown ? added - kSlowShown : 0; n < added; ++n) {
      found.push_back({log.at(n), w});
    }
  }
  std::ranges::sort(found, {}, [](const Of& f) { return f.what.unix_ms; });
  json answer = json::object();
  for (size_t i = found.size() > kSlowShown ? found.size() - kSlowShown : 0; i < found.size();
       ++i) {
    const auto& [what, worker] = found[i];
    answer[fmt::format("{:05}", i)] = {{"unix_ms", what.unix_ms},
                                       {"worker", worker},
                                       {"kind", kn::latency_class_name(what.kind)},
                                       {"operations", what.operations},
                                       {"took_us", what.took_ns / 1000},
                                       {"key_hash", fmt::format("{:016x}", what.key_hash)}};
  }
  return answer;
}

}  // namespace dinomo::app
