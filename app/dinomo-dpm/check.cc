// SPDX-License-Identifier: BSD-3-Clause
#include "app/dinomo-dpm/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <thread>

#include "dpm/check/pool_check.h"
#include "drivers/clock/system/system_clock.h"

namespace dinomo::app {

namespace {

using dpm::CheckOutcome;
using dpm::CheckReport;
using dpm::CheckTotals;
using dpm::Finding;
using dpm::Problem;
using dpm::ProblemInfo;
using dpm::Severity;

constexpr uint32_t kWorkersMin = 1;

void wait(uint32_t ms) { std::this_thread::sleep_for(std::chrono::milliseconds(ms)); }

const char* word(Severity severity) {
  switch (severity) {
    case Severity::kNote: return "note";
    case Severity::kRepairable: return "problem";
    case Severity::kFatal: break;
  }
  return "fatal";
}

void print_totals(const CheckTotals& t) {
  fmt::print("items      {}, {} bytes, {} entries in logs ({} not merged yet)\n", t.items,
             t.live_bytes, t.entries, t.entries_unmerged);
  fmt::print("segments   {}: {} free, {} open\n", t.segments, t.segments_free, t.segments_open);
  fmt::print(
      "index      {} chains of 1 bucket, {} of 2, {} of 3, {} of 4, {} longer (at most {}); {}"
      " of {} overflow buckets used{}\n",
      t.chains[0], t.chains[1], t.chains[2], t.chains[3], t.chains[4], t.chain_buckets_max,
      t.overflow_used, t.overflow_capacity, t.resize_under_way ? "; a resize is under way" : "");
  fmt::print("sessions   {}, {} outcomes\n", t.sessions, t.outcomes);
}

void print_findings(const CheckReport& report, bool repair) {
  for (size_t i = 0; i < dpm::kProblems; ++i) {
    const auto problem = static_cast<Problem>(i);
    const uint64_t count = report.of(problem);
    if (count == 0) continue;
    const ProblemInfo& about = dpm::info(problem);
    fmt::print("\n{} {}: {} ({})\n", word(about.severity), about.name, about.meaning, count);
    if (about.severity == Severity::kRepairable) {
      fmt::print("  {}{}\n", repair ? "done: " : "--repair: ", about.repair);
    }
    uint64_t listed = 0;
    for (const Finding& f : report.findings()) {
      if (f.problem != problem) continue;
      fmt::print("  at {:#x}: {}\n", f.offset, f.text);
      ++listed;
    }
    if (listed != 0 && listed < count) fmt::print("  and {} more\n", count - listed);
  }
}

void print_text(const DpmOptions& o, const CheckOutcome& outcome, int status) {
  if (!outcome.why_not.empty()) {
    fmt::print(stderr, "dinomo-dpm: {}\n", outcome.why_not);
    return;
  }
  const CheckReport& report = outcome.found;
  fmt::print("pool       {}, {}\n", o.pool,
             report.totals.clean_stop ? "closed in order" : "as a crash left it");
  print_totals(report.totals);
  print_findings(report, o.repair);
  const uint64_t problems = report.of(Severity::kRepairable) + report.of(Severity::kFatal);
  fmt::print("\n{} problems, {} notes, {:.1f} s\n", problems, report.of(Severity::kNote),
             static_cast<double>(outcome.duration_ns) / 1e9);
  if (o.repair) {
    fmt::print("{}\n", status == 0 ? "the pool is clean now"
                                   : "the pool is not clean: restore it from a backup");
  } else if (status != 0) {
    fmt::print("{}\n", status == 1 ? "--repair makes the pool clean"
                                   : "the pool cannot be made clean: restore it from a backup");
  } else {
    fmt::print("the pool is clean\n");
  }
}

nlohmann::json totals_json(const CheckTotals& t) {
  return {{"items", t.items},
          {"live_bytes", t.live_bytes},
          {"entries", t.entries},
          {"entries_unmerged", t.entries_unmerged},
          {"segments", t.segments},
          {"segments_free", t.segments_free},
          {"segments_open", t.segments_open},
          {"buckets", t.buckets},
          {"overflow_used", t.overflow_used},
          {"overflow_capacity", t.overflow_capacity},
          {"chain_buckets_max", t.chain_buckets_max},
          {"chains", t.chains},
          {"sessions", t.sessions},
          {"outcomes", t.outcomes},
          {"clean_stop", t.clean_stop},
          {"resize_under_way", t.resize_under_way},
          {"locks_cleared", t.locks_cleared}};
}

void print_json(const DpmOptions& o, const CheckOutcome& outcome, int status) {
  auto problems = nlohmann::json::array();
  for (size_t i = 0; i < dpm::kProblems; ++i) {
    const auto problem = static_cast<Problem>(i);
    if (outcome.found.of(problem) == 0) continue;
    const ProblemInfo& about = dpm::info(problem);
    auto listed = nlohmann::json::array();
    for (const Finding& f : outcome.found.findings()) {
      if (f.problem == problem) listed.push_back({{"offset", f.offset}, {"text", f.text}});
    }
    problems.push_back({{"name", about.name},
                        {"severity", word(about.severity)},
                        {"meaning", about.meaning},
                        {"repair", about.repair},
                        {"count", outcome.found.of(problem)},
                        {"listed", listed}});
  }
  const nlohmann::json all = {{"pool", o.pool},
                              {"repair", o.repair},
                              {"status", status},
                              {"error", outcome.why_not},
                              {"left", outcome.left},
                              {"duration_us", outcome.duration_ns / 1000},
                              {"totals", totals_json(outcome.found.totals)},
                              {"findings", problems}};
  fmt::print("{}\n", all.dump(2));
}

}  // namespace

int check(const DpmOptions& o) {
  SystemClock clock;
  CheckOutcome outcome;
  const int status = dpm::check_pool({o.pool, o.repair, std::max(o.merge_workers, kWorkersMin)},
                                     clock, wait, &outcome);
  if (o.json) {
    print_json(o, outcome, status);
  } else {
    print_text(o, outcome, status);
  }
  return status;
}

}  // namespace dinomo::app
