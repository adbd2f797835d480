// SPDX-License-Identifier: BSD-3-Clause
// One phase of a benchmark: threads, timing, progress, counters of both sides.
#pragma once

#include <functional>
#include <memory>
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

class Bench {
 public:
  /// `port` outlives the bench.
  Bench(const Settings& settings, Clock* clock, Port* port);

  /// Finds the servers: a client per thread with session and ring. Throws std::runtime_error.
  void connect(const std::vector<client::Address>& seeds);
  /// `recorder`, if any, gets the operations of the run phase.
  PhaseResult run(Task task, app::KeyStreamWriter* recorder);

 private:
  struct Seat {  // of one thread
    std::unique_ptr<client::Transport> transport;
    std::unique_ptr<client::Client> client;
  };

  Seat new_seat(uint32_t index, const std::vector<client::Address>& seeds);
  json kn_stats();
  void watch(Shared* shared, const std::function<bool()>& finished);
  void measure(Shared* shared, const std::function<bool()>& finished);
  void progress(Shared* shared, uint64_t elapsed_ns, uint64_t total);

  const Settings& settings_;
  Clock* const clock_;
  Port* const port_;
  std::vector<Seat> seats_;
  std::unique_ptr<KeyTable> table_;
  KeySpace space_;
  uint64_t run_;
};

/// Set by SIGINT and SIGTERM: phases end early and report what they have.
void catch_signals();

}  // namespace dinomo::bench
