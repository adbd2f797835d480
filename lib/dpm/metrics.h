// SPDX-License-Identifier: BSD-3-Clause
// What the memory node tells about itself, one row a figure: name, unit, help, and where it is
// read. Whoever adds a figure to ServiceStats adds its row.
#pragma once

#include <cstdint>
#include <span>

#include "dpm/service.h"
#include "telemetry/metric.h"

namespace dinomo::dpm {

struct ServiceMetric {
  telemetry::Metric metric;
  uint64_t (*value)(const ServiceStats& stats);
};

std::span<const ServiceMetric> service_metrics() noexcept;

}  // namespace dinomo::dpm
