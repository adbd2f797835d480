// SPDX-License-Identifier: BSD-3-Clause
// Cost of merging: log entries written as a KN does, then merged by the memory node, by entry size
// and number of workers. Prints a table and, with --json FILE, the same as JSON.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "dpm/pool_file.h"
#include "dpm/service.h"
#include "log/format.h"
#include "pool/mailbox.h"
#include "pool/superblock.h"
#include "test/support/steady_clock.h"

namespace dinomo {
namespace {

using pool::MailboxOpcode;

struct Case {
  uint32_t workers;
  uint32_t value_bytes;
  bool insert;  // every key new, else updates of keys that exist
};

class NoFabric final : public fabric::Target {
 public:
  uint32_t poll() noexcept override { return 0; }
  Status revoke(uint16_t) noexcept override { return Status::kOk; }
  bool connected(uint16_t) noexcept override { return true; }
};

uint64_t now_ns() {
  return static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
}

uint64_t cpu_ns() {
  timespec t{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<uint64_t>(t.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(t.tv_nsec);
}

struct Cost {
  uint64_t wall_ns = 0;
  uint64_t cpu_ns = 0;
  uint64_t entries = 0;
};

class Bench {
 public:
  Bench(const std::string& directory, uint64_t pool_bytes, uint32_t workers) {
    dpm::PoolOptions o;
    o.path = directory + "/merge-bench.pool";
    o.create = true;
    o.pool_bytes = pool_bytes;
    o.geometry.kn_slots = 1;
    o.geometry.workers_per_kn = kLogs;
    o.geometry.segment_bytes = uint64_t{4} << 20;
    o.hash_seed = 1;
    std::string why;
    auto pool = dpm::PoolFile::open(o, &why);
    if (!pool) fail(why);
    pool_ = std::move(*pool);
    auto service = dpm::Service::start(*pool_, clock_, {workers, 0, 2}, nullptr, &why);
    if (!service) fail(why);
    service_ = std::move(*service);
    service_->serve(target_);
    call(kLogs, 0, MailboxOpcode::kRegister, {kLogs, 0, 0, 0, 0});
  }
  ~Bench() {
    const std::string path = pool_->path();
    service_.reset();
    pool_.reset();
    std::filesystem::remove(path);
  }
  Bench(const Bench&) = delete;
  Bench& operator=(const Bench&) = delete;

  /// Fills one segment of each log, then merges all; adds to *cost.
  void round(uint64_t keys, uint32_t value_bytes, uint64_t* next_key, Cost* cost) {
    const uint64_t segment_bytes = pool_->superblock().segment_bytes;
    std::array<uint64_t, kLogs> last{};
    std::string value(value_bytes, 'v');
    for (uint32_t w = 0; w < kLogs; ++w) {
      const auto grant = call(w, 1, MailboxOpcode::kSegmentGrant, {});
      if (static_cast<Status>(grant.status) != Status::kOk) fail("the pool is full");
      log::EntryFields f;
      f.generation = static_cast<uint32_t>(grant.args[2]);
      f.log_id = static_cast<uint16_t>(w);
      uint64_t used = sizeof(pool::SegmentHeader);
      const uint64_t bytes = log::entry_bytes(8, value_bytes);
      while (used + bytes + 64 <= segment_bytes) {
        // Spread over the table in no order.
        const uint64_t key = (*next_key)++ % keys * 0x9e3779b97f4a7c15u;
        f.lsn = ++lsn_[w];
        f.op = log::Op::kPut;
        used += log::build_entry(pool_->at(grant.args[0] + used), f, object_bytes(key),
                                 as_bytes(value));
        ++cost->entries;
      }
      f.lsn = ++lsn_[w];
      f.op = log::Op::kEnd;
      log::build_entry(pool_->at(grant.args[0] + used), f, {}, {});
      last[w] = f.lsn;
    }
    const uint64_t start = now_ns();
    const uint64_t cpu_start = cpu_ns();
    for (uint32_t w = 0; w < kLogs; ++w) {
      auto& r = record(w);
      r.tail_incarnation = 1;
      std::atomic_ref<uint64_t>(r.tail_lsn).store(last[w], std::memory_order_release);
    }
    for (uint32_t w = 0; w < kLogs; ++w) {
      // Idles as dinomo-dpm does, so that process CPU time is that of merging.
      while (std::atomic_ref<uint64_t>(record(w).merged_lsn).load() < last[w]) {
        if (service_->poll() == 0) std::this_thread::sleep_for(std::chrono::microseconds(50));
      }
    }
    cost->wall_ns += now_ns() - start;
    cost->cpu_ns += cpu_ns() - cpu_start;
    for (int i = 0; i < 4; ++i) service_->poll();  // reclaims
  }

 private:
  static constexpr uint32_t kLogs = 4;

  [[noreturn]] static void fail(const std::string& why) {
    std::fprintf(stderr, "merge_bench: %s\n", why.c_str());
    std::exit(1);
  }
  pool::LogRecord& record(uint32_t log) {
    return *pool_->record<pool::LogRecord>(pool::log_record_offset(pool_->superblock(), log));
  }
  pool::MailboxLine call(uint32_t worker, uint32_t incarnation, MailboxOpcode opcode,
                         std::array<uint64_t, 5> args) {
    auto& cell =
        *pool_->record<pool::MailboxCell>(pool::mailbox_offset(pool_->superblock(), 0, worker, 0));
    pool::store_mailbox_line(&cell.request,
                             pool::make_request(++sequence_, incarnation, opcode, args));
    while (!pool::answers(pool::load_mailbox_line(&cell.reply), sequence_)) service_->poll();
    return cell.reply;
  }

  test::SteadyClock clock_;
  NoFabric target_;
  std::unique_ptr<dpm::PoolFile> pool_;
  std::unique_ptr<dpm::Service> service_;
  std::array<uint64_t, kLogs> lsn_{};
  uint64_t sequence_ = 0;
};

Cost run(const Case& c, const std::string& directory, bool smoke) {
  const uint64_t pool_bytes = uint64_t{smoke ? 192u : 1024u} << 20;
  const int rounds = smoke ? 1 : c.insert ? 6 : 20;
  Bench bench(directory, pool_bytes, c.workers);
  const uint64_t keys = c.insert ? UINT64_MAX : (smoke ? 4'000 : 100'000);
  uint64_t next_key = 0;
  Cost cost;
  if (!c.insert) {  // all keys once, so that what is measured are updates
    while (next_key < keys) bench.round(keys, c.value_bytes, &next_key, &cost);
    cost = {};
  }
  for (int i = 0; i < rounds; ++i) bench.round(keys, c.value_bytes, &next_key, &cost);
  return cost;
}

}  // namespace
}  // namespace dinomo

int main(int argc, char** argv) {
  using namespace dinomo;
  bool smoke = false;
  std::string json_file;
  std::string directory = "/dev/shm";
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--smoke") {
      smoke = true;
    } else if (word == "--json" && i + 1 < argc) {
      json_file = argv[++i];
    } else if (word == "--directory" && i + 1 < argc) {
      directory = argv[++i];
    } else {
      std::fprintf(stderr, "usage: merge_bench [--smoke] [--json FILE] [--directory DIR]\n");
      return 2;
    }
  }
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
