// SPDX-License-Identifier: BSD-3-Clause
// A memory node in this process whose logs are written as KNs do, for benchmarks of merging and
// recovery.
#pragma once

#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "dpm/pool_file.h"
#include "dpm/service.h"
#include "log/format.h"
#include "pool/mailbox.h"
#include "pool/superblock.h"
#include "test/support/steady_clock.h"

namespace dinomo::bench {

using pool::MailboxOpcode;

class NoFabric final : public fabric::Target {
 public:
  uint32_t poll() noexcept override { return 0; }
  Status revoke(uint16_t) noexcept override { return Status::kOk; }
  bool connected(uint16_t) noexcept override { return true; }
};

inline uint64_t now_ns() {
  return static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
}

inline uint64_t cpu_ns() {
  timespec t{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<uint64_t>(t.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(t.tv_nsec);
}

struct Cost {
  uint64_t wall_ns = 0;
  uint64_t cpu_ns = 0;
  uint64_t entries = 0;
};

struct Arguments {
  bool smoke = false;
  std::string json_file;
  std::string directory = "/dev/shm";  // of the pool
};

/// Nothing, and the usage on stderr, if they are wrong.
inline std::optional<Arguments> parse_arguments(int argc, char** argv, const char* program) {
  Arguments a;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--smoke") {
      a.smoke = true;
    } else if (word == "--json" && i + 1 < argc) {
      a.json_file = argv[++i];
    } else if (word == "--directory" && i + 1 < argc) {
      a.directory = argv[++i];
    } else {
      std::fprintf(stderr, "usage: %s [--smoke] [--json FILE] [--directory DIR]\n", program);
      return std::nullopt;
    }
  }
  return a;
}

class MergeRig {
 public:
  MergeRig(const std::string& directory, uint64_t pool_bytes, uint32_t workers) {
    options_.path = directory + "/merge-bench-" + std::to_string(getpid()) + ".pool";
    options_.create = true;
    options_.pool_bytes = pool_bytes;
    options_.geometry.kn_slots = 1;
    options_.geometry.workers_per_kn = kLogs;
    options_.geometry.segment_bytes = uint64_t{4} << 20;
    options_.hash_seed = 1;
    open(workers);
    call(kLogs, 0, MailboxOpcode::kRegister, {kLogs, 0, 0, 0, 0});
  }
  ~MergeRig() {
    crash();
    std::filesystem::remove(options_.path);
  }
  MergeRig(const MergeRig&) = delete;
  MergeRig& operator=(const MergeRig&) = delete;

  /// The memory node dies.
  void crash() {
    service_.reset();
    pool_.reset();
  }
  void open(uint32_t workers) {
    std::string why;
    auto pool = dpm::PoolFile::open(options_, &why);
    if (!pool) fail(why);
    pool_ = std::move(*pool);
    auto service = dpm::Service::start(*pool_, clock_, {workers, 0, 2}, nullptr, &why);
    if (!service) fail(why);
    service_ = std::move(*service);
    service_->serve(target_);
  }
  [[noreturn]] static void fail(const std::string& why) {
    std::fprintf(stderr, "merge_bench: %s\n", why.c_str());
    std::exit(1);
  }
  const std::string& path() const { return options_.path; }
  dpm::Service& service() { return *service_; }

  /// Fills one segment of each log, without a word to anybody. False: the pool is full.
  bool write(uint64_t keys, uint32_t value_bytes, uint64_t* next_key, Cost* cost) {
    for (uint32_t w = 0; w < kLogs; ++w) {
      if (!write_segment(w, keys, value_bytes, next_key, cost)) return false;
    }
    return true;
  }

  /// Merges what was written; adds to *cost.
  void merge(Cost* cost) {
    const uint64_t start = now_ns();
    const uint64_t cpu_start = cpu_ns();
    for (uint32_t w = 0; w < kLogs; ++w) {
      auto& r = record(w);
      r.tail_incarnation = 1;
      std::atomic_ref<uint64_t>(r.tail_lsn).store(lsn_[w], std::memory_order_release);
    }
    for (uint32_t w = 0; w < kLogs; ++w) {
      // Idles as dinomo-dpm does, so that process CPU time is that of merging.
      while (std::atomic_ref<uint64_t>(record(w).merged_lsn).load() < lsn_[w]) {
        if (service_->poll() == 0) std::this_thread::sleep_for(std::chrono::microseconds(50));
      }
    }
    cost->wall_ns += now_ns() - start;
    cost->cpu_ns += cpu_ns() - cpu_start;
    for (int i = 0; i < 4; ++i) service_->poll();  // reclaims
  }

 private:
  static constexpr uint32_t kLogs = 4;

  bool write_segment(uint32_t w, uint64_t keys, uint32_t value_bytes, uint64_t* next_key,
                     Cost* cost) {
    const uint64_t segment_bytes = pool_->superblock().segment_bytes;
    const std::string value(value_bytes, 'v');
    const auto grant = call(w, 1, MailboxOpcode::kSegmentGrant, {});
    if (static_cast<Status>(grant.status) != Status::kOk) return false;
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
      used +=
          log::build_entry(pool_->at(grant.args[0] + used), f, object_bytes(key), as_bytes(value));
      ++cost->entries;
    }
    f.lsn = ++lsn_[w];
    f.op = log::Op::kEnd;
    log::build_entry(pool_->at(grant.args[0] + used), f, {}, {});
    return true;
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

  dpm::PoolOptions options_;
  test::SteadyClock clock_;
  NoFabric target_;
  std::unique_ptr<dpm::PoolFile> pool_;
  std::unique_ptr<dpm::Service> service_;
  std::array<uint64_t, kLogs> lsn_{};
  uint64_t sequence_ = 0;
};

}  // namespace dinomo::bench
