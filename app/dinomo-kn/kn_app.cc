// SPDX-License-Identifier: BSD-3-Clause
#include "app/dinomo-kn/kn_app.h"

#include <rte_launch.h>
#include <rte_lcore.h>
#include <sodium.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <fstream>

#include "app/common/notify.h"
#include "common/align.h"
#include "fabric/driver.h"

namespace dinomo::app {

namespace {

// Clients pack requests up to this; larger frames help single large values only.
constexpr uint16_t kPackedBytesMax = 8952;
constexpr uint64_t kStatsIntervalNs = 1'000'000'000;
constexpr useconds_t kControlNapServingUs = 1000;
constexpr useconds_t kControlNapUs = 200;

/// A worker's idle hooks: offline for RCU while it sleeps, and short naps while only polling can
/// notice what it waits for.
class WorkerIdleHooks final : public SystemIdleHooks {
 public:
  WorkerIdleHooks(rte_rcu_qsbr* rcu, uint16_t worker, const kn::Worker* engine) noexcept
      : rcu_(rcu), worker_(worker), engine_(engine) {}

  bool blind() const noexcept override { return SystemIdleHooks::blind() || engine_->waiting(); }
  bool block(uint32_t timeout_us) noexcept override {
    rte_rcu_qsbr_thread_offline(rcu_, worker_);
    const bool woken = SystemIdleHooks::block(timeout_us);
    rte_rcu_qsbr_thread_online(rcu_, worker_);
    return woken;
  }

