// SPDX-License-Identifier: BSD-3-Clause
// What a program answers about itself under /dinomo/..., by DPDK's telemetry protocol: so
// dpdk-telemetry.py and dinomo-stats, -exporter and -top ask any of our processes in one way.
//
//   /dinomo/info              who this is: program, version, build, and what it works on
//   /dinomo/health            {"live", "ready", "why"}
//   /dinomo/list              names of all figures
//   /dinomo/describe[,FROM]   {name: {kind, unit, help[, label]}}, kDescribed of them from FROM on
//   /dinomo/stats[,PART]      {name: value}; of one worker, or of all
//   /dinomo/histograms        names of the latency histograms
//   /dinomo/histogram,NAME    count, sum, percentiles, and last_ns and counts of its buckets
//   /dinomo/slow              the operations that took longest to be noticed, newest last
//
// Two ways to serve them: rte_telemetry where there is an EAL (register_with_dpdk), else
// TelemetrySocket. Everything is asked for on a thread of its own, never on a lcore.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "telemetry/histogram.h"
#include "telemetry/metric.h"

namespace dinomo::app {

struct Health {
  bool live = false;   // false: restart it
  bool ready = false;  // false: send it no clients
  std::string why;     // of what is false
};

struct MetricRow {
  telemetry::Metric metric;
  const char* label = "";  // set: there is one value for each value of this label
};

struct TelemetryCommand {
  const char* name;
  const char* help;
};

struct NamedHistogram {
  std::string name;
  std::string help;
  telemetry::LatencyHistogram buckets;
  uint64_t sum_ns = 0;
};

/// Implemented by each program. Called by one thread at a time.
class Observed {
 public:
  virtual ~Observed() = default;
  virtual nlohmann::json info() = 0;
  virtual Health health() = 0;
  virtual std::vector<MetricRow> metrics() const = 0;
  /// {name: value}, or {name: {label's value: value}}. Null: there is no such part.
  virtual nlohmann::json stats(std::string_view part) = 0;
  virtual std::vector<NamedHistogram> histograms() { return {}; }
  virtual nlohmann::json slow() { return nlohmann::json::object(); }
  /// Commands that this program alone has; only TelemetrySocket serves them. Null as above.
  virtual std::vector<TelemetryCommand> own_commands() const { return {}; }
  virtual nlohmann::json answer_own(std::string_view /*command*/, std::string_view /*parameter*/) {
    return nullptr;
  }
};

/// All commands that answer_telemetry() knows.
const std::vector<TelemetryCommand>& telemetry_commands();
/// Null: the command or its parameter makes no sense.
nlohmann::json answer_telemetry(Observed& observed, std::string_view command,
                                std::string_view parameter);

/// {"name", "version", ...}: what `info` of every program begins with.
nlohmann::json program_info(const std::string& program);

/// Before rte_eal_init() or after. One a process; nullptr before `observed` ends: DPDK's thread
/// lives as long as the process.
void register_with_dpdk(Observed* observed);

}  // namespace dinomo::app
