// SPDX-License-Identifier: BSD-3-Clause
#include "app/dinomo-eval/traffic.h"

#include <algorithm>
#include <utility>

#include "app/dinomo-eval/load.h"

namespace dinomo::eval {

Traffic::Traffic(const sim::EventLoop* loop, const TrafficConfig& config)
    : loop_(loop),
      config_(config),
      random_(config.seed),
      zipf_(config.keys, config.zipf),
      scramble_(config.keys) {
  for (uint32_t c = 0; c < config.clients; ++c) {
    clients_.push_back(std::make_unique<Client>(this, c));
  }
}

bool Traffic::next(uint32_t client, Operation* o) {
  if (client >= on_) return false;
  if (begun_ >= config_.keys && done_ < config_.keys) return false;  // a key is loaded once
  if (begun_ < config_.keys) {
    o->put = true;
    o->key = begun_;
  } else {
    o->key = scramble_(zipf_.sample(&random_));
    o->put = random_.below(100) >= config_.read_percent;
  }
  ++begun_;
  if (o->put) o->value = ++values_;
  return true;
}

void Traffic::done(const Operation& o) {
  ++done_;
  if (!ok(o.status) && failed_++ == 0) first_failure_ = o.status;
  const uint64_t now_ns = loop_->now_ns();
  if (config_.history != nullptr) config_.history->push_back(recorded(o, done_, now_ns));
  note_silence();
  last_done_ns_ = now_ns;
  if (!counting_) return;
  const uint64_t bin = (now_ns - bins_from_ns_) / config_.bin_ns;
  if (bins_.size() <= bin) bins_.resize(bin + 1);
  ++bins_[bin];
}

void Traffic::note_silence() {
  silence_ns_ = std::max(silence_ns_, loop_->now_ns() - last_done_ns_);
}

void Traffic::start_bins() {
  counting_ = true;
  bins_from_ns_ = loop_->now_ns();
}

const std::vector<uint64_t>& Traffic::bins() {
  bins_.resize((loop_->now_ns() - bins_from_ns_) / config_.bin_ns + 1);
  return bins_;
}

uint64_t Traffic::take_silence_ns() {
  note_silence();
  return std::exchange(silence_ns_, 0);
}

}  // namespace dinomo::eval