 private:
  rte_rcu_qsbr* rcu_;
  uint16_t worker_;
  const kn::Worker* engine_;
};

struct WorkerStart {
  KnApp* app;
  uint16_t worker;
};

}  // namespace

KnApp::~KnApp() {
  register_with_dpdk(nullptr);
  control_.reset();
  memcached_.reset();
  workers_.clear();
  if (ingress_) ingress_->stop();
}

bool KnApp::prepare(std::string* why) {
  unsigned lcore = 0;
  RTE_LCORE_FOREACH_WORKER(lcore) lcores_.push_back(lcore);
  if (lcores_.empty()) {
    *why =
        "there is no lcore for a worker: the first lcore controls, each further one serves. Name "
        "at "
        "least two before `--`, as in -l 0,1 or, on one CPU, --lcores '0@0,1@0'";
    return false;
  }
  if (sodium_init() < 0) {
    *why = "libsodium found no source of randomness";
    return false;
  }
  if (!open_ingress(why) || !make_workers(why) || !make_memcached(why)) return false;
  make_control();
  telemetry_ =
      std::make_unique<KnTelemetry>(options_, &shared_, ingress_->capabilities(), clock_.now_ns());
  register_with_dpdk(telemetry_.get());
  apply(options_);
  return true;
}

void KnApp::apply(const KnOptions& wanted) {
  options_.log = wanted.log;
  options_.slow_us = wanted.slow_us;
  options_.warm_s = wanted.warm_s;
  set_log_level(wanted.log.level);
  telemetry_->set_warm_s(wanted.warm_s);
  const uint64_t slow_ns = uint64_t{wanted.slow_us} * 1000;
  shared_.slow_ns.store(slow_ns == 0 ? UINT64_MAX : slow_ns, std::memory_order_relaxed);
}

void KnApp::dump_for_crash(CrashWriter& to) const noexcept {
  for (const auto& worker : workers_)
    worker->dump_for_crash([&to](const kn::UnderWay& u) {
      to.text("crash: under way: worker ").number(u.worker).text(" ").text(u.what);
      to.text(" key_hash ").hex(u.key_hash).text(" session ").hex(u.session);
      to.text(" sequence ").number(u.sequence);
      to.end_line();
    });
}

bool KnApp::open_ingress(std::string* why) {
  ingress::Config config;
  config.port = options_.port;
  config.base_port = options_.udp_port;
  config.shared_port = options_.memcached_port;
  config.workers = static_cast<uint16_t>(lcores_.size());
  config.mtu = options_.mtu;
  config.rx_descriptors = options_.rx_descriptors;
  config.tx_descriptors = options_.tx_descriptors;
  config.rx_checksum = options_.rx_checksum;
  for (const std::string& text : {options_.ip, options_.ip6}) {
    if (text.empty()) continue;
    const auto address = ingress::parse_address(text);
    if (!address) {
      *why = "'" + text + "' is no address: write it as 10.0.0.2/24 or fd00::2/64";
      return false;
    }
    config.addresses.push_back(*address);
  }
  auto opened = ingress::find_driver(options_.ingress)->open(config, why);
  if (!opened) return false;
  ingress_ = std::move(*opened);
  if (!ok(ingress_->start(why))) return false;
  const ingress::Capabilities& c = ingress_->capabilities();
  spdlog::info(
      "port {} ({}): mtu {}, {} receive and {} transmit queues, steering {}{}, idle wait by {}, "
      "checksums by {}, scattered frames {}, link {}",
      c.port, c.device, c.mtu, c.rx_queues, c.tx_queues, ingress::steering_name(c.steering),
      c.steering_why.empty() ? "" : " (" + c.steering_why + ")", ingress::wait_method_name(c.wait),
      c.tx_checksum_offload ? "port" : "software", c.scattered_tx ? "taken" : "not taken",
      c.link_up ? "up" : "down");
  return true;
}

bool KnApp::make_workers(std::string* why) {
  const auto count = static_cast<uint16_t>(lcores_.size());
  const size_t rcu_bytes = rte_rcu_qsbr_get_memsize(count);
  rcu_.reset(static_cast<rte_rcu_qsbr*>(
      std::aligned_alloc(kCacheLineBytes, align_up<size_t>(rcu_bytes, kCacheLineBytes))));
  if (!rcu_ || rte_rcu_qsbr_init(rcu_.get(), count) != 0) {
    *why = "out of memory";
    return false;
  }
  shared_.rcu = rcu_.get();
  kn::WorkerConfig config;
  config.workers = count;
  config.sessions_max = options_.sessions_max;
  config.session_window = options_.session_window;
  config.session_idle_ms = options_.session_idle_s * 1000;
  config.cookie_period_ms = options_.cookie_period_s * 1000;
  config.strangers_per_s = options_.strangers_per_s;
  config.clients = *ingress::NetworkList::parse(options_.clients, why);  // checked before
  config.fetches_max = options_.fetches_max;
  config.unmerged_segments_max = options_.unmerged_segments_max;
  config.write_wait_us = options_.write_wait_us;
  config.queue_wait_us = options_.queue_wait_us;
  config.datagram_bytes_max = std::min<uint16_t>(
      ingress_->capabilities().payload_bytes_max(!options_.ip6.empty()), kPackedBytesMax);
  const cache::DacPolicySpec policy = *cache::parse_policy(options_.cache_policy);
  config.cache.policy = policy.policy;
  config.cache.static_value_fraction = policy.static_value_fraction;
  config.cache.budget_bytes = options_.cache_bytes / count;
  if (!share_cache_memory(config.cache, why)) return false;
  config.cache.pages = cache_pages_.get();
  // One secret for all workers: a session is known to the whole KN.
  randombytes_buf(config.cookie_secret.data(), config.cookie_secret.size());
  for (uint16_t w = 0; w < count; ++w) {
    config.worker = w;
    config.cache.share = w;
    auto worker = kn::Worker::create(config, &ingress_->queue(w), &clock_, &shared_);
    if (!worker) {
      *why = std::string("worker ") + std::to_string(w) + " cannot be made (" +
             status_name(worker.error()) + "): cache_bytes too small for its lcores, or too " +
             "little memory";
      return false;
    }
    workers_.push_back(std::move(*worker));
    shared_.stats.push_back(&workers_.back()->stats());
  }
  return true;
}

bool KnApp::share_cache_memory(const cache::DacConfig& each, std::string* why) {
  if (!options_.tuner.on || each.policy != cache::Policy::kDac || lcores_.size() < 2) return true;
  auto pages = cache::make_page_pool(each, static_cast<uint32_t>(lcores_.size()));
  if (!pages) {
    *why = std::string("no memory for the caches (") + status_name(pages.error()) +
           "): cache_bytes is too small for " + std::to_string(lcores_.size()) +
           " workers, or more than this machine has";
    return false;
  }
  cache_pages_ = std::move(*pages);
  return true;
}

bool KnApp::make_memcached(std::string* why) {
  if (options_.memcached_port == 0 && options_.memcached_tcp.empty()) return true;
  memcached_ = MemcachedFront::create(options_, &workers_, ingress_.get(), &clock_, &shared_, why);
  return memcached_ != nullptr;
}

void KnApp::make_control() {
  cluster::KnControlConfig config;
  const ingress::Endpoint& endpoint = ingress_->endpoint();
  config.address =
      endpoint.ipv4_count != 0 ? ingress::mapped_ipv4(endpoint.ipv4[0]) : endpoint.ipv6[0];
  config.udp_port_base = options_.udp_port;
  config.workers = static_cast<uint16_t>(workers_.size());
  config.name = options_.name;
  config.lease_us = options_.lease_ms * 1000;
  config.heartbeat_us = options_.heartbeat_ms * 1000;
  config.tuner = options_.tuner;
  if (cache_pages_) config.cache_share_bytes = options_.cache_bytes / workers_.size();
  std::vector<kn::Worker*> workers;
  workers.reserve(workers_.size());
  for (const auto& w : workers_) workers.push_back(w.get());
  const auto connect = [this](std::string* why) {
    return with_fabric(options_.fabric, *why, [&](const fabric::Driver& driver) {
      return driver.connect({.target = options_.dpm,
                             .device = options_.fabric.device,
                             .kn_slot = options_.kn_slot,
                             .pair_setup = options_.fabric.pair_setup},
                            why);
    });
  };
  control_ = std::make_unique<cluster::KnControl>(
      config, connect, &clock_, &shared_, std::move(workers),
      cluster::KnEvents{.info = [](const std::string& text) { spdlog::info(text); },
                        .warn = [](const std::string& text) { spdlog::warn(text); }});
}

int KnApp::worker_main(void* argument) {
  const std::unique_ptr<WorkerStart> start(static_cast<WorkerStart*>(argument));
  start->app->run_worker(start->worker);
  return 0;
}

void KnApp::run_worker(uint16_t worker) {
  set_log_thread_name("worker" + std::to_string(worker));
  kn::Worker& engine = *workers_[worker];
  rte_rcu_qsbr_thread_register(rcu_.get(), worker);
  rte_rcu_qsbr_thread_online(rcu_.get(), worker);
  WorkerIdleHooks hooks(rcu_.get(), worker, &engine);
  hooks.add(&ingress_->wait_source(worker));
  if (memcached_) hooks.add(memcached_->wait_source(worker));
  IdlePolicy idle({.mode = options_.idle}, &hooks);
  while (!workers_stop_.load(std::memory_order_relaxed)) {
    const uint32_t work = engine.poll();
    idle.turn(work != 0 || engine.busy());
  }
  rte_rcu_qsbr_thread_offline(rcu_.get(), worker);
  rte_rcu_qsbr_thread_unregister(rcu_.get(), worker);
}

int KnApp::run() {
  const auto count = static_cast<uint16_t>(workers_.size());
  for (uint16_t w = 0; w < count; ++w) {
    rte_eal_remote_launch(&KnApp::worker_main, new WorkerStart{this, w}, lcores_[w]);
  }
  uint64_t stats_ns = 0;
  while (!control_->stopped() && ok(control_->fatal())) {
    if (stop_.load(std::memory_order_relaxed)) control_->stop();
    uint32_t work = control_->poll();
    if (memcached_) work += memcached_->poll();
    const uint64_t now_ns = clock_.now_ns();
    telemetry_->follow(*control_, now_ns);
    if (now_ns - stats_ns >= kStatsIntervalNs) {
      stats_ns = now_ns;
      every_second();
    }
    if (work != 0) continue;
    const bool serving = control_->phase() == cluster::KnPhase::kServing;
    const useconds_t nap_us = serving ? kControlNapServingUs : kControlNapUs;
    if (memcached_) {
      memcached_->wait(nap_us);
    } else {
      ::usleep(nap_us);
    }
  }
  notify_service("STOPPING=1");
  workers_stop_.store(true);
  rte_eal_mp_wait_lcore();
  write_stats();
  return ok(control_->fatal()) ? 0 : 1;
}

void KnApp::every_second() {
  write_stats();
  telemetry_->log_slow();
  telemetry_->follow_port(ingress_->port_counters());
  notify_service("WATCHDOG=1");
  if (control_->ready() && !told_serving_) {
    notify_ready("serving");
    told_serving_ = true;
  }
  if (reload_asked_.exchange(false) && reload_) reload_();
}

/// Replaced as a whole, so that a reader never sees half a file.
void KnApp::write_stats() const {
  if (options_.stats_file.empty()) return;
  std::array<char, kn::kStatsJsonBytesMax> text;
  const size_t bytes = kn::stats_json(shared_.stats, text.data(), text.size());
  const std::string temporary = options_.stats_file + ".new";
  {
    std::ofstream file(temporary, std::ios::trunc);
    const bool waits = control_->phase() == cluster::KnPhase::kServing && !control_->ready();
    file << "{\"phase\":\"" << (waits ? "waiting" : cluster::phase_name(control_->phase()))
         << "\",\"partitions\":" << control_->partitions()
         << ",\"leads\":" << (control_->leading() ? "true" : "false") << ",\"kn\":";
    file.write(text.data(), static_cast<std::streamsize>(bytes));
    file << "}\n";
    if (!file) {
      DINOMO_LOG_LIMITED(warn, "cannot write the stats file {}", temporary);
      return;
    }
  }
  if (std::rename(temporary.c_str(), options_.stats_file.c_str()) != 0) {
    DINOMO_LOG_LIMITED(warn, "cannot replace the stats file {}", options_.stats_file);
  }
}

}  // namespace dinomo::app
