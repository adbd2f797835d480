// SPDX-License-Identifier: BSD-3-Clause
// The tables of figures of both programs as JSON, for the metrics reference.
#include <cstdio>
#include <nlohmann/json.hpp>

#include "app/dinomo-kn/kn_telemetry.h"
#include "dpm/metrics.h"
#include "kn/stats.h"

namespace {

using nlohmann::json;

void add(json* rows, const dinomo::telemetry::Metric& m, const char* label = "") {
  rows->push_back({{"name", m.full_name()},
                   {"kind", dinomo::telemetry::kind_name(m.kind)},
                   {"unit", dinomo::telemetry::unit_name(m.unit)},
                   {"help", m.help},
                   {"label", label}});
}

json kn_rows() {
  json rows = json::array();
  for (const auto& m : dinomo::app::kn_fact_metrics()) add(&rows, m);
  for (const auto& m : dinomo::kn::worker_metrics()) add(&rows, m.metric);
  add(&rows, dinomo::kn::malformed_metric());
  for (const auto& m : dinomo::kn::purpose_metrics()) add(&rows, m.metric, "purpose");
  return rows;
}

json latency_rows() {
  json rows = json::array();
  for (size_t c = 0; c < dinomo::kn::kLatencyClasses; ++c) {
    const auto kind = static_cast<dinomo::kn::LatencyClass>(c);
    rows.push_back({{"name", dinomo::kn::latency_class_name(kind)},
                    {"help", dinomo::kn::latency_class_help(kind)}});
  }
  return rows;
}

}  // namespace

int main() {
  json dpm = json::array();
  for (const auto& m : dinomo::dpm::service_metrics()) add(&dpm, m.metric);
  const json all = {{"kn", kn_rows()}, {"dpm", dpm}, {"latency", latency_rows()}};
  std::printf("%s\n", all.dump(1).c_str());
  return 0;
}
