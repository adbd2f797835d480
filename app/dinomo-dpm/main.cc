// SPDX-License-Identifier: BSD-3-Clause
// dinomo-dpm: the memory node.
#include <sched.h>
#include <spdlog/spdlog.h>
#include <sys/random.h>
#include <time.h>  // NOLINT(modernize-deprecated-headers): clock_nanosleep

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <functional>

#include "app/common/crash_dump.h"
#include "app/common/log.h"
#include "app/common/notify.h"
#include "app/common/reload.h"
#include "app/common/telemetry_socket.h"
#include "app/dinomo-dpm/check.h"
#include "app/dinomo-dpm/dpm_telemetry.h"
#include "app/dinomo-dpm/options.h"
#include "app/dinomo-dpm/stats_file.h"
#include "dpm/pool_file.h"
#include "dpm/service.h"
#include "drivers/clock/system/system_clock.h"
#include "fabric/driver.h"

namespace dinomo::app {
namespace {

constexpr uint64_t kStatsNs = 1'000'000'000;
constexpr uint64_t kStopNs = 30'000'000'000;  // merging what is left may take this long

std::atomic<bool> stop_asked{false};
std::atomic<bool> reload_asked{false};

void ask_to_stop(int) { stop_asked.store(true); }
void ask_to_reload(int) { reload_asked.store(true); }

constexpr std::array<std::string_view, 1> kAtRunTime = {"log_level"};

/// How an idle service gives the CPU away: a few yields, then sleeps of 50 us growing to 1 ms.
class Idle {
 public:
  void after(uint32_t events) {
    if (events != 0) {
      turns_ = 0;
      return;
    }
    ++turns_;
    if (turns_ <= kYields) {
      sched_yield();
      return;
    }
    const uint32_t doublings = std::min<uint32_t>((turns_ - kYields) / kTurnsPerStep, 5);
    const long ns = std::min<long>(50'000L << doublings, 1'000'000L);
    const timespec pause{0, ns};
    clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, nullptr);
  }

