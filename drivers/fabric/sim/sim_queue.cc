// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>
#include <cstring>

#include "drivers/fabric/sim/sim_fabric.h"

namespace dinomo::fabric::sim {

SimQueue::SimQueue(SimNetwork* network, std::shared_ptr<Connection> connection, uint32_t depth)
    : network_(network),
      connection_(std::move(connection)),
      waker_(network->actor()),
      depth_(depth) {}

SimQueue::~SimQueue() {
  flush();
  for (SimOperation* o : posted_) {
    if (o->done) {
      network_->give_back(o);
    } else {
      network_->orphan(o);
    }
  }
}

SimOperation* SimQueue::post(SimOperation::Kind kind, uint64_t offset, Purpose purpose,
                             size_t bytes, bool round_trip, Completion* completion) noexcept {
  if (posted_.size() >= depth_) {
    ++counters_.no_resource;
    return nullptr;
  }
  PurposeCounters& c = counters_.by_purpose[static_cast<size_t>(purpose)];
  c.verbs += 1;
  c.round_trips += round_trip ? 1 : 0;
  c.bytes += bytes;
  SimOperation* o = network_->take();
  o->kind = kind;
  o->offset = offset;
  o->completion = completion;
  o->queue = this;
  o->connection = connection_;
  o->bytes.resize(bytes);
  if (connection_->target != nullptr) {
    const uint64_t size = connection_->target->pool().memory.size();
    if (offset > size || bytes > size - offset) o->status = Status::kOutOfRange;
  }
  posted_.push_back(o);
  if (completion != nullptr) ++in_flight_;
  return o;
}

Status SimQueue::post_read(uint64_t offset, MutableBytes to, Purpose purpose,
                           Completion* completion) noexcept {
  SimOperation* o = post(SimOperation::Kind::kRead, offset, purpose, to.size(), true, completion);
  if (o == nullptr) return Status::kNoResource;
  o->to = to.data();
  unlaunched_.push_back(o);
  return Status::kInProgress;
}

Status SimQueue::post_write(uint64_t offset, Bytes from, WriteOptions options, Purpose purpose,
                            Completion* completion) noexcept {
  SimOperation* o = post(SimOperation::Kind::kWrite, offset, purpose, from.size(),
                         !options.after_previous, completion);
  if (o == nullptr) return Status::kNoResource;
  o->options = options;
  std::memcpy(o->bytes.data(), from.data(), from.size());
  if (options.after_previous && chain_end_ != nullptr) {
    chain_end_->chained = o;
  } else {
    unlaunched_.push_back(o);
  }
  chain_end_ = o;
  return Status::kInProgress;
}

Status SimQueue::post_compare_swap(uint64_t offset, uint64_t expected, uint64_t desired,
                                   uint64_t* old, Purpose purpose,
                                   Completion* completion) noexcept {
  SimOperation* o =
      post(SimOperation::Kind::kCompareSwap, offset, purpose, sizeof(uint64_t), true, completion);
  if (o == nullptr) return Status::kNoResource;
  if (offset % 8 != 0) o->status = Status::kOutOfRange;
  o->operand[0] = expected;
  o->operand[1] = desired;
  o->old = old;
  unlaunched_.push_back(o);
  return Status::kInProgress;
}

Status SimQueue::post_fetch_add(uint64_t offset, uint64_t addend, uint64_t* old, Purpose purpose,
                                Completion* completion) noexcept {
  SimOperation* o =
      post(SimOperation::Kind::kFetchAdd, offset, purpose, sizeof(uint64_t), true, completion);
  if (o == nullptr) return Status::kNoResource;
  if (offset % 8 != 0) o->status = Status::kOutOfRange;
  o->operand[0] = addend;
  o->old = old;
  unlaunched_.push_back(o);
  return Status::kInProgress;
}

/// When the card takes the operation: after those before it, and after a place among the reads in
/// flight is free.
uint64_t SimQueue::start_ns(const SimOperation& o) noexcept {
  const FabricFaults& f = network_->faults();
  uint64_t& card_free_ns = o.kind == SimOperation::Kind::kRead && f.full_duplex
                               ? connection_->reads_free_ns
                               : connection_->card_free_ns;
  uint64_t start = std::max(network_->loop().now_ns(), card_free_ns);
  if (o.kind != SimOperation::Kind::kWrite) {
    if (reads_until_ns_.size() >= f.reads_in_flight_max) {
      start = std::max(start, reads_until_ns_.front());
      reads_until_ns_.pop_front();
    }
    reads_until_ns_.push_back(start + 2 * f.delay_ns + f.jitter_ns);
  }
  uint64_t bytes = 0;
  for (const SimOperation* member = &o; member != nullptr; member = member->chained) {
    bytes += member->bytes.size();
  }
  card_free_ns = start + f.card_ns(bytes);
  return card_free_ns;
}

void SimQueue::flush() noexcept {
  while (!unlaunched_.empty()) {
    SimOperation* o = unlaunched_.front();
    unlaunched_.pop_front();
    network_->launch(o, start_ns(*o));
  }
  chain_end_ = nullptr;
}

void SimQueue::ready(SimOperation* o) noexcept {
  o->done = true;
  if (waker_ != nullptr) waker_->wake();
}

uint32_t SimQueue::poll(uint32_t max) noexcept {
  uint32_t delivered = 0;
  while (delivered < max && !posted_.empty() && posted_.front()->done) {
    SimOperation* o = posted_.front();
    posted_.pop_front();
    if (!ok(o->status)) ++counters_.errors;
    if (ok(o->status) && o->to != nullptr) std::memcpy(o->to, o->bytes.data(), o->bytes.size());
    if (ok(o->status) && o->old != nullptr) *o->old = o->operand[0];
    Completion* completion = o->completion;
    const Status status = o->status;
    network_->give_back(o);
    if (completion == nullptr) continue;
    --in_flight_;
    ++delivered;
    completion->callback(completion, status);
  }
  return delivered;
}

}  // namespace dinomo::fabric::sim
