// SPDX-License-Identifier: BSD-3-Clause
#include "app/dinomo-dpm/stats_file.h"

#include <cstdio>
#include <nlohmann/json.hpp>

#include "dpm/metrics.h"

namespace dinomo::app {

namespace {

/// Of the bytes of segments that are not free: what is live. 1 if all are free.
double live_fraction(const dpm::ServiceStats& s) {
  const uint64_t used = s.capacity_bytes - s.free_bytes;
  return used == 0 ? 1 : static_cast<double>(s.segments.live_bytes) / static_cast<double>(used);
}

nlohmann::json to_json(const Identity& identity, const dpm::ServiceStats& s) {
  nlohmann::json all = {{"pool", identity.pool},
                        {"listen", identity.listen},
                        {"persistence", identity.persistence},
                        {"pool_bytes", identity.pool_bytes}};
  for (const dpm::ServiceMetric& m : dpm::service_metrics()) {
    nlohmann::json& section = *m.metric.section == 0 ? all : all[m.metric.section];
    section[m.metric.name] = m.value(s);
  }
  all["segments"]["bytes_each"] = identity.segment_bytes;
  all["space"]["live_fraction"] = live_fraction(s);
  return all;
}

}  // namespace

bool write_stats(const std::string& path, const Identity& identity,
                 const dpm::ServiceStats& stats) {
  const std::string text = to_json(identity, stats).dump(2) + "\n";
  const std::string draft = path + ".new";
  std::FILE* file = std::fopen(draft.c_str(), "we");
  if (file == nullptr) return false;
  const bool written = std::fwrite(text.data(), 1, text.size(), file) == text.size();
  const bool closed = std::fclose(file) == 0;
  return written && closed && std::rename(draft.c_str(), path.c_str()) == 0;
}

}  // namespace dinomo::app
