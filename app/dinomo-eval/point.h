// SPDX-License-Identifier: BSD-3-Clause
// One point of a figure: an engine, a number of KNs, a mix; what came out of it, as JSON.
// Thread rule: any thread, one point at a time on each.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string>

#include "app/dinomo-eval/calibration.h"

namespace dinomo::eval {

struct Point {
  std::string engine;  // one of engine_names()
  uint32_t kns = 1;
  uint32_t read_percent = 50;
  uint64_t seed = 1;
};

inline constexpr uint32_t kKnsMax = 128;

std::span<const char* const> engine_names() noexcept;

/// kInvalid with a sentence: an engine that is not known, sizes that do not fit each other.
/// kInternal: operations failed, or it never ended.
Status run_point(const Calibration& calibration, const Point& point, nlohmann::ordered_json* result,
                 std::string* why);

}  // namespace dinomo::eval