 private:
  static constexpr uint32_t kYields = 20;
  static constexpr uint32_t kTurnsPerStep = 8;
  uint32_t turns_ = 0;
};

bool fill_random(void* to, size_t bytes) {
  return getrandom(to, bytes, 0) == static_cast<ssize_t>(bytes);
}

bool pool_options(const DpmOptions& o, Clock& clock, dpm::PoolOptions* p) {
  p->path = o.pool;
  p->create = o.create;
  p->pool_bytes = o.pool_bytes / 4096 * 4096;
  p->index_buckets = o.index_buckets;
  p->geometry.node_id = static_cast<uint16_t>(o.node_id);
  p->geometry.kn_slots = static_cast<uint16_t>(o.kn_slots);
  p->geometry.workers_per_kn = static_cast<uint16_t>(o.workers_per_kn);
  p->geometry.segment_bytes = o.segment_bytes / 64 * 64;
  p->unix_ms = clock.unix_ms();
  p->persistence = o.persistence;
  p->require_power_safe = o.require_power_safe;
  return fill_random(p->uuid.data(), p->uuid.size()) &&
         fill_random(&p->hash_seed, sizeof p->hash_seed);
}

void say_ready(const DpmOptions& o, const Identity& identity, dpm::Service& service,
               dpm::PoolFile& pool) {
  const dpm::RecoveryReport& r = service.recovery();
  spdlog::info(
      "recovery after {}: {} items, {} entries merged from {} open logs, {} torn tails, {} slots "
      "discarded, {} links cut, {:.1f} ms",
      r.clean ? "a clean stop" : "a crash", r.items, r.entries_merged, r.logs_open, r.torn_tails,
      r.slots_discarded, r.links_cut, static_cast<double>(r.duration_ns) / 1e6);
  const auto ms = [](uint64_t ns) { return static_cast<double>(ns) / 1e6; };
  const dpm::RecoveryPhases& p = r.phases;
  spdlog::info(
      "recovery took: segments {:.1f} ms, resize {:.1f} ms, index {:.1f} ms, sessions {:.1f} ms, "
      "logs {:.1f} ms, merge {:.1f} ms",
      ms(p.segments_ns), ms(p.resize_ns), ms(p.index_ns), ms(p.sessions_ns), ms(p.logs_ns),
      ms(p.merge_ns));
  if (r.damage != 0) {
    spdlog::error(
        "the pool was damaged: {} things were mended or given up, {} slots and {} links of the "
        "index among them; check the memory or disk, and the pool with --check",
        r.damage, r.slots_discarded, r.links_cut);
  }
  if (pool.memory().size() != o.pool_bytes && !pool.created()) {
    spdlog::info("pool_bytes is only for new pools; this one has {} MiB",
                 pool.memory().size() >> 20);
  }
  spdlog::info(
      "ready: pool {} ({} MiB, {} segments of {} KiB in use, {} items), {}, recovered in "
      "{:.1f} ms, listening on {}",
      identity.pool, identity.pool_bytes >> 20,
      service.stats().segments.open + service.stats().segments.merged, identity.segment_bytes >> 10,
      r.items, identity.persistence, static_cast<double>(r.duration_ns) / 1e6, identity.listen);
}

void serve(const DpmOptions& o, const Identity& identity, dpm::Service& service,
           DpmTelemetry& telemetry, const std::function<void()>& reload, Clock& clock) {
  Idle idle;
  uint64_t stats_at_ns = 0;
  bool stats_failed = false;
  while (!stop_asked.load(std::memory_order_relaxed)) {
    idle.after(service.poll());
    const uint64_t now_ns = clock.now_ns();
    telemetry.follow(service, now_ns);
    if (reload_asked.load(std::memory_order_relaxed) && reload_asked.exchange(false)) reload();
    if (now_ns < stats_at_ns) continue;
    stats_at_ns = now_ns + kStatsNs;
    notify_service("WATCHDOG=1");
    if (o.stats_file.empty()) continue;
    if (write_stats(o.stats_file, identity, service.stats())) {
      stats_failed = false;
    } else if (!stats_failed) {
      spdlog::warn("cannot write {}: {}", o.stats_file, std::strerror(errno));
      stats_failed = true;
    }
  }
}

bool stop(dpm::Service& service, Clock& clock) {
  const uint64_t give_up_ns = clock.now_ns() + kStopNs;
  while (clock.now_ns() < give_up_ns) {
    if (service.stop()) return true;
    sched_yield();
  }
  spdlog::warn("logs could not be merged in time; the next start will do it");
  return false;
}

/// Null where it is not wanted or cannot be had: that is no reason not to serve.
std::unique_ptr<TelemetrySocket> open_telemetry(const DpmOptions& o, DpmTelemetry* telemetry) {
  std::string why;
  if (!o.telemetry) return nullptr;
  auto socket = TelemetrySocket::open(o.telemetry_prefix, telemetry, &why);
  if (socket) {
    spdlog::info("telemetry on {}", socket->path());
  } else {
    spdlog::warn("{}", why);
  }
  return socket;
}

int run(const DpmOptions& o, const std::function<void()>& reload) {
  SystemClock clock;
  std::string why;
  dpm::PoolOptions wanted;
  if (!pool_options(o, clock, &wanted)) {
    spdlog::error("no random numbers from the kernel: {}", std::strerror(errno));
    return 1;
  }
  auto pool = dpm::PoolFile::open(wanted, &why);
  if (!pool) {
    spdlog::error("{}", why);
    return 1;
  }
  auto service = dpm::Service::start(
      **pool, clock,
      {.merge_workers = o.merge_workers,
       .reclaim_grace_ms = o.reclaim_grace_ms,
       .reserve_segments = o.reserve_segments,
       .index_grace_ms = o.index_grace_ms,
       .compact_below_percent = o.compact_below_percent,
       .expiry_grace_ms = o.expiry_grace_ms},
      [](const std::string& text) { DINOMO_LOG_LIMITED(info, "{}", text); }, &why);
  if (!service) {
    spdlog::error("{}", why);
    return 1;
  }
  const pool::Superblock& s = (*pool)->superblock();
  const fabric::PoolExport exported{.memory = (*pool)->memory(),
                                    .path = o.pool,
                                    .superblock_offset = (*pool)->superblock_offset(),
                                    .uuid = s.uuid,
                                    .node_id = s.node_id,
                                    .kn_slots = s.kn_slots,
                                    .persistence = (*pool)->persistence(),
                                    .device = o.fabric.device,
                                    .pair_setup = o.fabric.pair_setup,
                                    .warn = [](const std::string& text) { spdlog::warn(text); }};
  auto target = with_fabric(o.fabric, why, [&](const fabric::Driver& driver) {
    return driver.listen(o.listen, exported, &why);
  });
  if (!target) {
    spdlog::error("{}", why);
    return 1;
  }
  const Identity identity{o.pool, o.listen, pool::persistence_name((*pool)->persistence()),
                          s.pool_bytes, s.segment_bytes};
  (*service)->serve(**target);
  DpmTelemetry telemetry(identity, pool->get());
  const auto socket = open_telemetry(o, &telemetry);
  say_ready(o, identity, **service, **pool);
  notify_ready("serving " + identity.pool);
  serve(o, identity, **service, telemetry, reload, clock);
  telemetry.stopping();
  notify_service("STOPPING=1\nSTATUS=merging what is left in the logs");
  spdlog::info("stopping: merging what is left in the logs");
  const bool clean = stop(**service, clock);
  if (!o.stats_file.empty()) write_stats(o.stats_file, identity, (*service)->stats());
  service->reset();
  target->reset();
  spdlog::info("stopped{}", clean ? ", the pool is closed in order" : "");
  return 0;
}

}  // namespace
}  // namespace dinomo::app

int main(int argc, char** argv) {
  using namespace dinomo::app;
  DpmOptions options;
  OptionTable table("dinomo-dpm",
                    "The memory node: owns a pool and merges what compute nodes log.");
  add_dpm_options(table, &options);
  if (const auto status = table.parse(argc, argv)) return *status;
  start_logging(options.log);
  if (options.check || options.repair) return check(options);
  struct sigaction action{};
  action.sa_handler = ask_to_stop;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  action.sa_handler = ask_to_reload;
  sigaction(SIGHUP, &action, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  install_crash_dump("dinomo-dpm", nullptr);
  return run(options, [&] {
    DpmOptions wanted;
    OptionTable fresh("dinomo-dpm", "");
    add_dpm_options(fresh, &wanted);
    if (!reread_options(&fresh, {argv, static_cast<size_t>(argc)})) return;
    log_reload(table, fresh, kAtRunTime);
    options.log = wanted.log;
    set_log_level(wanted.log.level);
  });
}
