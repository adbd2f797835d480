// SPDX-License-Identifier: BSD-3-Clause
// What dinomo-kn answers about itself, and its log of slow operations. Figures of the workers are
// read where they count them; what the control lcore knows it leaves here, every turn.
#pragma once

#include <array>
#include <atomic>
#include <span>
#include <string>
#include <vector>

#include "app/common/telemetry.h"
#include "app/dinomo-kn/kn_options.h"
#include "cluster/kn_control.h"
#include "ingress/driver.h"
#include "kn/stats.h"
#include "kn/worker.h"

namespace dinomo::app {

/// What the control lcore knows. Values of KnFact's rows.
enum class KnFact : uint8_t {
  kUptimeMs,
  kWorkers,
  kServing,
  kReady,
  kSlot,
  kRingVersion,
  kLeaseLeftUs,
  kSlowOperations,
  kSteering,
  kPortMissed,
};
inline constexpr size_t kKnFacts = 10;
/// Rows in the order of KnFact.
std::span<const telemetry::Metric, kKnFacts> kn_fact_metrics() noexcept;

class KnTelemetry final : public Observed {
 public:
  // A control lcore that has not turned for longer hangs; it sleeps for milliseconds at most.
  static constexpr uint64_t kLiveNs = 5'000'000'000;
  // Of the budget: with so much in use a cache counts as full.
  static constexpr uint64_t kWarmPercent = 90;

  /// `port`: what the started port turned out to be.
  KnTelemetry(const KnOptions& options, const kn::Shared* shared, const ingress::Capabilities& port,
              uint64_t now_ns);

  /// Control lcore, every turn.
  void follow(const cluster::KnControl& control, uint64_t now_ns) noexcept;
  /// Control lcore, every second: what was slow since the last time goes to the log.
  void log_slow();
  void follow_port(const ingress::PortCounters& port) noexcept {
    set(KnFact::kPortMissed, port.missed);
  }
  void set_warm_s(uint32_t warm_s) noexcept { warm_s_.store(warm_s); }

  nlohmann::json info() override;
  Health health() override;
  std::vector<MetricRow> metrics() const override;
  nlohmann::json stats(std::string_view part) override;
  std::vector<NamedHistogram> histograms() override;
  nlohmann::json slow() override;

 private:
  bool cache_full() const noexcept;
  const telemetry::Counter& fact(KnFact f) const noexcept { return facts_[static_cast<size_t>(f)]; }
  void set(KnFact f, uint64_t value) noexcept { facts_[static_cast<size_t>(f)].set(value); }

  const std::string name_;
  const std::string dpm_;
  const std::string address_;
  const nlohmann::json port_;
  const kn::Shared& shared_;
  const uint64_t began_ns_;
  std::atomic<uint32_t> warm_s_;
  std::array<telemetry::Counter, kKnFacts> facts_;
  std::atomic<uint64_t> turned_ns_{0};
  std::atomic<cluster::KnPhase> phase_{cluster::KnPhase::kDisconnected};
  uint64_t serving_since_ns_ = 0;      // control lcore
  std::vector<uint64_t> slow_logged_;  // control lcore; of each worker
};

}  // namespace dinomo::app
