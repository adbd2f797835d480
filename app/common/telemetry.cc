// SPDX-License-Identifier: BSD-3-Clause
#include "app/common/telemetry.h"

#include <unistd.h>

#include <algorithm>

#include "app/common/build_info.h"
#include "common/decimal.h"

namespace dinomo::app {

namespace {

using nlohmann::json;

constexpr size_t kDescribed = 40;  // rows in one answer: it has to fit into 16 KiB

json names_of(Observed& observed) {
  json names = json::array();
  for (const MetricRow& row : observed.metrics()) names.push_back(row.metric.full_name());
  return names;
}

json describe(Observed& observed, std::string_view from_text) {
  size_t from = 0;
  if (!from_text.empty()) {
    const std::optional<uint64_t> number = parse_decimal(from_text);
    if (!number) return nullptr;
    from = *number;
  }
  const std::vector<MetricRow> rows = observed.metrics();
  json described = json::object();
  for (size_t i = from; i < std::min(rows.size(), from + kDescribed); ++i) {
    const telemetry::Metric& m = rows[i].metric;
    json row = {{"kind", telemetry::kind_name(m.kind)},
                {"unit", telemetry::unit_name(m.unit)},
                {"help", m.help}};
    if (*rows[i].label != 0) row["label"] = rows[i].label;
    described[m.full_name()] = std::move(row);
  }
  return described;
}

json histogram(Observed& observed, std::string_view name) {
  for (const NamedHistogram& h : observed.histograms()) {
    if (h.name != name) continue;
    json last_ns = json::array();
    json counts = json::array();
    h.buckets.for_each_bucket([&](uint64_t, uint64_t last, uint64_t count) {
      last_ns.push_back(last);
      counts.push_back(count);
    });
    json answer = {{"help", h.help},
                   {"count", h.buckets.count()},
                   {"sum_ns", h.sum_ns},
                   {"p50_ns", h.buckets.percentile_ns(50)},
                   {"p99_ns", h.buckets.percentile_ns(99)},
                   {"p999_ns", h.buckets.percentile_ns(99.9)},
                   {"max_ns", h.buckets.max_ns()}};
    if (!counts.empty()) {
      answer["last_ns"] = std::move(last_ns);
      answer["counts"] = std::move(counts);
    }
    return answer;
  }
  return nullptr;
}

}  // namespace

const std::vector<TelemetryCommand>& telemetry_commands() {
  static const std::vector<TelemetryCommand> commands = {
      {"/dinomo/info", "Who this is. No parameters"},
      {"/dinomo/health", "Whether it lives and is ready for clients. No parameters"},
      {"/dinomo/list", "Names of all figures. No parameters"},
      {"/dinomo/describe",
       "Kind, unit and help of figures. Parameter: number of the first, or none"},
      {"/dinomo/stats", "All figures. Parameter: number of a worker (KN only), or none for all"},
      {"/dinomo/histograms", "Names of latency histograms. No parameters"},
      {"/dinomo/histogram", "A latency histogram. Parameter: its name"},
      {"/dinomo/slow", "Operations slower than slow_us, the last ones. No parameters"},
  };
  return commands;
}

nlohmann::json answer_telemetry(Observed& observed, std::string_view command,
                                std::string_view parameter) {
  if (command == "/dinomo/info") return observed.info();
  if (command == "/dinomo/health") {
    const Health h = observed.health();
    return {{"live", h.live ? 1 : 0}, {"ready", h.ready ? 1 : 0}, {"why", h.why}};
  }
  if (command == "/dinomo/list") return names_of(observed);
  if (command == "/dinomo/describe") return describe(observed, parameter);
  if (command == "/dinomo/stats") return observed.stats(parameter);
  if (command == "/dinomo/histograms") {
    json names = json::array();
    for (const NamedHistogram& h : observed.histograms()) names.push_back(h.name);
    return names;
  }
  if (command == "/dinomo/histogram") return histogram(observed, parameter);
  if (command == "/dinomo/slow") return observed.slow();
  return nullptr;
}

nlohmann::json program_info(const std::string& program) {
  return {{"program", program},
          {"version", build_info().version},
          {"build", build_info().text},
          {"pid", static_cast<uint64_t>(::getpid())}};
}

}  // namespace dinomo::app
