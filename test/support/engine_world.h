// SPDX-License-Identifier: BSD-3-Clause
// One KN worker and one DPM service in this process: real pool file, real shm fabric, real control
// code; only the network (LoopbackQueue) and the clock are the test's. Nothing moves unless the
// test calls turn(), so it can stop between any two steps.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cache/page_pool.h"
#include "cluster/kn_control.h"
#include "dpm/pool_file.h"
#include "dpm/service.h"
#include "fabric/driver.h"
#include "kn/worker.h"
#include "test/support/loopback_ingress.h"
#include "test/support/manual_clock.h"

namespace dinomo::test {

struct EngineOptions {
  uint64_t pool_bytes = uint64_t{64} << 20;
  uint64_t segment_bytes = 256 * 1024;
  uint64_t index_buckets = 4096;
  uint16_t workers = 1;        // that the KN says it has; the world runs worker 0
  bool divides_cache = false;  // the workers' caches share one memory, and the tuner divides it
  cache::TunerConfig tuner = {.period_ms = 10};
  ingress::Queue* port = nullptr;  // worker 0's, instead of EngineWorld::network
  uint64_t turn_ns = 1000;         // that a turn takes
  dpm::ServiceConfig service = {.merge_workers = 0};
  kn::WorkerConfig worker = {.cache = {.budget_bytes = uint64_t{4} << 20}};
};

struct EngineReply {
  wire::Opcode opcode{};
  wire::Status status{};
  uint64_t sequence = 0;
  std::string value;
  uint64_t version = 0;  // mutations
  wire::ItemExtras item{};
};

class EngineWorld {
 public:
  explicit EngineWorld(const EngineOptions& options = {});
  ~EngineWorld();

  // The parts ------------------------------------------------------------------------------------
  LoopbackQueue network;
  ManualClock clock;
  kn::Worker& worker() { return *worker_; }
  kn::Worker& other_worker(uint16_t w) { return *other_workers_[w - 1U]; }
  cluster::KnControl& control() { return *control_; }
  dpm::Service& service() { return *service_; }
  dpm::PoolFile& pool() { return *pool_; }
  kn::Shared& shared() { return shared_; }

  /// One turn of the worker, of the control lcore and, unless the DPM is held, of the service; time
  /// moves by turn_ns.
  void turn();
  void turns(int n);
  /// Turns until the KN serves; fails the test after a bound.
  void wait_serving();
  /// Turns until `condition` or the bound; false at the bound.
  bool turn_until(const std::function<bool()>& condition, int bound = 100'000);

  bool hold_service = false;  // nothing is granted, merged or reclaimed

  /// kill -9 of the DPM and a start of a new one over the same file.
  void crash_dpm();
  void stop_dpm();
  void start_dpm();

  // The client -----------------------------------------------------------------------------------
  void hello();
  /// Queues a request in a datagram of its own; returns its sequence.
  uint64_t send(wire::Opcode opcode, std::string_view key, std::string_view value = {},
                uint8_t flags = 0, Bytes extras = {});
  void send_raw(Bytes datagram);
  /// Everything the worker has answered and nobody took yet.
  std::vector<EngineReply> replies();
  /// Sends and turns until it is answered.
  EngineReply call(wire::Opcode opcode, std::string_view key, std::string_view value = {},
                   uint8_t flags = 0, Bytes extras = {});
  EngineReply get(std::string_view key) { return call(wire::Opcode::kGet, key); }
  EngineReply put(std::string_view key, std::string_view value) {
    return call(wire::Opcode::kPut, key, value);
  }
  EngineReply remove(std::string_view key) { return call(wire::Opcode::kDelete, key); }

  wire::DatagramHeader header() const;
  ingress::Peer peer;
  uint64_t session = 0;
  uint64_t cookie = 0;
  uint64_t token = 0;
  uint64_t next_sequence = 1;

 private:
  Result<std::unique_ptr<fabric::Fabric>> connect(std::string* why);

  EngineOptions options_;
  std::string directory_;
  std::unique_ptr<dpm::PoolFile> pool_;
  std::unique_ptr<fabric::Target> target_;
  std::unique_ptr<dpm::Service> service_;
  std::vector<std::byte> rcu_memory_;
  kn::Shared shared_;
  std::unique_ptr<cache::PagePool> cache_pages_;
  std::unique_ptr<kn::Worker> worker_;
  std::vector<std::unique_ptr<LoopbackQueue>> other_networks_;
  std::vector<std::unique_ptr<kn::Worker>> other_workers_;
  std::unique_ptr<cluster::KnControl> control_;
  std::vector<EngineReply> collected_;
};

}  // namespace dinomo::test
