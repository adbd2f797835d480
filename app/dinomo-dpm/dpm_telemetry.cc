// SPDX-License-Identifier: BSD-3-Clause
#include "app/dinomo-dpm/dpm_telemetry.h"

#include <chrono>

#include "app/common/log.h"
#include "dpm/metrics.h"

namespace dinomo::app {

void DpmTelemetry::publish(dpm::Service& service) {
  const std::scoped_lock lock(mutex_);
  asked_.store(false, std::memory_order_relaxed);
  last_ = service.stats();
  ++publications_;
  published_.notify_all();
}

dpm::ServiceStats DpmTelemetry::fresh() {
  std::unique_lock lock(mutex_);
  const uint64_t before = publications_;
  asked_.store(true, std::memory_order_relaxed);
  published_.wait_for(lock, std::chrono::milliseconds(kPatienceMs),
                      [&] { return publications_ != before; });
  return last_;
}

nlohmann::json DpmTelemetry::info() {
  nlohmann::json info = program_info("dinomo-dpm");
  info["pool"] = identity_.pool;
  info["listen"] = identity_.listen;
  info["persistence"] = identity_.persistence;
  info["pool_bytes"] = identity_.pool_bytes;
  info["segment_bytes"] = identity_.segment_bytes;
  return info;
}

Health DpmTelemetry::health() {
  const uint64_t turned_ns = turned_ns_.load(std::memory_order_relaxed);
  if (stopping_.load()) return {.live = true, .ready = false, .why = "stopping"};
  if (turned_ns == 0) return {.live = true, .ready = false, .why = "starting"};
  if (log_clock_ns() > turned_ns + kLiveNs) {
    return {.live = false, .ready = false, .why = "the service thread hangs"};
  }
  return {.live = true, .ready = true, .why = ""};
}

std::vector<MetricRow> DpmTelemetry::metrics() const {
  std::vector<MetricRow> rows;
  for (const dpm::ServiceMetric& m : dpm::service_metrics()) rows.push_back({m.metric});
  return rows;
}

nlohmann::json DpmTelemetry::stats(std::string_view part) {
  if (!part.empty()) return nullptr;
  const dpm::ServiceStats s = fresh();
  nlohmann::json values = nlohmann::json::object();
  for (const dpm::ServiceMetric& m : dpm::service_metrics()) {
    values[m.metric.full_name()] = m.value(s);
  }
  return values;
}

}  // namespace dinomo::app
