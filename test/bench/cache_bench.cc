// SPDX-License-Identifier: BSD-3-Clause
// What the cache costs a worker: CPU time an operation, for bursts as a worker issues them.
//
//   cache_bench [--smoke] [--json] [--budget-mib N] [--value-bytes N] [--burst N] [--repeats N]
//
// Repeats are interleaved and medians shown. Beside them, measured in the same run: a dependent
// random read of memory as large as the cache, and a copy of the value out of that memory.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <functional>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cache/dac.h"
#include "cache/ghosts.h"

namespace {

using dinomo::Bytes;
using dinomo::cache::Dac;
using dinomo::cache::Found;
using dinomo::cache::Policy;
using dinomo::pool::GlobalAddress;

struct Options {
  bool smoke = false;
  bool json = false;
  uint64_t budget_mib = 64;
  uint32_t value_bytes = 64;
  uint32_t burst = 32;
  uint32_t repeats = 9;
  uint64_t operations = 1'000'000;
};

uint64_t mix(uint64_t x) {
  x = (x ^ x >> 30) * 0xbf58'476d'1ce4'e5b9;
  x = (x ^ x >> 27) * 0x94d0'49bb'1331'11eb;
  return (x ^ x >> 31) | 1;
}

GlobalAddress address_of(uint64_t n) { return GlobalAddress::direct(1, (n + 1) * 64, 64, 0); }

double cpu_ns() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

struct Key {
  uint64_t hash = 0;
  uint64_t number = 0;
  Bytes bytes() const { return dinomo::object_bytes(number); }
};
Key key_of(uint64_t n) { return {mix(n + 1), n}; }

std::unique_ptr<Dac> make(const Options& o, Policy policy) {
  auto made = Dac::create({.budget_bytes = o.budget_mib << 20, .policy = policy});
  if (!made) throw std::runtime_error("cannot create the cache: give --budget-mib another value");
  return std::move(*made);
}

// Random keys below `population`, in bursts: first prefetch(), then the operation on each.
template <class Operation>
void bursts(const Options& o, uint64_t population, uint64_t& state, bool prefetch, Dac& cache,
            Operation&& operation) {
  std::vector<Key> keys(o.burst);
  for (uint64_t done = 0; done < o.operations; done += o.burst) {
    for (Key& k : keys) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      k = key_of((state >> 32) % population);
      if (prefetch) cache.prefetch(k.hash);
    }
    for (const Key& k : keys) operation(k);
  }
}

struct Row {
  std::string name;
  std::function<uint64_t()> run;  // returns something that depends on all work done
  std::vector<double> ns;
};

struct Memory {
  explicit Memory(uint64_t bytes) : cells(bytes / 64 * 8) {
    // One cycle over all lines (Sattolo), so that every read depends on the one before.
    const uint64_t lines = cells.size() / 8;
    std::vector<uint32_t> order(lines);
    for (uint32_t i = 0; i < lines; ++i) order[i] = i;
    for (uint64_t i = lines - 1; i > 0; --i) std::swap(order[i], order[mix(i) % i]);
    for (uint64_t i = 0; i < lines; ++i) cells[i * 8] = order[i];
  }
  std::vector<uint64_t> cells;
};

double median(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  return v[v.size() / 2];
}

