// SPDX-License-Identifier: BSD-3-Clause
// Runs merges: each log by one task at a time and so strictly in order, different logs in parallel
// on a oneTBB arena of their own. With 0 workers everything happens inside of poll(), in the order
// of scheduling: single-threaded and deterministic, for the simulator.
//
// Thread rule: service thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>

#include "dpm/arena.h"
#include "dpm/merger.h"

namespace dinomo::dpm {

/// Batches that a task merges before it lets other logs have the worker.
inline constexpr uint32_t kBatchesPerTask = 16;

class MergePool {
 public:
  MergePool(Merger& merger, uint32_t workers);
  ~MergePool();  // waits for running tasks
  MergePool(const MergePool&) = delete;
  MergePool& operator=(const MergePool&) = delete;

  /// Starts a merge run of the log unless one is under way; LogState::busy until it is over.
  void schedule(LogState& log);

  /// Without workers: runs what was scheduled. Returns the number of runs.
  uint32_t poll();

  /// Work that is cut in slices, between merges: step(object) does one and is called until it
  /// returns false, on every worker at once; without workers once per call of this. `working`
  /// counts the workers that are at it; call again only when it is 0. `object` outlives the pool.
  using Step = bool (*)(void* object);
  void work_in_background(Step step, void* object, std::atomic<uint32_t>& working);

  /// Calls body(begin, end) over [0, size) in pieces, in parallel if there are workers.
  void parallel_for(uint64_t size, uint64_t piece,
                    const std::function<void(uint64_t, uint64_t)>& body);

  uint32_t workers() const noexcept { return workers_; }

 private:
  struct Background {
    Step step;
    void* object;
    std::atomic<uint32_t>* working;
  };
  static void merge_task(void* pool, void* log_state);
  static void background_task(void* pool, void* background);

  Merger& merger_;
  const uint32_t workers_;
  std::unique_ptr<Arena> arena_;
  std::deque<LogState*> queue_;
  std::deque<Background> backgrounds_;  // one for each object, for good: tasks refer to them
  std::atomic<uint32_t> running_{0};
};

}  // namespace dinomo::dpm
