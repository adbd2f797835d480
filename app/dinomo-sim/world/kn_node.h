// SPDX-License-Identifier: BSD-3-Clause
// A simulated compute node: the workers and the control lcore of one KN.
#pragma once

#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cache/page_pool.h"
#include "cluster/kn_control.h"
#include "kn/worker.h"
#include "sim/node_clock.h"
#include "world/environment.h"
#include "world/lcore.h"

namespace dinomo::world {

struct KnOptions {
  std::string name = "kn0";
  std::string ip = "10.0.1.1";
  std::string dpm = "dpm0";
  uint16_t kn_slot = 0;
  uint8_t number = 0;                   // of the process, in its cluster
  std::vector<wire::KnRecord> members;  // of a cluster whose ring does not change; else none
  uint16_t workers = 1;
  kn::WorkerConfig worker;
  uint32_t lease_us = 1'000'000;
  uint32_t heartbeat_us = 100'000;
  uint32_t reconnect_us = 10'000;
  sim::ClockFaults clock;
  LcoreCosts costs;
  /// A worker's turn, poll() and whatever else is to be seen to; answers what poll() answers, in
  /// the unit that costs.work_ns is for. Null: poll() alone.
  std::function<uint32_t(kn::Worker*)> turn;
};

class KnNode {
 public:
  KnNode(Environment* environment, const KnOptions& options);
  ~KnNode();

  void start();
  /// kill -9. What its cards had taken may land still.
  void kill();
  bool running() const noexcept { return control_ != nullptr; }
  /// Kills it for good.
  void retire() {
    kill();
    retired_ = true;
  }
  bool retired() const noexcept { return retired_; }
  /// Takes no turn until `until_ns`, as if stopped by a signal or a hypervisor.
  void pause(uint64_t until_ns);
  bool serving() const noexcept;
  bool lease_valid() noexcept {
    return clock_.now_ns() < shared_->lease_deadline_ns.load(std::memory_order_relaxed);
  }
  /// Gives its partitions away, or takes some back.
  void drain(bool on) noexcept {
    if (control_) control_->set_leaving(on);
  }
  /// Begins to leave in order; ends as a process once it has.
  void stop() noexcept;
  bool stopping() const noexcept { return stopping_; }

  const std::string& name() const noexcept { return options_.name; }
  const KnOptions& options() const noexcept { return options_; }
  cluster::KnControl& control() noexcept { return *control_; }
  const std::vector<std::unique_ptr<kn::Worker>>& workers() const noexcept { return workers_; }

 private:
  struct FreeAligned {
    void operator()(void* p) const noexcept { std::free(p); }
  };
  void make_workers();
  void make_control();

  Environment* environment_;
  const KnOptions options_;
  sim::NodeClock clock_;
  uint64_t starts_ = 0;
  bool retired_ = false;
  bool stopping_ = false;
  std::unique_ptr<rte_rcu_qsbr, FreeAligned> rcu_;
  std::unique_ptr<kn::Shared> shared_;
  std::unique_ptr<ingress::Ingress> ingress_;
  std::unique_ptr<cache::PagePool> cache_pages_;
  std::vector<std::unique_ptr<kn::Worker>> workers_;
  std::unique_ptr<cluster::KnControl> control_;
  std::vector<std::unique_ptr<Lcore>> lcores_;  // of the workers, then the control lcore's
};

}  // namespace dinomo::world
