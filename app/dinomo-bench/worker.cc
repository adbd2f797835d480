// SPDX-License-Identifier: BSD-3-Clause
#include "app/dinomo-bench/worker.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <ctime>

namespace dinomo::bench {

namespace {

constexpr uint64_t kLongSleepNs = 2'000'000;
constexpr size_t kComplaintsMax = 8;
constexpr uint32_t kKeyTries = 16;

uint64_t thread_cpu_ns() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<uint64_t>(t.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(t.tv_nsec);
}

/// Smallest key of at least `from` that thread `index` of `threads` may write.
uint64_t first_own(uint64_t from, uint32_t index, uint32_t threads) {
  return from + (index + threads - from % threads) % threads;
}

}  // namespace

Worker::Worker(Shared* shared, uint32_t index, client::Client* client)
    : shared_(shared),
      settings_(*shared->settings),
      index_(index),
      client_(client),
      random_(settings_.seed * 0x1'0000'0001u + index),
      chooser_(settings_.workload.distribution, settings_.theta, shared->space),
      values_(settings_.seed),
      ops_(settings_.window),
      key_buffer_(settings_.key_bytes),
      value_buffer_(settings_.value_bytes.max) {
  for (Op& op : ops_) {
    op.worker = this;
    free_.push_back(&op);
  }
  const uint32_t threads = settings_.threads;
  next_key_ = index;
  next_insert_ = first_own(shared->space->loaded, index, threads);
  if (shared->task == Task::kRun && settings_.ops != 0) {
    left_ = settings_.ops / threads + (index < settings_.ops % threads ? 1 : 0);
  }
  if (settings_.rate > 0) gap_ns_ = 1e9 * threads / settings_.rate;
}

// ---- what to do next

bool Worker::more() const {
  if (shared_->stop.load(std::memory_order_relaxed) || left_ == 0) return false;
  if (shared_->task == Task::kRun) return true;
  if (shared_->task == Task::kLoad) return next_key_ < shared_->space->loaded;
  return next_key_ <= shared_->space->newest.load(std::memory_order_relaxed);
}

uint64_t Worker::choose_own_key() {
  return own_key(chooser_.choose(&random_), index_, settings_.threads, shared_->space->loaded);
}

void Worker::plan_read(Op* op) {
  op->key = chooser_.choose(&random_);
  // Near the newest key there may be some that other threads have not had acknowledged yet.
  while (op->key >= shared_->space->loaded && shared_->table->expect(op->key).floor == 0) --op->key;
}

void Worker::plan_write(Op* op) {
  for (uint32_t attempt = 0; attempt < kKeyTries; ++attempt) {
    op->key = choose_own_key();
    op->write = shared_->table->begin_write(op->key);
    if (op->write.version != 0) return;
    ++tally_.deferred;
  }
  op->kind = OpKind::kRead;  // all of them too hot to write now: read instead
}

void Worker::plan_run(Op* op) {
  op->kind = settings_.workload.mix.draw(&random_);
  if (op->kind == OpKind::kInsert) {
    if (next_insert_ < shared_->table->capacity()) {
      op->key = next_insert_;
      next_insert_ += settings_.threads;
      op->write = shared_->table->begin_write(op->key);
      return;
    }
    op->kind = OpKind::kUpdate;  // the key size has no more keys
  }
  if (op->kind == OpKind::kRead) return plan_read(op);
  plan_write(op);
}

bool Worker::issue(uint64_t intended_ns, uint64_t now_ns) {
  if (free_.empty() || !more()) return false;
  Op* const op = free_.back();
  free_.pop_back();
  op->intended_ns = intended_ns;
  op->start_ns = now_ns;
  op->measured = measuring_;
  op->write = {};
  switch (shared_->task) {
    case Task::kRun: plan_run(op); break;
    case Task::kLoad:
      op->kind = OpKind::kLoad;
      op->key = next_key_;
      op->write = shared_->table->begin_write(op->key);
      next_key_ += settings_.threads;
      break;
    case Task::kCheck:
      op->kind = OpKind::kRead;
      op->key = next_key_;
      next_key_ += settings_.threads;
      break;
  }
  if (left_ != UINT64_MAX && measuring_) --left_;
  op->reading = op->kind == OpKind::kRead || op->kind == OpKind::kReadModifyWrite;
  if (op->reading) {
    op->expected = shared_->table->expect(op->key);
    send_get(op);
  } else {
    send_put(op);
  }
  return true;
}

void Worker::send_get(Op* op) {
  write_key(key_buffer_, op->key);
  client::Operation request;
  request.opcode = wire::Opcode::kGet;
  request.key = key_buffer_;
  request.callback = on_completion;
  request.context = op;
  (void)client_->submit(request);  // cannot fail: sizes were checked, in_flight_max is the window
}

void Worker::send_put(Op* op) {
  write_key(key_buffer_, op->key);
  op->value_bytes = settings_.value_bytes.draw(&random_);
  const auto value = MutableBytes(value_buffer_).first(op->value_bytes);
  values_.write(value, op->key, {shared_->run, op->write.version});
  client::Operation request;
  request.opcode = wire::Opcode::kPut;
  request.key = key_buffer_;
  request.value = value;
  request.callback = on_completion;
  request.context = op;
  (void)client_->submit(request);
}

// ---- what came of it

void Worker::on_completion(void* context, const client::Completion& c) {
  auto* const op = static_cast<Op*>(context);
  Worker& self = *op->worker;
  if (op->measured) ++self.tally_.requests;
  if (op->reading) {
    self.finish_read(op, c);
  } else {
    self.finish_write(op, c);
  }
}

bool Worker::failed(Op* op, const client::Completion& c) {
  if (c.status == Status::kOk || (op->reading && c.status == Status::kNotFound)) return false;
  ++interval_.failures;
  if (!c.answered) {
    ++tally_.lost;
    if (c.status == Status::kStale) ++tally_.unknown;
  } else {
    ++tally_.refused;
    ++tally_.refused_by_status[static_cast<uint8_t>(c.wire_status)];
  }
  if (op->write.version != 0) {
    const bool certain = c.answered && c.wire_status != wire::Status::kInternal;
    // A read-modify-write that failed in its read has written nothing.
    if (certain || op->reading) {
      shared_->table->refuse(op->key, op->write);
    } else {
      shared_->table->lose(op->key, op->write);
    }
  }
  free_.push_back(op);
  return true;
}

void Worker::record(const Op& op, app::StreamOp kind, size_t value_bytes, bool absent) {
  if (shared_->recorder == nullptr) return;
  write_key(key_buffer_, op.key);
  shared_->recorder->append(kind, key_buffer_, value_bytes, absent);
}

void Worker::finish_read(Op* op, const client::Completion& c) {
  if (failed(op, c)) return;
  record(*op, app::StreamOp::kGet, c.value.size(), c.status == Status::kNotFound);
  verify(*op, c);
  if (op->measured) tally_.value_bytes += c.value.size();
  if (op->kind == OpKind::kReadModifyWrite) {
    op->reading = false;
    send_put(op);
    return;
  }
  finish(op, c);
}

void Worker::finish_write(Op* op, const client::Completion& c) {
  if (failed(op, c)) return;
  shared_->table->acknowledge(op->key, op->write);
  record(*op, app::StreamOp::kPut, op->value_bytes, false);
  if (op->kind == OpKind::kInsert) {
    std::atomic<uint64_t>& newest = shared_->space->newest;
    uint64_t seen = newest.load(std::memory_order_relaxed);
    while (seen < op->key &&
           !newest.compare_exchange_weak(seen, op->key, std::memory_order_release)) {
    }
  }
  if (op->measured) tally_.value_bytes += op->value_bytes;
  finish(op, c);
}

void Worker::finish(Op* op, const client::Completion& c) {
  const uint64_t latency_ns = c.completed_ns - op->start_ns;
  ++interval_.ops;
  interval_.latency.record(latency_ns);
  if (op->measured) {
    KindTally& kind = tally_.kinds[static_cast<size_t>(op->kind)];
    if (c.completed_ns <= shared_->end_ns.load(std::memory_order_relaxed)) ++kind.done;
    kind.service.record(latency_ns);
    if (gap_ns_ != 0) kind.corrected.record(c.completed_ns - op->intended_ns);
    last_ns_ = c.completed_ns;
  }
  free_.push_back(op);
}

void Worker::verify(const Op& op, const client::Completion& c) {
  if (c.status == Status::kNotFound) {
    // Loaded keys and keys whose write this run had acknowledged are there.
    const bool must_exist = op.key < shared_->space->loaded || op.expected.floor != 0;
    if (!must_exist) {
      ++tally_.absent;
      return;
    }
    ++tally_.wrong.missing;
    return complain(op, "has no value", {});
  }
  if (!settings_.verify) return;
  ++tally_.verified;
  const Checked checked = Values::check(c.value, op.key);
  const auto [run, version] = checked.version;
  if (checked.verdict == Verdict::kForeign) {
    ++tally_.wrong.foreign;
    return complain(op, "has the value of another key", checked.version);
  }
  if (checked.verdict == Verdict::kCorrupt) {
    ++tally_.wrong.corrupt;
    return complain(op, "has a value whose checksum is wrong", checked.version);
  }
  const bool ours = run == shared_->run;
  if (run > shared_->run || (ours && version > shared_->table->newest_sent(op.key))) {
    ++tally_.wrong.future;
    return complain(op, "has a version that was never written", checked.version);
  }
  if (!op.expected.unknown && op.expected.floor != 0 && (!ours || version < op.expected.floor)) {
    ++tally_.wrong.stale;
    return complain(op, "has a value older than an acknowledged write", checked.version);
  }
}

void Worker::complain(const Op& op, const char* what, Version version) {
  const std::lock_guard lock(shared_->complaints_mutex);
  if (shared_->complaints.size() >= kComplaintsMax) return;
  shared_->complaints.push_back(
      fmt::format("key {} {}: version {}.{} read, at least {}.{} expected", op.key, what,
                  version.run, version.counter, shared_->run, op.expected.floor));
}

// ---- the loop

uint64_t Worker::next_gap_ns() {
  if (!settings_.poisson) return static_cast<uint64_t>(gap_ns_);
  return static_cast<uint64_t>(-std::log(1.0 - random_.unit()) * gap_ns_);
}

void Worker::issue_due(uint64_t now_ns) {
  if (gap_ns_ == 0 || shared_->task != Task::kRun) {
    while (issue(now_ns, now_ns)) {
    }
    return;
  }
  if (next_due_ns_ == 0) next_due_ns_ = now_ns + next_gap_ns();
  // What is due while the window is full is sent late, and its latency counts from when it was due.
  while (next_due_ns_ <= now_ns && issue(next_due_ns_, now_ns)) next_due_ns_ += next_gap_ns();
}

void Worker::start_measuring(uint64_t now_ns) {
  measuring_ = true;
  first_ns_ = last_ns_ = now_ns;
  cpu_start_ns_ = thread_cpu_ns();
  counters_start_ = client_->counters();
}

void Worker::publish_interval() {
  seen_tick_ = shared_->tick.load(std::memory_order_relaxed);
  interval_.retries = client_->counters().timeouts - seen_timeouts_;
  seen_timeouts_ = client_->counters().timeouts;
  const std::lock_guard lock(shared_->interval_mutex);
  shared_->interval.ops += interval_.ops;
  shared_->interval.retries += interval_.retries;
  shared_->interval.failures += interval_.failures;
  shared_->interval.latency.merge(interval_.latency);
  shared_->done_ops.fetch_add(interval_.ops, std::memory_order_relaxed);
  interval_ = Interval{};
}

// Polls for a while after the last completion, then sleeps until something arrives or is due.
void Worker::idle(uint32_t completions, uint64_t now_ns) {
  if (completions != 0 || idle_since_ns_ == 0) {
    idle_since_ns_ = now_ns;
    return;
  }
  if (now_ns - idle_since_ns_ < static_cast<uint64_t>(settings_.spin_us) * 1000) return;
  uint64_t sleep_ns = kLongSleepNs;
  if (gap_ns_ != 0 && next_due_ns_ != 0 && !free_.empty()) {
    if (next_due_ns_ <= now_ns + 30'000) return;  // a sleep would take longer
    sleep_ns = std::min(sleep_ns, next_due_ns_ - now_ns - 20'000);
  }
  client_->wait(sleep_ns);
}

void Worker::run() {
  next_due_ns_ = idle_since_ns_ = 0;
  while (more() || client_->in_flight() != 0) {
    const uint64_t now_ns = shared_->clock->now_ns();
    if (!measuring_ && shared_->measuring.load(std::memory_order_relaxed)) start_measuring(now_ns);
    issue_due(now_ns);
    client_->flush();
    const uint32_t completions = client_->poll();
    idle(completions, client_->now_ns());
    if (shared_->tick.load(std::memory_order_relaxed) != seen_tick_) publish_interval();
  }
  publish_interval();
  if (measuring_) {
    tally_.cpu_ns = thread_cpu_ns() - cpu_start_ns_;
    tally_.client = client_->counters() - counters_start_;
  }
}

}  // namespace dinomo::bench
