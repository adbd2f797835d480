// SPDX-License-Identifier: BSD-3-Clause
// A whole Dinomo in one process and one thread, without a network: a DPM service over a pool file,
// and a KN of three workers that differ in their cache policy, each fed from a ReplayQueue.
//
// Three workers, so that value hits, shortcut hits and misses can be measured in turns in one run;
// each serves the keys that the ring gives to it, as in the product.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cluster/kn_control.h"
#include "dpm/pool_file.h"
#include "dpm/service.h"
#include "drivers/clock/system/system_clock.h"
#include "kn/worker.h"
#include "test/bench/replay_queue.h"

namespace dinomo::bench {

inline constexpr uint16_t kWorkers = 3;
enum WorkerKind : uint16_t { kValues = 0, kShortcuts = 1, kUncached = 2 };

struct RigConfig {
  std::string directory;  // for the pool; empty: /dev/shm, or the current one if there is none
  uint64_t pool_bytes = 0;
  std::array<uint64_t, kWorkers> cache_bytes{};
  size_t script_bytes = 256 * 1024;  // requests made ahead; about what a receive ring holds
};

class Rig {
 public:
  static std::unique_ptr<Rig> make(const RigConfig& config, std::string* why);
  ~Rig();

  kn::Worker& worker(uint16_t w) { return *workers_[w]; }
  ReplayQueue& queue(uint16_t w) { return *queues_[w]; }

  /// Lets everything but the engine's own work happen: merging, segment grants, the lease.
  void rest();
  /// Until all that was written is merged and the workers know it. False if that never comes.
  bool settle();

 private:
  Rig() = default;
  bool open_pool(const RigConfig& config, std::string* why);
  bool make_workers(const RigConfig& config, std::string* why);
  bool connect(std::string* why);

  SystemClock clock_;
  std::string pool_path_;
  std::string socket_path_;
  std::unique_ptr<dpm::PoolFile> pool_;
  std::unique_ptr<fabric::Target> target_;
  std::unique_ptr<dpm::Service> service_;
  std::vector<std::byte> rcu_;
  kn::Shared shared_;
  std::vector<std::unique_ptr<ReplayQueue>> queues_;
  std::vector<std::unique_ptr<kn::Worker>> workers_;
  std::unique_ptr<cluster::KnControl> control_;
  std::string trouble_;
};

}  // namespace dinomo::bench
