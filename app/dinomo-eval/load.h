// SPDX-License-Identifier: BSD-3-Clause
// The load of a point: loads all keys if the engine wants it, then operations of a mix at random,
// of which the last ones are counted. One for all clients. Thread rule: the event loop's.
#pragma once

#include <functional>

#include "app/dinomo-bench/zipf.h"
#include "app/dinomo-eval/engine.h"
#include "client/random.h"
#include "sim/history.h"

namespace dinomo::eval {

struct LoadConfig {
  uint64_t keys = 1000;
  double zipf = 0.99;
  uint32_t read_percent = 50;
  bool load_keys = false;  // a PUT of each, first
  uint64_t warm = 0;
  uint64_t counted = 1000;
  uint64_t seed = 1;
  sim::History* history = nullptr;  // gets all operations
};

/// As the checker of histories takes it.
sim::Operation recorded(const Operation& operation, uint64_t client, uint64_t now_ns);

class Load final : public Source {
 public:
  Load(const sim::EventLoop* loop, const LoadConfig& config);

  bool next(Operation* operation) override;
  void done(const Operation& operation) override;

  bool finished() const noexcept { return done_ == last_; }
  bool counting() const noexcept { return done_ >= first_counted_; }
  /// Called when the first operation that counts begins to count.
  std::function<void()> on_counting;
  const Tally& counted() const noexcept { return counted_; }
  uint64_t failed() const noexcept { return failed_; }
  Status first_failure() const noexcept { return first_failure_; }
  uint64_t counted_ns() const noexcept { return until_ns_ - from_ns_; }

 private:
  const sim::EventLoop* loop_;
  const LoadConfig config_;
  client::Random random_;
  bench::Zipf zipf_;
  bench::Scramble scramble_;
  uint64_t first_counted_;
  uint64_t last_;
  uint64_t begun_ = 0;
  uint64_t done_ = 0;
  uint64_t values_ = 0;
  uint64_t failed_ = 0;
  Status first_failure_ = Status::kOk;
  uint64_t from_ns_ = 0;
  uint64_t until_ns_ = 0;
  Tally counted_;
};

}  // namespace dinomo::eval
