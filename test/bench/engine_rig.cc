// SPDX-License-Identifier: BSD-3-Clause
#include "test/bench/engine_rig.h"

#include <rte_rcu_qsbr.h>
#include <sodium.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <future>

#include "cache/policy.h"
#include "fabric/driver.h"

namespace dinomo::bench {

namespace {

constexpr uint32_t kLeaseUs = 3'600'000'000;  // outlives a run: what is timed does not renew it
constexpr int kSettleTurnsMax = 20'000'000;
constexpr uint32_t kUnmergedLog2 = 18;

rte_rcu_qsbr* rcu_in(std::vector<std::byte>& memory) {
  void* at = memory.data();
  size_t space = memory.size();
  return static_cast<rte_rcu_qsbr*>(
      std::align(RTE_CACHE_LINE_SIZE, rte_rcu_qsbr_get_memsize(kWorkers), at, space));
}

}  // namespace

std::unique_ptr<Rig> Rig::make(const RigConfig& config, std::string* why) {
  std::unique_ptr<Rig> rig(new Rig);
  if (sodium_init() < 0) {
    *why = "libsodium found no source of randomness";
    return nullptr;
  }
  if (!rig->open_pool(config, why) || !rig->make_workers(config, why) || !rig->connect(why)) {
    return nullptr;
  }
  return rig;
}

Rig::~Rig() {
  control_.reset();
  workers_.clear();
  service_.reset();
  target_.reset();
  pool_.reset();
  std::error_code ignored;
  if (!pool_path_.empty()) std::filesystem::remove(pool_path_, ignored);
  if (!socket_path_.empty()) std::filesystem::remove(socket_path_, ignored);
}

bool Rig::open_pool(const RigConfig& config, std::string* why) {
  std::string directory = config.directory;
  if (directory.empty()) directory = ::access("/dev/shm", W_OK) == 0 ? "/dev/shm" : ".";
  const std::string stem = directory + "/dinomo-engine-bench-" + std::to_string(::getpid());
  pool_path_ = stem + ".pool";
  socket_path_ = stem + ".sock";
  dpm::PoolOptions options;
  options.path = pool_path_;
  options.create = true;
  options.pool_bytes = config.pool_bytes;
  options.hash_seed = 0x5eed;
  options.uuid.fill(7);
  options.unix_ms = clock_.unix_ms();
  auto pool = dpm::PoolFile::open(options, why);
  if (!pool) return false;
  pool_ = std::move(*pool);
  auto service = dpm::Service::start(
      *pool_, clock_, {.merge_workers = 0}, [this](const std::string& text) { trouble_ = text; },
      why);
  if (!service) return false;
  service_ = std::move(*service);
  const pool::Superblock& s = pool_->superblock();
  auto target =
      fabric::find_driver("shm")->listen(socket_path_,
                                         {pool_->memory(), pool_path_, pool_->superblock_offset(),
                                          s.uuid, s.node_id, s.kn_slots, pool_->persistence()},
                                         why);
  if (!target) return false;
  target_ = std::move(*target);
  service_->serve(*target_);
  return true;
}

bool Rig::make_workers(const RigConfig& config, std::string* why) {
  rcu_.resize(rte_rcu_qsbr_get_memsize(kWorkers) + RTE_CACHE_LINE_SIZE);
  rte_rcu_qsbr* const rcu = rcu_in(rcu_);
  if (rte_rcu_qsbr_init(rcu, kWorkers) != 0) {
    *why = "no RCU state";
    return false;
  }
  shared_.rcu = rcu;
  constexpr cache::Policy kPolicies[kWorkers] = {cache::Policy::kDac, cache::Policy::kShortcutOnly,
                                                 cache::Policy::kNone};
  for (uint16_t w = 0; w < kWorkers; ++w) {
    kn::WorkerConfig c;
    c.worker = w;
    c.workers = kWorkers;
    c.cache.policy = kPolicies[w];
    c.cache.budget_bytes = config.cache_bytes[w];
    c.session_window = 1024;  // a burst of packed mutations is in flight at once
    c.unmerged_log2 = kUnmergedLog2;
    queues_.push_back(std::make_unique<ReplayQueue>(config.script_bytes));
    auto worker = kn::Worker::create(c, queues_[w].get(), &clock_, &shared_);
    if (!worker) {
      *why = std::string("no worker: ") + status_name(worker.error());
      return false;
    }
    workers_.push_back(std::move(*worker));
    shared_.stats.push_back(&workers_[w]->stats());
    rte_rcu_qsbr_thread_register(rcu, w);
    rte_rcu_qsbr_thread_online(rcu, w);
  }
  return true;
}

bool Rig::connect(std::string* why) {
  cluster::KnControlConfig config;
  config.workers = kWorkers;
  config.lease_us = kLeaseUs;
  std::vector<kn::Worker*> workers;
  workers.reserve(kWorkers);
  for (const auto& w : workers_) workers.push_back(w.get());
  // The driver's connect waits for the service, which this thread polls.
  const auto connect = [this](std::string* reason) {
    auto connected = std::async(std::launch::async, [this, reason] {
      return fabric::find_driver("shm")->connect({.target = socket_path_, .kn_slot = 0}, reason);
    });
    while (connected.wait_for(std::chrono::microseconds(100)) != std::future_status::ready) {
      service_->poll();
    }
    return connected.get();
  };
  control_ = std::make_unique<cluster::KnControl>(
      config, connect, &clock_, &shared_, std::move(workers),
      cluster::KnEvents{.info = [](const std::string&) {},
                        .warn = [this](const std::string& text) { trouble_ = text; }});
  const auto up = [this] {
    if (control_->phase() != cluster::KnPhase::kServing) return false;
    if (shared_.lease_deadline_ns.load() == 0) return false;
    return std::ranges::all_of(workers_,
                               [](const auto& w) { return w->attached_for_control() != nullptr; });
  };
  const uint64_t deadline_ns = clock_.now_ns() + 20'000'000'000;
  while (!up()) {
    rest();
    if (clock_.now_ns() > deadline_ns || !ok(control_->fatal())) {
      *why = "the KN does not come to serve: " + trouble_;
      return false;
    }
  }
  return settle();
}

void Rig::rest() {
  service_->poll();
  control_->poll();
  for (const auto& w : workers_) w->poll();
}

bool Rig::settle() {
  for (int i = 0; i < kSettleTurnsMax; ++i) {
    rest();
    if (i % 64 != 63 || service_->stats().lag_entries != 0) continue;
    const bool merged = std::ranges::all_of(workers_, [](const auto& w) {
      return w->stats().unmerged_entries.get() == 0 && !w->busy() && !w->waiting();
    });
    if (merged && i > 256) return true;
  }
  return false;
}

}  // namespace dinomo::bench
