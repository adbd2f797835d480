// SPDX-License-Identifier: BSD-3-Clause
// One load-generating thread: its own client, session, generator and counters. Threads share only
// the key table, the key space and a few words of control.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "app/common/key_stream.h"
#include "app/dinomo-bench/key_table.h"
#include "app/dinomo-bench/settings.h"
#include "app/dinomo-bench/tally.h"
#include "app/dinomo-bench/value.h"
#include "client/client.h"

namespace dinomo::bench {

enum class Task : uint8_t { kLoad, kRun, kCheck };

/// Shared by all threads of a phase.
struct Shared {
  const Settings* settings = nullptr;
  Clock* clock = nullptr;
  KeyTable* table = nullptr;
  KeySpace* space = nullptr;
  app::KeyStreamWriter* recorder = nullptr;  // null: do not record
  uint64_t run = 0;                          // Version::run of what this process writes
  Task task = Task::kRun;

  std::atomic<bool> measuring{false};  // false: warm-up
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> end_ns{UINT64_MAX};  // end of the measured time
  std::atomic<uint64_t> tick{0};             // raised when the interval is wanted
  std::atomic<uint64_t> done_ops{0};         // ops of phases with a known number, for the progress
  std::mutex interval_mutex;
  Interval interval;
  std::mutex complaints_mutex;
  std::vector<std::string> complaints;  // the first few wrong answers in words
};

class Worker {
 public:
  Worker(Shared* shared, uint32_t index, client::Client* client);

  /// The thread's life: warms up, measures, drains.
  void run();
  /// After run().
  const Tally& tally() const noexcept { return tally_; }
  uint64_t first_ns() const noexcept { return first_ns_; }
  uint64_t last_ns() const noexcept { return last_ns_; }

 private:
  struct Op {  // one operation in flight
    Worker* worker;
    OpKind kind;
    bool reading;  // waiting for a read (also the first half of a read-modify-write)
    bool measured;
    uint32_t value_bytes;
    uint64_t key;
    Expectation expected;
    Write write;
    uint64_t intended_ns;
    uint64_t start_ns;
  };

  bool issue(uint64_t intended_ns, uint64_t now_ns);
  void plan_run(Op* op);
  void plan_read(Op* op);
  void plan_write(Op* op);
  uint64_t choose_own_key();
  void send_get(Op* op);
  void send_put(Op* op);
  static void on_completion(void* context, const client::Completion& completion);
  void finish_read(Op* op, const client::Completion& c);
  void finish_write(Op* op, const client::Completion& c);
  void finish(Op* op, const client::Completion& c);
  void record(const Op& op, app::StreamOp kind, size_t value_bytes, bool absent);
  bool failed(Op* op, const client::Completion& c);
  void verify(const Op& op, const client::Completion& c);
  void complain(const Op& op, const char* what, Version version);
  bool more() const;
  void issue_due(uint64_t now_ns);
  void idle(uint32_t completions, uint64_t now_ns);
  void start_measuring(uint64_t now_ns);
  void publish_interval();
  uint64_t next_gap_ns();

  Shared* const shared_;
  const Settings& settings_;
  const uint32_t index_;
  client::Client* const client_;
  client::Random random_;
  KeyChooser chooser_;
  Values values_;
  Tally tally_;
  Interval interval_;

  std::vector<Op> ops_;
  std::vector<Op*> free_;
  std::vector<std::byte> key_buffer_;
  std::vector<std::byte> value_buffer_;

  uint64_t next_key_ = 0;  // load, check
  uint64_t next_insert_ = 0;
  uint64_t left_ = UINT64_MAX;  // operations still to issue
  uint64_t next_due_ns_ = 0;    // open loop
  double gap_ns_ = 0;
  bool measuring_ = false;
  uint64_t seen_tick_ = 0;
  uint64_t seen_timeouts_ = 0;
  uint64_t idle_since_ns_ = 0;
  uint64_t first_ns_ = 0;
  uint64_t last_ns_ = 0;
  uint64_t cpu_start_ns_ = 0;
  client::Counters counters_start_;
};

}  // namespace dinomo::bench
