// SPDX-License-Identifier: BSD-3-Clause
#include "app/dinomo-eval/load.h"

#include <string>

namespace dinomo::eval {

sim::Operation recorded(const Operation& o, uint64_t client, uint64_t now_ns) {
  sim::Operation r;
  r.opcode = o.put ? wire::Opcode::kPut : wire::Opcode::kGet;
  r.client = client;
  r.key = "key" + std::to_string(o.key);
  (o.put ? r.value : r.result) = std::to_string(o.value);
  r.invoke_ns = o.invoke_ns;
  r.return_ns = now_ns;
  r.status = o.status == Status::kOk ? wire::Status::kOk : wire::Status::kInternal;
  return r;
}

Load::Load(const sim::EventLoop* loop, const LoadConfig& config)
    : loop_(loop),
      config_(config),
      random_(config.seed),
      zipf_(config.keys, config.zipf),
      scramble_(config.keys),
      first_counted_((config.load_keys ? config.keys : 0) + config.warm),
      last_(first_counted_ + config.counted) {}

/// Does not end by itself: who measures stops when the last operation is finished, and until then
/// nobody runs out of work.
bool Load::next(Operation* o) {
  if (config_.history != nullptr && begun_ == last_) return false;
  if (config_.load_keys && begun_ == config_.keys && done_ < config_.keys) return false;
  const uint64_t number = begun_++;
  if (config_.load_keys && number < config_.keys) {
    o->put = true;
    o->key = number;
  } else {
    o->key = scramble_(zipf_.sample(&random_));
    o->put = random_.below(100) >= config_.read_percent;
  }
  if (o->put) o->value = ++values_;
  return true;
}

void Load::done(const Operation& o) {
  if (!ok(o.status) && failed_++ == 0) first_failure_ = o.status;
  if (config_.history != nullptr) {
    config_.history->push_back(recorded(o, done_, loop_->now_ns()));
  }
  if (done_ >= last_) return;
  if (done_ == first_counted_) {
    from_ns_ = loop_->now_ns();
    if (on_counting) on_counting();
  }
  if (done_ >= first_counted_) counted_.add(o);
  ++done_;
  until_ns_ = loop_->now_ns();
}

}  // namespace dinomo::eval
