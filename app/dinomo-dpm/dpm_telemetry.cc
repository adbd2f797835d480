// SPDX-License-Identifier: BSD-3-Clause
#include "app/dinomo-dpm/dpm_telemetry.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "app/common/log.h"
#include "dpm/metrics.h"

namespace dinomo::app {

void DpmTelemetry::publish(dpm::Service& service) {
  const std::scoped_lock lock(mutex_);
  asked_.store(false, std::memory_order_relaxed);
  last_ = service.stats();
  if (question_) answer_ = question_(service);
  question_ = nullptr;
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

nlohmann::json DpmTelemetry::on_service_thread(Question question) {
  std::unique_lock lock(mutex_);
  const uint64_t before = publications_;
  question_ = std::move(question);
  answer_ = nullptr;
  asked_.store(true, std::memory_order_relaxed);
  published_.wait_for(lock, std::chrono::milliseconds(kPatienceMs),
                      [&] { return publications_ != before; });
  question_ = nullptr;  // in time, or not at all
  return std::move(answer_);
}

nlohmann::json DpmTelemetry::answer_own(std::string_view command, std::string_view parameter) {
  const auto known = [&](const TelemetryCommand& c) { return command == c.name; };
  if (std::ranges::none_of(cluster_commands(), known)) return nullptr;
  return on_service_thread(
      [&](dpm::Service& service) { return answer_cluster(space_, service, command, parameter); });
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
