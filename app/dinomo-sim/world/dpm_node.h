// SPDX-License-Identifier: BSD-3-Clause
// A simulated memory node: persistent memory and, while it runs, the DPM service.
#pragma once

#include <memory>
#include <string>

#include "dpm/service.h"
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
  sim::ClockFaults clock;
  uint64_t seed = 1;
};

class DpmNode {
 public:
  DpmNode(Environment* environment, const DpmOptions& options);
  ~DpmNode();

  /// kOk, or why the pool could not be recovered.
  Status start();
  /// kill -9: memory keeps what processors had stored.
  void kill();
  /// As kill(), and lines that were not safe are lost by a draw.
  void fail_power();
  bool running() const noexcept { return service_ != nullptr; }
  void pause(uint64_t until_ns) {
    if (lcore_) lcore_->pause(until_ns);
  }

  const std::string& name() const noexcept { return options_.name; }
  const std::string& why() const noexcept { return why_; }
  dpm::Service& service() noexcept { return *service_; }
  sim::PoolMemory& memory() noexcept { return memory_; }

 private:
  Environment* environment_;
  const DpmOptions options_;
  sim::NodeClock clock_;
  sim::PoolMemory memory_;
  std::unique_ptr<fabric::Target> target_;
  std::unique_ptr<dpm::Service> service_;
  std::unique_ptr<Lcore> lcore_;
  std::string why_;
};

}  // namespace dinomo::world
