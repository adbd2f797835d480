// SPDX-License-Identifier: BSD-3-Clause
#include "app/dinomo-bench/phase.h"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <stdexcept>
#include <thread>

namespace dinomo::bench {

namespace {

volatile std::sig_atomic_t interrupted = 0;

constexpr uint64_t kInsertsMax = uint64_t{1} << 28;  // address space only

void nap(uint64_t ns) { std::this_thread::sleep_for(std::chrono::nanoseconds(ns)); }

const char* task_name(Task task) {
  switch (task) {
    case Task::kLoad: return "load";
    case Task::kRun: return "run";
    case Task::kCheck: return "check";
  }
  return "unknown";
}

}  // namespace

void catch_signals() {
  struct sigaction action = {};
  action.sa_handler = [](int) { interrupted = 1; };
  action.sa_flags = static_cast<int>(SA_RESETHAND);  // a second one ends the program at once
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

uint64_t PhaseResult::operations() const {
  uint64_t sum = 0;
  for (const KindTally& kind : tally.kinds) sum += kind.done;
  return sum;
}

bool PhaseResult::failed(bool allow_lost) const {
  return tally.wrong.total() != 0 || tally.refused != 0 || (tally.lost != 0 && !allow_lost);
}

Bench::Bench(const Settings& settings, Clock* clock, Port* port)
    : settings_(settings),
      clock_(clock),
      port_(port),
      run_(Version::run_started_at(clock->unix_ms())) {
  const uint64_t possible = keys_possible(settings.key_bytes);
  const uint64_t inserts = settings.workload.mix.insert > 0 ? kInsertsMax : 0;
  table_ = KeyTable::create(std::min(possible, settings.keys + inserts));
  if (table_ == nullptr) throw std::runtime_error("not enough address space for so many keys");
  space_.loaded = settings.keys;
  space_.newest = settings.keys - 1;
}

Bench::Seat Bench::new_seat(uint32_t index, const std::vector<client::Address>& seeds) {
  Seat seat;
  seat.transport = port_->transport(index);
  client::Options options;
  options.in_flight_max = settings_.window;
  options.mutation_window = std::max(settings_.window, 64u);
  options.pack_max = settings_.pack;
  options.deadline_ms = settings_.timeout_ms;
  options.seed = settings_.seed * 1000 + index;
  auto client = client::Client::create(seat.transport.get(), clock_, options, seeds);
  if (!client) {
    throw std::runtime_error(
        fmt::format("no way to {}: {}", settings_.server, status_name(client.error())));
  }
  seat.client = std::move(*client);
  const Status connected = client::Blocking(seat.client.get()).connect();
  if (connected != Status::kOk) {
    throw std::runtime_error(fmt::format(
        "{} did not answer within {} ms ({}); is dinomo-kn running there? (see --server)",
        settings_.server, settings_.timeout_ms, status_name(connected)));
  }
  return seat;
}

void Bench::connect(const std::vector<client::Address>& seeds) {
  for (uint32_t i = 0; i < settings_.threads; ++i) seats_.push_back(new_seat(i, seeds));
}

// The first thread's client, while its thread is not running.
json Bench::kn_stats() {
  return settings_.no_stats ? json() : fetch_kn_stats(seats_[0].client.get());
}

void Bench::tell_progress(const Shared& shared, const Interval& interval, double elapsed_s,
                          uint64_t total) const {
  const uint64_t done = shared.done_ops.load(std::memory_order_relaxed);
  std::string line =
      fmt::format("{:>5} {:>6.1f} s {:>10} ops/s   p50 {:>8.1f} us   p99 {:>8.1f} us",
                  task_name(shared.task), elapsed_s, interval.ops * 1000 / settings_.interval_ms,
                  static_cast<double>(interval.latency.percentile_ns(50)) / 1e3,
                  static_cast<double>(interval.latency.percentile_ns(99)) / 1e3);
  if (total != 0)
    line += fmt::format("   {:>5.1f} %",
                        100.0 * static_cast<double>(done) / static_cast<double>(total));
  if (interval.retries != 0) line += fmt::format("   {} retries", interval.retries);
  if (interval.failures != 0) line += fmt::format("   {} FAILED", interval.failures);
  if (!shared.measuring) line += "   warming up";
  const bool terminal = isatty(STDERR_FILENO) != 0;
  std::fprintf(stderr, terminal ? "\r%-110s" : "%s\n", line.c_str());
}

void Bench::write_timeline(const Shared& shared, const Interval& interval, double interval_s) {
  const telemetry::LatencyHistogram& h = interval.latency;
  const json line = {{"unix_ms", clock_->unix_ms()},
                     {"phase", task_name(shared.task)},
                     {"measuring", shared.measuring.load()},
                     {"seconds", interval_s},
                     {"ops", interval.ops},
                     {"p50_us", static_cast<double>(h.percentile_ns(50)) / 1e3},
                     {"p99_us", static_cast<double>(h.percentile_ns(99)) / 1e3},
                     {"max_us", static_cast<double>(h.max_ns()) / 1e3},
                     {"retries", interval.retries},
                     {"failures", interval.failures}};
  *timeline_ << line.dump() << '\n' << std::flush;  // for those who watch
}

void Bench::end_interval(Shared* shared, uint64_t start_ns, uint64_t total) {
  shared->tick.fetch_add(1, std::memory_order_relaxed);
  nap(30'000'000);  // for the threads to hand in their interval
  Interval interval;
  {
    const std::lock_guard lock(shared->interval_mutex);
    std::swap(interval, shared->interval);
  }
  const uint64_t now_ns = clock_->now_ns();
  if (timeline_ != nullptr) {
    write_timeline(*shared, interval, static_cast<double>(now_ns - interval_start_ns_) / 1e9);
  }
  interval_start_ns_ = now_ns;
  if (!settings_.quiet)
    tell_progress(*shared, interval, static_cast<double>(now_ns - start_ns) / 1e9, total);
}

// Returns when finished() or interrupted; a progress line for each interval.
void Bench::watch(Shared* shared, const std::function<bool()>& finished) {
  const uint64_t start_ns = clock_->now_ns();
  const uint64_t interval_ns = uint64_t{settings_.interval_ms} * 1'000'000;
  const bool told = !settings_.quiet || timeline_ != nullptr;
  uint64_t next_ns = start_ns + interval_ns;
  interval_start_ns_ = start_ns;
  uint64_t total = 0;
  if (shared->task != Task::kRun) total = space_.newest + 1;
  if (shared->task == Task::kRun && settings_.ops != 0) total = settings_.ops;
  while (!finished() && interrupted == 0) {
    nap(2'000'000);
    const uint64_t now_ns = clock_->now_ns();
    if (now_ns < next_ns) continue;
    next_ns += interval_ns;
    if (told) end_interval(shared, start_ns, total);
  }
}

void Bench::measure(Shared* shared, const std::function<bool()>& finished) {
  const bool timed = shared->task == Task::kRun && settings_.ops == 0;
  const uint64_t start_ns = clock_->now_ns();
  const uint64_t end_ns =
      timed ? start_ns + static_cast<uint64_t>(settings_.seconds * 1e9) : UINT64_MAX;
  shared->end_ns = end_ns;
  shared->measuring = true;
  watch(shared, [&] { return finished() || clock_->now_ns() >= end_ns; });
  if (interrupted != 0) shared->end_ns = std::min(end_ns, clock_->now_ns());
  shared->stop = true;
}

PhaseResult Bench::run(Task task, const Recording& recording) {
  timeline_ = recording.timeline;
  Shared shared;
  shared.settings = &settings_;
  shared.clock = clock_;
  shared.table = table_.get();
  shared.space = &space_;
  if (task == Task::kRun) shared.recorder = recording.keys;
  shared.run = run_;
  shared.task = task;
  const bool warm_up = task == Task::kRun && settings_.warmup_seconds > 0;
  std::vector<std::unique_ptr<Worker>> workers;
  workers.reserve(settings_.threads);
  for (uint32_t i = 0; i < settings_.threads; ++i) {
    workers.push_back(std::make_unique<Worker>(&shared, i, seats_[i].client.get()));
  }
  std::atomic<uint32_t> running{0};
  std::vector<std::thread> threads;
  const auto launch = [&] {
    running = settings_.threads;
    for (auto& worker : workers) {
      threads.emplace_back([this, &running, w = worker.get()] {
        port_->enter_thread();
        w->run();
        port_->leave_thread();
        --running;
      });
    }
  };
  const auto finished = [&] { return running == 0; };
  const auto join = [&] {
    for (std::thread& t : threads) t.join();
    threads.clear();
  };

  if (warm_up) {
    const uint64_t until_ns =
        clock_->now_ns() + static_cast<uint64_t>(settings_.warmup_seconds * 1e9);
    launch();
    watch(&shared, [&] { return clock_->now_ns() >= until_ns; });
    shared.stop = true;
    join();
    shared.stop = false;
  }
  // The threads stand still while the KNs are asked, so both sides count the same operations.
  const json before = kn_stats();
  shared.measuring = true;
  launch();
  measure(&shared, finished);
  join();
  const json after = kn_stats();
  if (!settings_.quiet && isatty(STDERR_FILENO) != 0) std::fprintf(stderr, "\r%110s\r", "");

  PhaseResult result;
  result.name = task_name(task);
  result.interrupted = interrupted != 0;
  uint64_t first_ns = UINT64_MAX;
  uint64_t last_ns = 0;
  for (const auto& worker : workers) {
    result.tally.merge(worker->tally());
    first_ns = std::min(first_ns, worker->first_ns());
    last_ns = std::max(last_ns, worker->last_ns());
  }
  const uint64_t end_ns = shared.end_ns != UINT64_MAX ? shared.end_ns.load() : last_ns;
  result.seconds = static_cast<double>(std::max(end_ns, first_ns + 1) - first_ns) / 1e9;
  result.kn_delta = kn_stats_delta(before, after);
  result.complaints = shared.complaints;
  return result;
}

}  // namespace dinomo::bench
