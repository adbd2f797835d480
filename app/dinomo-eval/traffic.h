// SPDX-License-Identifier: BSD-3-Clause
// The load of a timeline: client nodes that come and go, what they did in every interval.
// Thread rule: the event loop's.
#pragma once

#include <memory>
#include <vector>

#include "app/dinomo-bench/zipf.h"
#include "app/dinomo-eval/engine.h"
#include "client/random.h"
#include "sim/history.h"

namespace dinomo::eval {

struct TrafficConfig {
  uint64_t keys = 1000;
  double zipf = 0.5;
  uint32_t read_percent = 50;
  uint32_t clients = 1;
  uint64_t bin_ns = 1'000'000;
  uint64_t seed = 1;
  sim::History* history = nullptr;  // gets all operations
};

/// Loads all keys first, one PUT each; then operations of the mix by the clients that are on.
class Traffic {
 public:
  Traffic(const sim::EventLoop* loop, const TrafficConfig& config);

  /// Of one client node. Outlives the node.
  Source* source(uint32_t client) { return clients_[client].get(); }
  /// So many of the clients, the first ones, begin operations from now on.
  void turn_on(uint32_t clients) noexcept { on_ = clients; }
  uint32_t clients_on() const noexcept { return on_; }
  bool loaded() const noexcept { return done_ >= config_.keys; }
  uint64_t in_flight() const noexcept { return begun_ - done_; }
  uint64_t done() const noexcept { return done_; }
  uint64_t failed() const noexcept { return failed_; }
  Status first_failure() const noexcept { return first_failure_; }

  /// Intervals are counted from here.
  void start_bins();
  /// Operations that ended in each interval until now.
  const std::vector<uint64_t>& bins();
  /// The longest time without an operation that ended, since the last call of it.
  uint64_t take_silence_ns();

 private:
  class Client final : public Source {
   public:
    Client(Traffic* traffic, uint32_t number) : traffic_(traffic), number_(number) {}
    bool next(Operation* operation) override { return traffic_->next(number_, operation); }
    void done(const Operation& operation) override { traffic_->done(operation); }

   private:
    Traffic* traffic_;
    uint32_t number_;
  };

  bool next(uint32_t client, Operation* operation);
  void done(const Operation& operation);
  void note_silence();

  const sim::EventLoop* loop_;
  const TrafficConfig config_;
  client::Random random_;
  bench::Zipf zipf_;
  bench::Scramble scramble_;
  std::vector<std::unique_ptr<Client>> clients_;
  uint32_t on_ = 0;
  uint64_t begun_ = 0;
  uint64_t done_ = 0;
  uint64_t values_ = 0;
  uint64_t failed_ = 0;
  Status first_failure_ = Status::kOk;
  uint64_t bins_from_ns_ = 0;
  bool counting_ = false;
  std::vector<uint64_t> bins_;
  uint64_t last_done_ns_ = 0;
  uint64_t silence_ns_ = 0;
};

}  // namespace dinomo::eval
