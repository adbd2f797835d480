// SPDX-License-Identifier: BSD-3-Clause
// The grid: every policy at every size of memory on one stream, replayed in parallel.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "app/dinomo-lab/replay.h"

namespace dinomo::lab {

struct GridSetup {
  std::vector<uint32_t> divisors = {64, 32, 16, 8, 4, 2, 1};  // memory is data / divisor
  uint32_t splits = 10;  // static:0, static:1/splits ... static:1
  uint32_t miss_rt = 2;
  double warm_up = 0.5;
  uint32_t threads = 1;
};

struct Split {
  double fraction = 0;
  ReplayResult result;
};

struct Point {
  uint32_t divisor = 1;
  uint64_t budget_bytes = 0;
  ReplayResult dac;
  ReplayResult none;
  ReplayResult value_only;
  ReplayResult shortcut_only;
  std::vector<Split> splits;
  double fixed_contents = 0;

  const Split& best_split() const;
  /// DAC against the best split, and against the best of all policies that do not adapt. At most 1
  /// if nothing costs anything; a cost below a thousandth of a round trip counts as one.
  double against_split() const;
  double against_fixed() const;
  /// Most that any policy held, as a share of the budget.
  double held_share() const;
  uint64_t wrong() const;
};

struct Curve {
  std::string stream;
  uint64_t keys = 0;
  uint64_t data_bytes = 0;
  uint64_t accesses = 0;
  std::vector<Point> points;  // from the smallest memory on
};

Curve run_grid(const Stream& stream, const GridSetup& setup);

nlohmann::ordered_json to_json(const Curve& curve);
std::string table(const Curve& curve);

/// What must hold at each point: one line for each that does not.
std::vector<std::string> violations(const Curve& curve, double ratio_max);

}  // namespace dinomo::lab
