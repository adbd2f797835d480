// SPDX-License-Identifier: BSD-3-Clause
// Cost of merging: log entries written as a KN does, then merged by the memory node, by entry size
// and number of workers. Prints a table and, with --json FILE, the same as JSON.
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "test/bench/merge_rig.h"

namespace dinomo::bench {
namespace {

struct Case {
  uint32_t workers;
  uint32_t value_bytes;
  bool insert;  // every key new, else updates of keys that exist
};

Cost run(const Case& c, const std::string& directory, bool smoke) {
  const uint64_t pool_bytes = uint64_t{smoke ? 192u : 1024u} << 20;
  const int rounds = smoke ? 1 : c.insert ? 6 : 20;
  MergeRig rig(directory, pool_bytes, c.workers);
  const uint64_t keys = c.insert ? UINT64_MAX : (smoke ? 4'000 : 100'000);
  uint64_t next_key = 0;
  Cost cost;
  const auto round = [&] {
    if (!rig.write(keys, c.value_bytes, &next_key, &cost)) MergeRig::fail("the pool is full");
    rig.merge(&cost);
  };
  if (!c.insert) {  // all keys once, so that what is measured are updates
    while (next_key < keys) round();
    cost = {};
  }
  for (int i = 0; i < rounds; ++i) round();
  return cost;
}

}  // namespace
}  // namespace dinomo::bench

int main(int argc, char** argv) {
  using namespace dinomo::bench;
  const auto given = parse_arguments(argc, argv, "merge_bench");
  if (!given) return 2;
  const auto& [smoke, json_file, directory] = *given;
  auto results = nlohmann::json::array();
  const int repeats = smoke ? 1 : 3;
  std::printf("%8s %8s %8s %12s %12s\n", "workers", "value B", "kind", "cpu ns", "wall ns");
  for (const bool insert : {true, false}) {
    for (const uint32_t value_bytes : {0u, 64u, 1024u}) {
      for (const uint32_t workers : {0u, 1u, 2u}) {
        std::vector<double> wall;
        std::vector<double> cpu;
        for (int i = 0; i < repeats; ++i) {
          const Cost c = run({workers, value_bytes, insert}, directory, smoke);
          wall.push_back(static_cast<double>(c.wall_ns) / static_cast<double>(c.entries));
          cpu.push_back(static_cast<double>(c.cpu_ns) / static_cast<double>(c.entries));
        }
        std::ranges::sort(wall);
        std::ranges::sort(cpu);
        const double wall_ns = wall[wall.size() / 2];
        const double cpu_ns = cpu[cpu.size() / 2];
        const char* kind = insert ? "insert" : "update";
        std::printf("%8u %8u %8s %12.1f %12.1f\n", workers, value_bytes, kind, cpu_ns, wall_ns);
        results.push_back({{"workers", workers},
                           {"value_bytes", value_bytes},
                           {"kind", kind},
                           {"cpu_ns_per_entry", cpu_ns},
                           {"wall_ns_per_entry", wall_ns}});
      }
    }
  }
  if (!json_file.empty()) std::ofstream(json_file) << results.dump(2) << "\n";
  return 0;
}
