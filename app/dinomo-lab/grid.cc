// SPDX-License-Identifier: BSD-3-Clause
#include "app/dinomo-lab/grid.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <thread>

namespace dinomo::lab {
namespace {

using cache::DacPolicySpec;
using cache::Policy;
using nlohmann::ordered_json;

constexpr double kNothing = 0.001;  // round trips a read

struct Job {
  DacPolicySpec policy;
  uint64_t budget_bytes;
  ReplayResult* result;
};

void run_all(const Stream& stream, const GridSetup& setup, std::vector<Job> jobs) {
  std::atomic<size_t> next{0};
  const auto work = [&] {
    for (size_t i = next++; i < jobs.size(); i = next++) {
      *jobs[i].result = replay(stream, {.policy = jobs[i].policy,
                                        .budget_bytes = jobs[i].budget_bytes,
                                        .miss_rt = setup.miss_rt,
                                        .warm_up = setup.warm_up});
    }
  };
  std::vector<std::jthread> threads;
  for (uint32_t t = 1; t < setup.threads; ++t) threads.emplace_back(work);
  work();
}

double cost_of(const ReplayResult& r) { return r.created ? r.rts_per_read : 1e9; }

double ratio(double mine, double other) {
  return std::max(mine, kNothing) / std::max(other, kNothing);
}

ordered_json result_json(const ReplayResult& r) {
  if (!r.created) return nullptr;
  return {{"rts_per_read", r.rts_per_read},
          {"value_hit_share", r.value_hit_share},
          {"shortcut_hit_share", r.shortcut_hit_share},
          {"values", r.stats.values},
          {"shortcuts", r.stats.shortcuts},
          {"held_most_bytes", r.held_most_bytes}};
}

// What DAC itself says, at the end of its replay, about other sizes of memory.
ordered_json what_if_json(const ReplayResult& r) {
  const cache::WhatIf& w = r.stats.what_if;
  if (!r.created || !w.known) return nullptr;
  return {{"half", w.half}, {"same", w.same}, {"twice", w.twice}};
}

template <class F>
void for_each_result(const Point& p, F&& f) {
  for (const ReplayResult* r : {&p.dac, &p.none, &p.value_only, &p.shortcut_only}) f(*r);
  for (const Split& s : p.splits) f(s.result);
}

}  // namespace

const Split& Point::best_split() const {
  return *std::ranges::min_element(splits, {}, [](const Split& s) { return cost_of(s.result); });
}

double Point::against_split() const { return ratio(cost_of(dac), cost_of(best_split().result)); }

double Point::against_fixed() const {
  return ratio(cost_of(dac), std::min({cost_of(none), cost_of(value_only), cost_of(shortcut_only),
                                       cost_of(best_split().result)}));
}

double Point::held_share() const {
  uint64_t most = 0;
  for_each_result(*this, [&](const ReplayResult& r) { most = std::max(most, r.held_most_bytes); });
  return static_cast<double>(most) / static_cast<double>(std::max<uint64_t>(budget_bytes, 1));
}

uint64_t Point::wrong() const {
  uint64_t sum = 0;
  for_each_result(*this, [&](const ReplayResult& r) { sum += r.wrong; });
  return sum;
}

Curve run_grid(const Stream& stream, const GridSetup& setup) {
  Curve curve{.stream = stream.name,
              .keys = stream.keys,
              .data_bytes = stream.data_bytes,
              .accesses = stream.accesses.size(),
              .points = std::vector<Point>(setup.divisors.size())};
  std::vector<Job> jobs;
  for (size_t i = 0; i < setup.divisors.size(); ++i) {
    Point& p = curve.points[i];
    p.divisor = setup.divisors[i];
    p.budget_bytes = stream.data_bytes / p.divisor;
    p.splits.resize(setup.splits + 1);
    jobs.push_back({{.policy = Policy::kDac}, p.budget_bytes, &p.dac});
    jobs.push_back({{.policy = Policy::kNone}, p.budget_bytes, &p.none});
    jobs.push_back({{.policy = Policy::kValueOnly}, p.budget_bytes, &p.value_only});
    jobs.push_back({{.policy = Policy::kShortcutOnly}, p.budget_bytes, &p.shortcut_only});
    for (uint32_t k = 0; k <= setup.splits; ++k) {
      Split& s = p.splits[k];
      s.fraction = static_cast<double>(k) / setup.splits;
      jobs.push_back({{.policy = Policy::kStatic, .static_value_fraction = s.fraction},
                      p.budget_bytes,
                      &s.result});
    }
    p.fixed_contents = best_fixed_contents(stream, {.policy = {},
                                                    .budget_bytes = p.budget_bytes,
                                                    .miss_rt = setup.miss_rt,
                                                    .warm_up = setup.warm_up});
  }
  run_all(stream, setup, std::move(jobs));
  return curve;
}

ordered_json to_json(const Curve& curve) {
  ordered_json points = ordered_json::array();
  for (const Point& p : curve.points) {
    ordered_json splits = ordered_json::array();
    for (const Split& s : p.splits) {
      ordered_json one = {{"fraction", s.fraction}};
      one["rts_per_read"] = s.result.created ? ordered_json(s.result.rts_per_read) : nullptr;
      splits.push_back(std::move(one));
    }
    points.push_back({{"memory_share", 1.0 / p.divisor},
                      {"budget_bytes", p.budget_bytes},
                      {"dac", result_json(p.dac)},
                      {"dac_what_if", what_if_json(p.dac)},
                      {"none", result_json(p.none)},
                      {"value_only", result_json(p.value_only)},
                      {"shortcut_only", result_json(p.shortcut_only)},
                      {"static", std::move(splits)},
                      {"best_static_fraction", p.best_split().fraction},
                      {"best_static", result_json(p.best_split().result)},
                      {"best_fixed_contents_rts_per_read", p.fixed_contents},
                      {"dac_against_best_static", p.against_split()},
                      {"dac_against_best_baseline", p.against_fixed()},
                      {"held_most_share_of_budget", p.held_share()}});
  }
  return {{"stream", curve.stream},
          {"keys", curve.keys},
          {"accesses", curve.accesses},
          {"data_bytes", curve.data_bytes},
          {"points", std::move(points)}};
}

std::string table(const Curve& curve) {
  const auto cell = [](const ReplayResult& r) {
    return r.created ? fmt::format("{:.4f}", r.rts_per_read) : std::string("-");
  };
  std::string out = fmt::format(
      "\n{}: {} keys, {:.1f} MB, {} operations; round trips a read\n"
      "{:>8} {:>9} {:>8} {:>8} {:>8} {:>8} {:>14} {:>8} {:>7}\n",
      curve.stream, curve.keys, static_cast<double>(curve.data_bytes) / 1e6, curve.accesses,
      "memory", "KiB", "dac", "none", "values", "shortc.", "best static", "ideal", "ratio");
  for (const Point& p : curve.points) {
    out += fmt::format(
        "{:>8} {:>9} {:>8} {:>8} {:>8} {:>8} {:>14} {:>8.4f} {:>7.3f}\n",
        fmt::format("1/{}", p.divisor), p.budget_bytes / 1024, cell(p.dac), cell(p.none),
        cell(p.value_only), cell(p.shortcut_only),
        fmt::format("{} ({:.2f})", cell(p.best_split().result), p.best_split().fraction),
        p.fixed_contents, p.against_split());
  }
  return out;
}

std::vector<std::string> violations(const Curve& curve, double ratio_max) {
  std::vector<std::string> out;
  const auto complain = [&](const Point& p, const std::string& what) {
    out.push_back(fmt::format("{} with memory for 1/{}: {}", curve.stream, p.divisor, what));
  };
  for (const Point& p : curve.points) {
    if (!p.dac.created) {
      complain(p, fmt::format("{} bytes are too few for a cache", p.budget_bytes));
      continue;
    }
    if (p.against_fixed() > ratio_max) {
      complain(p, fmt::format("DAC costs {:.4f} RTs a read, {:.3f} times the best baseline",
                              p.dac.rts_per_read, p.against_fixed()));
    }
    if (p.held_share() > 1) {
      complain(p, fmt::format("{:.3f} times the budget was allocated", p.held_share()));
    }
    if (p.wrong() != 0) complain(p, fmt::format("{} answers were old or wrong", p.wrong()));
  }
  return out;
}

}  // namespace dinomo::lab
