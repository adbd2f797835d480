// SPDX-License-Identifier: BSD-3-Clause
// How long a memory node takes to start after a crash: a pool filled with small or large values, of
// which the last two segments of every log were not merged, recovered by so many workers. Prints a
// table of its phases and, with --json FILE, the same as JSON.
#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <vector>

#include "dpm/check/pool_check.h"
#include "test/bench/merge_rig.h"

namespace dinomo::bench {
namespace {

double ms(uint64_t ns) { return static_cast<double>(ns) / 1e6; }

constexpr int kUnmergedSegments = 2;

/// Fills the pool to 80 %, except for what is not merged.
void fill(MergeRig& rig, uint64_t pool_bytes, uint32_t value_bytes, uint64_t* next_key) {
  Cost cost;
  const auto used = [&] {
    const dpm::SegmentCounts s = rig.service().stats().segments;
    return (s.open + s.merged) * (uint64_t{4} << 20);
  };
  while (used() < pool_bytes / 10 * 8 && rig.write(UINT64_MAX, value_bytes, next_key, &cost)) {
    rig.merge(&cost);
  }
}

/// How long dinomo-dpm --check takes for the pool as it is, without the wait for heartbeats.
uint64_t check(const std::string& path, uint32_t workers) {
  test::SteadyClock clock;
  dpm::CheckOutcome outcome;
  const int status = dpm::check_pool({path, false, workers}, clock, [](uint32_t) {}, &outcome);
  if (status != 0) MergeRig::fail("the check finds something: " + outcome.why_not);
  return outcome.duration_ns;
}

nlohmann::json measure(const std::string& directory, uint64_t pool_bytes, uint32_t value_bytes,
                       uint32_t workers, int rounds) {
  MergeRig rig(directory, pool_bytes, workers == 0 ? 1 : workers);
  uint64_t next_key = 0;
  fill(rig, pool_bytes, value_bytes, &next_key);
  std::vector<dpm::RecoveryReport> reports;
  for (int i = 0; i < rounds; ++i) {
    Cost cost;
    for (int n = 0; n < kUnmergedSegments; ++n) {
      rig.write(1000, value_bytes, &next_key, &cost);  // the same keys, so that the pool stays so
    }
    rig.crash();
    rig.open(workers);
    reports.push_back(rig.service().recovery());
  }
  std::ranges::sort(reports, {}, &dpm::RecoveryReport::duration_ns);
  const dpm::RecoveryReport& r = reports[reports.size() / 2];
  const dpm::RecoveryPhases& p = r.phases;
  rig.crash();
  const double check_ms = ms(check(rig.path(), workers));
  rig.open(workers);
  std::printf("%7u %7u %9lu %9lu %9.1f %9.1f %9.1f %9.1f %9.1f %9.1f %9.1f\n", workers, value_bytes,
              r.items, r.entries_merged, ms(r.duration_ns), ms(p.segments_ns), ms(p.index_ns),
              ms(p.sessions_ns), ms(p.logs_ns), ms(p.merge_ns), check_ms);
  return {{"workers", workers},         {"value_bytes", value_bytes},
          {"items", r.items},           {"entries_merged", r.entries_merged},
          {"ms", ms(r.duration_ns)},    {"segments_ms", ms(p.segments_ns)},
          {"index_ms", ms(p.index_ns)}, {"sessions_ms", ms(p.sessions_ns)},
          {"logs_ms", ms(p.logs_ns)},   {"merge_ms", ms(p.merge_ns)},
          {"check_ms", check_ms}};
}

}  // namespace
}  // namespace dinomo::bench

int main(int argc, char** argv) {
  using namespace dinomo::bench;
  const auto given = parse_arguments(argc, argv, "recovery_bench");
  if (!given) return 2;
  const auto& [smoke, json_file, directory] = *given;
  auto results = nlohmann::json::array();
  std::printf("%7s %7s %9s %9s %9s %9s %9s %9s %9s %9s %9s\n", "workers", "value B", "items",
              "merged", "total ms", "segments", "index", "sessions", "logs", "merge", "check");
  const uint64_t pool_bytes = uint64_t{smoke ? 192u : 1024u} << 20;
  for (const uint32_t value_bytes : {64u, 1024u}) {
    for (const uint32_t workers : {1u, 2u}) {
      results.push_back(measure(directory, pool_bytes, value_bytes, workers, smoke ? 1 : 5));
    }
  }
  if (!json_file.empty()) std::ofstream(json_file) << results.dump(2) << "\n";
  return 0;
}
