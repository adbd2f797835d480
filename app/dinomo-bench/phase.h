// SPDX-License-Identifier: BSD-3-Clause
// One phase of a benchmark: threads, timing, progress, counters of both sides.
#pragma once

#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "app/dinomo-bench/kn_stats.h"
#include "app/dinomo-bench/port.h"
#include "app/dinomo-bench/worker.h"

namespace dinomo::bench {

struct PhaseResult {
  std::string name;
  double seconds = 0;  // measured time
  bool interrupted = false;
  Tally tally;
  json kn_delta;  // null if the KNs did not tell
  std::vector<std::string> complaints;

  uint64_t operations() const;
  bool failed(bool allow_lost) const;
};

/// Where a phase is written while it runs; null: nowhere. The caller's, who also looks whether all
/// could be written.
struct Recording {
  app::KeyStreamWriter* keys = nullptr;  // operations of the run phase
  std::ostream* timeline = nullptr;      // a line of JSON for each interval
};

class Bench {
 public:
  /// `port` outlives the bench.
  Bench(const Settings& settings, Clock* clock, Port* port);

  /// Finds the servers: a client per thread with session and ring. Throws std::runtime_error.
  void connect(const std::vector<client::Address>& seeds);
  PhaseResult run(Task task, const Recording& recording);

 private:
  struct Seat {  // of one thread
    std::unique_ptr<client::Transport> transport;
    std::unique_ptr<client::Client> client;
  };

  Seat new_seat(uint32_t index, const std::vector<client::Address>& seeds);
  json kn_stats();
  void watch(Shared* shared, const std::function<bool()>& finished);
  void measure(Shared* shared, const std::function<bool()>& finished);
  void end_interval(Shared* shared, uint64_t start_ns, uint64_t total);
  void tell_progress(const Shared& shared, const Interval& interval, double elapsed_s,
                     uint64_t total) const;
  void write_timeline(const Shared& shared, const Interval& interval, double interval_s);

  const Settings& settings_;
  Clock* const clock_;
  Port* const port_;
  std::vector<Seat> seats_;
  std::unique_ptr<KeyTable> table_;
  KeySpace space_;
  uint64_t run_;
  std::ostream* timeline_ = nullptr;  // of the phase that runs
  uint64_t interval_start_ns_ = 0;
};

/// Set by SIGINT and SIGTERM: phases end early and report what they have.
void catch_signals();

}  // namespace dinomo::bench
