// SPDX-License-Identifier: BSD-3-Clause
// dinomo-kn put together: ingress, workers on their lcores, the control loop on the main lcore.
#pragma once

#include <rte_rcu_qsbr.h>

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "app/common/crash_dump.h"
#include "app/dinomo-kn/kn_options.h"
#include "app/dinomo-kn/kn_telemetry.h"
#include "app/dinomo-kn/memcached_front.h"
#include "cache/page_pool.h"
#include "cluster/kn_control.h"
#include "drivers/clock/system/system_clock.h"
#include "ingress/driver.h"
#include "kn/worker.h"

namespace dinomo::app {

class KnApp {
 public:
  explicit KnApp(const KnOptions& options) : options_(options) {}
  ~KnApp();

  /// After rte_eal_init, on the main lcore. False: `why` says what is wrong and what to do.
  bool prepare(std::string* why);
  /// Serves until request_stop(); returns the exit status.
  int run();
  /// Async-signal-safe.
  void request_stop() noexcept { stop_.store(true, std::memory_order_relaxed); }
  /// Async-signal-safe. `reload` is called on the control lcore, soon.
  void request_reload() noexcept { reload_asked_.store(true, std::memory_order_relaxed); }
  void on_reload(std::function<void()> reload) { reload_ = std::move(reload); }
  /// Takes over what may change while it runs: kAtRunTime. Control lcore.
  void apply(const KnOptions& wanted);
  static constexpr std::array<std::string_view, 3> kAtRunTime = {"log_level", "slow_us", "warm_s"};
  /// What the workers have under way. From a signal handler: only reads.
  void dump_for_crash(CrashWriter& to) const noexcept;

 private:
  struct RcuDelete {
    void operator()(rte_rcu_qsbr* p) const noexcept { std::free(p); }
  };

  bool open_ingress(std::string* why);
  bool make_workers(std::string* why);
  bool share_cache_memory(const cache::DacConfig& each, std::string* why);
  bool make_memcached(std::string* why);
  void make_control();
  static int worker_main(void* argument);
  void run_worker(uint16_t worker);
  void write_stats() const;
  void every_second();

  KnOptions options_;
  SystemClock clock_;
  std::vector<unsigned> lcores_;  // of the workers
  std::unique_ptr<ingress::Ingress> ingress_;
  std::unique_ptr<rte_rcu_qsbr, RcuDelete> rcu_;
  kn::Shared shared_;
  std::unique_ptr<cache::PagePool> cache_pages_;  // outlives the workers; null: each has its own
  std::vector<std::unique_ptr<kn::Worker>> workers_;
  std::unique_ptr<MemcachedFront> memcached_;  // null: not served
  std::unique_ptr<cluster::KnControl> control_;
  std::unique_ptr<KnTelemetry> telemetry_;
  std::function<void()> reload_;
  std::atomic<bool> reload_asked_{false};
  bool told_serving_ = false;  // to systemd
  std::atomic<bool> stop_{false};
  std::atomic<bool> workers_stop_{false};
};

}  // namespace dinomo::app
