// SPDX-License-Identifier: BSD-3-Clause
#include "world/kn_node.h"

#include <rte_rcu_qsbr.h>

#include <cstdlib>

namespace dinomo::world {

namespace {

constexpr uint64_t kIdleNs = 1'000'000;
constexpr uint64_t kWaitingNs = 20'000;
constexpr uint64_t kBusyNs = 500;
constexpr uint64_t kControlIdleNs = 200'000;
constexpr uint32_t kRingPollUs = 1000;
constexpr uint32_t kTunerPeriodMs = 20;  // memory moves in short runs, too

}  // namespace

KnNode::KnNode(Environment* environment, const KnOptions& options)
    : environment_(environment), options_(options), clock_(&environment->loop, options.clock) {}

KnNode::~KnNode() { kill(); }

void KnNode::start() {
  ++starts_;
  std::string why;
  ingress::Config config;
  config.addresses = {*ingress::parse_address(options_.ip)};
  config.base_port = wire::kDefaultPort;
  config.workers = options_.workers;
  auto opened = ingress::find_driver("sim")->open(config, &why);
  if (!opened) std::abort();  // the scenario was checked
  ingress_ = std::move(*opened);
  make_workers();
  make_control();
  if (!ok(ingress_->start(&why))) std::abort();
  environment_->say(options_.name, "started");
}

void KnNode::make_workers() {
  const size_t bytes = rte_rcu_qsbr_get_memsize(options_.workers);
  rcu_.reset(static_cast<rte_rcu_qsbr*>(
      std::aligned_alloc(kCacheLineBytes, align_up<size_t>(bytes, kCacheLineBytes))));
  rte_rcu_qsbr_init(rcu_.get(), options_.workers);
  shared_ = std::make_unique<kn::Shared>();
  shared_->rcu = rcu_.get();
  kn::WorkerConfig config = options_.worker;
  config.workers = options_.workers;
  // A new secret at every start, as the appliance draws one.
  config.cookie_secret[0] = static_cast<uint8_t>(starts_);
  config.cookie_secret[1] = options_.number;
  if (options_.workers > 1 && config.cache.policy == cache::Policy::kDac) {
    auto pages = cache::make_page_pool(config.cache, options_.workers);
    if (pages) cache_pages_ = std::move(*pages);  // else too small to be divided
    config.cache.pages = cache_pages_.get();
  }
  for (uint16_t w = 0; w < options_.workers; ++w) {
    config.worker = w;
    config.cache.share = w;
    auto made = kn::Worker::create(config, &ingress_->queue(w), &clock_, shared_.get());
    if (!made) std::abort();
    kn::Worker* worker = made->get();
    workers_.push_back(std::move(*made));
    shared_->stats.push_back(&worker->stats());
    rte_rcu_qsbr_thread_register(rcu_.get(), w);
    rte_rcu_qsbr_thread_online(rcu_.get(), w);
    lcores_.push_back(std::make_unique<Lcore>(
        &environment_->loop, &environment_->fabric, options_.costs,
        [worker, this] { return options_.turn ? options_.turn(worker) : worker->poll(); },
        [worker] { return worker->busy()      ? kBusyNs
                          : worker->waiting() ? kWaitingNs
                                              : kIdleNs; }));
    static_cast<ingress::sim::SimIngress*>(ingress_.get())->set_waker(w, lcores_.back().get());
  }
}

void KnNode::make_control() {
  cluster::KnControlConfig config;
  config.address = ingress::mapped_ipv4(ingress_->endpoint().ipv4[0]);
  config.workers = options_.workers;
  config.members = options_.members;
  config.name = options_.name;
  config.lease_us = options_.lease_us;
  config.heartbeat_us = options_.heartbeat_us;
  config.ring_poll_us = kRingPollUs;
  config.leave_patience_us = options_.lease_us * 4;
  config.reconnect_us = options_.reconnect_us;
  if (cache_pages_) config.cache_share_bytes = options_.worker.cache.budget_bytes;
  config.tuner.period_ms = kTunerPeriodMs;
  std::vector<kn::Worker*> workers;
  workers.reserve(workers_.size());
  for (const auto& w : workers_) workers.push_back(w.get());
  const auto connect = [this](std::string* why) {
    return fabric::find_driver("sim")->connect(
        {.target = options_.dpm, .kn_slot = options_.kn_slot}, why);
  };
  const auto say = [this](const std::string& text) { environment_->say(options_.name, text); };
  control_ = std::make_unique<cluster::KnControl>(config, connect, &clock_, shared_.get(),
                                                  std::move(workers),
                                                  cluster::KnEvents{.info = say, .warn = say});
  lcores_.push_back(std::make_unique<Lcore>(
      &environment_->loop, &environment_->fabric, options_.costs,
      [this] { return control_->poll(); }, [] { return kControlIdleNs; }));
}

void KnNode::stop() noexcept {
  if (!running()) return;
  stopping_ = true;
  control_->stop();
}

void KnNode::kill() {
  if (!running()) return;
  stopping_ = false;
  environment_->say(options_.name, "killed");
  lcores_.clear();
  workers_.clear();
  cache_pages_.reset();
  control_.reset();
  ingress_.reset();
  shared_.reset();
  rcu_.reset();
}

void KnNode::pause(uint64_t until_ns) {
  for (const auto& l : lcores_) l->pause(until_ns);
}

bool KnNode::serving() const noexcept {
  return control_ && control_->phase() == cluster::KnPhase::kServing;
}

}  // namespace dinomo::world
