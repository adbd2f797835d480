// SPDX-License-Identifier: BSD-3-Clause
// What a metric is called and means: one row of a table from which stats files, telemetry, the
// Prometheus exporter and the metrics reference take name, kind, unit and help, so that they agree.
//
// A table is a constexpr array of rows beside whatever it describes (lib/kn/stats.cc,
// lib/dpm/metrics.cc), each a Metric and where its value is read. A name ends with its unit.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace dinomo::telemetry {

/// A counter only grows while its program lives; a gauge is what it is now.
enum class Kind : uint8_t { kCounter, kGauge };
/// kMillirt: thousandths of a round trip to the pool. kNone: the name says what is counted.
enum class Unit : uint8_t { kNone, kBytes, kNs, kUs, kMs, kMillirt };

struct Metric {
  const char* section;  // in JSON the object that holds it; "" the outermost one
  const char* name;
  Kind kind;
  Unit unit;
  const char* help;  // half a sentence, shorter than kHelpBytesMax

  static constexpr size_t kHelpBytesMax = 128;  // what rte_telemetry carries in one string

  std::string full_name() const { return (*section != 0 ? std::string(section) + "_" : "") + name; }
};

constexpr const char* kind_name(Kind kind) noexcept {
  return kind == Kind::kCounter ? "counter" : "gauge";
}

constexpr const char* unit_name(Unit unit) noexcept {
  switch (unit) {
    case Unit::kNone: return "";
    case Unit::kBytes: return "bytes";
    case Unit::kNs: return "ns";
    case Unit::kUs: return "us";
    case Unit::kMs: return "ms";
    case Unit::kMillirt: return "millirt";
  }
  return "";
}

/// What a table's rows have to keep to; for a static_assert beside the table.
constexpr bool well_formed(const Metric& m) noexcept {
  const std::string_view name = m.name;
  const std::string_view unit = unit_name(m.unit);
  const std::string_view help = m.help;
  const bool says_unit = name.ends_with(unit) && (unit.empty() || name.size() == unit.size() ||
                                                  name[name.size() - unit.size() - 1] == '_');
  return !name.empty() && says_unit && !help.empty() && help.size() < Metric::kHelpBytesMax;
}

}  // namespace dinomo::telemetry