int run(const Options& o) {
  const std::vector<std::byte> value(o.value_bytes, std::byte{7});
  const uint64_t value_keys = (o.budget_mib << 20) * 8 / 10 / (o.value_bytes + 48 + 16);
  const uint64_t shortcut_keys = (o.budget_mib << 20) * 8 / 10 / 16;
  auto values = make(o, Policy::kDac);
  auto shortcuts = make(o, Policy::kShortcutOnly);
  auto full = make(o, Policy::kDac);
  for (uint64_t n = 0; n < value_keys; ++n) {
    const Key k = key_of(n);
    values->fill_miss(k.hash, k.bytes(), value, {}, address_of(n), 2);
  }
  for (uint64_t n = 0; n < shortcut_keys; ++n) {
    const Key k = key_of(n);
    shortcuts->fill_miss(k.hash, k.bytes(), value, {}, address_of(n), 2);
    full->fill_miss(k.hash, k.bytes(), value, {}, address_of(n), 2);
  }
  uint64_t fresh = shortcut_keys;
  uint64_t state = 1;
  Memory memory(o.budget_mib << 20);
  std::vector<std::byte> out(o.value_bytes);

  const auto find_values = [&](bool prefetch) {
    uint64_t sum = 0;
    bursts(o, value_keys, state, prefetch, *values, [&](const Key& k) {
      const Found f = values->find(k.hash, k.bytes());
      sum += f.value.empty() ? 0 : static_cast<uint64_t>(f.value[0]);
    });
    return sum;
  };
  std::vector<Row> rows;
  rows.push_back({"keys and hashes only",
                  [&] {
                    uint64_t sum = 0;
                    bursts(o, value_keys, state, false, *values,
                           [&](const Key& k) { sum += k.hash; });
                    return sum;
                  },
                  {}});
  rows.push_back({"value hit, prefetched", [&] { return find_values(true); }, {}});
  rows.push_back({"value hit, not prefetched", [&] { return find_values(false); }, {}});
  rows.push_back({"value hit, prefetched, copied out",
                  [&] {
                    bursts(o, value_keys, state, true, *values, [&](const Key& k) {
                      const Found f = values->find(k.hash, k.bytes());
                      if (!f.value.empty()) std::memcpy(out.data(), f.value.data(), f.value.size());
                    });
                    return static_cast<uint64_t>(out[0]);
                  },
                  {}});
  rows.push_back({"shortcut hit, prefetched",
                  [&] {
                    uint64_t sum = 0;
                    bursts(o, shortcut_keys, state, true, *shortcuts, [&](const Key& k) {
                      sum += shortcuts->find(k.hash, k.bytes()).address.word();
                    });
                    return sum;
                  },
                  {}});
  rows.push_back({"miss and fill, cache full",
                  [&] {
                    uint64_t sum = 0;
                    bursts(o, 1, state, false, *full, [&](const Key&) {
                      const Key k = key_of(fresh++);
                      sum += static_cast<uint64_t>(full->find(k.hash, k.bytes()).kind);
                      full->fill_miss(k.hash, k.bytes(), value, {}, address_of(fresh), 2);
                    });
                    return sum;
                  },
                  {}});
  rows.push_back({"update in place, prefetched",
                  [&] {
                    bursts(o, value_keys, state, true, *values, [&](const Key& k) {
                      values->update(k.hash, k.bytes(), value, {}, address_of(k.number));
                    });
                    return values->stats().values;
                  },
                  {}});
  dinomo::cache::Ghosts ghosts;
  if (!ghosts.init(o.budget_mib << 20)) throw std::runtime_error("no memory for a ghost list");
  const dinomo::cache::GhostView view{.budget_bytes = o.budget_mib << 20,
                                      .value_bytes = (o.budget_mib << 20) * 9 / 10,
                                      .records = value_keys,
                                      .miss_rt = 2};
  rows.push_back({"ghost list: is a key in the sample",
                  [&] {
                    uint64_t sum = 0;
                    bursts(o, value_keys, state, false, *values,
                           [&](const Key& k) { sum += ghosts.sampled(k.hash) ? 1 : 0; });
                    return sum;
                  },
                  {}});
  rows.push_back({"ghost list: a read, sampled or not",
                  [&] {
                    bursts(o, value_keys, state, false, *values, [&](const Key& k) {
                      if (!ghosts.sampled(k.hash)) return;
                      ghosts.note_read(k.hash, view);
                      ghosts.note_item(k.hash, o.value_bytes + 48, false);
                    });
                    return static_cast<uint64_t>(ghosts.best_order());
                  },
                  {}});
  rows.push_back({"memory: dependent random read",
                  [&] {
                    uint64_t at = 0;
                    for (uint64_t i = 0; i < o.operations; ++i) at = memory.cells[at * 8];
                    return at;
                  },
                  {}});
  rows.push_back({"memory: copy of a value, random",
                  [&] {
                    const uint64_t places = (memory.cells.size() * 8 - o.value_bytes) / 64;
                    const auto* from = reinterpret_cast<const std::byte*>(memory.cells.data());
                    for (uint64_t i = 0; i < o.operations; ++i) {
                      state = state * 6364136223846793005u + 1442695040888963407u;
                      std::memcpy(out.data(), from + (state >> 32) % places * 64, o.value_bytes);
                      asm volatile("" ::"r"(out.data()) : "memory");
                    }
                    return static_cast<uint64_t>(out[0]);
                  },
                  {}});

  uint64_t result = 0;
  for (uint32_t repeat = 0; repeat < o.repeats + 1; ++repeat) {
    for (Row& row : rows) {
      const double start = cpu_ns();
      result = result * 31 + row.run();
      const double ns = (cpu_ns() - start) / static_cast<double>(o.operations);
      if (repeat > 0) row.ns.push_back(ns);  // the first round warms up
    }
  }
  const auto held = values->stats();
  const auto short_held = shortcuts->stats();
  if (o.json) {
    nlohmann::json doc = {{"budget_mib", o.budget_mib},
                          {"value_bytes", o.value_bytes},
                          {"burst", o.burst},
                          {"values", held.values},
                          {"shortcut_bytes_each", static_cast<double>(short_held.budget_bytes) /
                                                      static_cast<double>(short_held.shortcuts)}};
    for (const Row& row : rows) {
      doc["cpu_ns"][row.name] = {{"median", median(row.ns)},
                                 {"min", *std::min_element(row.ns.begin(), row.ns.end())}};
    }
    std::cout << doc.dump(2) << '\n';
    return 0;
  }
  std::printf("cache %lu MiB, values of %u bytes, bursts of %u, %u repeats of %lu operations\n",
              o.budget_mib, o.value_bytes, o.burst, o.repeats, o.operations);
  std::printf("%-36s %10s %10s\n", "CPU ns an operation", "median", "least");
  for (const Row& row : rows) {
    std::printf("%-36s %10.1f %10.1f\n", row.name.c_str(), median(row.ns),
                *std::min_element(row.ns.begin(), row.ns.end()));
  }
  std::printf("values held %lu; shortcuts held %lu in their cache; result %016lx\n", held.values,
              short_held.shortcuts, result);
  return 0;
}

}  // namespace

int main(int argc, char** argv) try {
  Options o;
  CLI::App app("CPU cost of the operations of the cache");
  app.add_flag("--smoke", o.smoke, "smallest sizes, for the test suite");
  app.add_flag("--json", o.json, "print JSON instead of a table");
  app.add_option("--budget-mib", o.budget_mib, "cache size")->check(CLI::Range(1, 65536));
  app.add_option("--value-bytes", o.value_bytes, "value size")->check(CLI::Range(1, 61440));
  app.add_option("--burst", o.burst, "operations a burst")->check(CLI::Range(1, 1024));
  app.add_option("--repeats", o.repeats, "interleaved repeats")->check(CLI::Range(1, 1000));
  app.add_option("--operations", o.operations, "operations a repeat")
      ->check(CLI::Range(1, 1'000'000'000));
  CLI11_PARSE(app, argc, argv);
  if (o.smoke) {
    o.budget_mib = 4;
    o.repeats = 1;
    o.operations = 20'000;
  }
  return run(o);
} catch (const std::exception& e) {
  std::fprintf(stderr, "cache_bench: %s\n", e.what());
  return 1;
}
