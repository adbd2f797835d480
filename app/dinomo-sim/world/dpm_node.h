// SPDX-License-Identifier: BSD-3-Clause
// A simulated memory node: persistent memory and, while it runs, the DPM service.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "dpm/check/report.h"
#include "dpm/service.h"
#include "sim/event_loop.h"
#include "sim/node_clock.h"
#include "sim/pool_memory.h"
#include "world/environment.h"
#include "world/lcore.h"

namespace dinomo::world {

struct DpmOptions {
  std::string name = "dpm0";
  uint64_t pool_bytes = uint64_t{16} << 20;
  uint64_t index_buckets = 2048;
  pool::PoolGeometry geometry;
  dpm::ServiceConfig service;
  LcoreCosts costs;
  sim::ClockFaults clock;
  uint64_t seed = 1;
};

class DpmNode final : private sim::Handler {
 public:
  DpmNode(Environment* environment, const DpmOptions& options);
  ~DpmNode() override;
  DpmNode(const DpmNode&) = delete;
  DpmNode& operator=(const DpmNode&) = delete;

  /// kOk, or why the pool could not be recovered: it is audited, too. Does not run after it if it
  /// was to stop in the middle of its recovery.
  Status start();
  /// kill -9: memory keeps what processors had stored.
  void kill();
  /// As kill(), and lines that were not safe are lost by a draw.
  void fail_power();
  /// Either of them in the middle of a turn, at the `drains`-th drain from now.
  void stop_at_drain(uint64_t drains, bool power) { memory_.stop_at_drain(drains, power); }
  /// Called when it has stopped so.
  std::function<void()> on_stopped;
  bool running() const noexcept { return service_ != nullptr; }
  void pause(uint64_t until_ns) {
    if (lcore_) lcore_->pause(until_ns);
  }

  const std::string& name() const noexcept { return options_.name; }
  const std::string& why() const noexcept { return why_; }
  dpm::Service& service() noexcept { return *service_; }
  sim::PoolMemory& memory() noexcept { return memory_; }
  Clock& clock() noexcept { return clock_; }

 private:
  uint32_t turn();
  void on_event(uint64_t argument) override;

  Environment* environment_;
  sim::EventLoop::HandlerId id_;
  const DpmOptions options_;
  sim::NodeClock clock_;
  sim::PoolMemory memory_;
  std::unique_ptr<dpm::CheckReport> found_;  // by the last recovery; before service_, which adds
  std::unique_ptr<fabric::Target> target_;
  std::unique_ptr<dpm::Service> service_;
  std::unique_ptr<Lcore> lcore_;
  std::string why_;
};

}  // namespace dinomo::world
