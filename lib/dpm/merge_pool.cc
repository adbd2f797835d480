// SPDX-License-Identifier: BSD-3-Clause
#include "dpm/merge_pool.h"

#include <oneapi/tbb/blocked_range.h>
#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/parallel_for.h>
#include <oneapi/tbb/task_arena.h>
#include <sched.h>

#include <algorithm>
#include <cassert>

namespace dinomo::dpm {

struct MergePool::Arena {
  // TBB would else make fewer threads than asked for on a small machine.
  explicit Arena(uint32_t workers)
      : limit(tbb::global_control::max_allowed_parallelism, workers + 1),
        arena(static_cast<int>(workers), 0) {}
  tbb::global_control limit;
  tbb::task_arena arena;
};

MergePool::MergePool(Merger& merger, uint32_t workers) : merger_(merger), workers_(workers) {
  if (workers_ != 0) arena_ = std::make_unique<Arena>(workers_);
}

MergePool::~MergePool() {
  while (running_.load(std::memory_order_acquire) != 0) sched_yield();
}

void MergePool::schedule(LogState& log) {
  if (log.busy.load(std::memory_order_acquire)) return;
  log.busy.store(true, std::memory_order_release);
  if (workers_ == 0) {
    queue_.push_back(&log);
    return;
  }
  running_.fetch_add(1, std::memory_order_acq_rel);
  enqueue(log);
}

void MergePool::enqueue(LogState& log) {
  arena_->arena.enqueue([this, &log] {
    if (log.busy.load(std::memory_order_acquire) &&
        merger_.run(log, kBatchesPerTask) == MergeStop::kMore) {
      enqueue(log);  // behind the other logs
      return;
    }
    log.busy.store(false, std::memory_order_release);
    running_.fetch_sub(1, std::memory_order_acq_rel);
  });
}

uint32_t MergePool::poll() {
  const size_t runs = queue_.size();
  for (size_t i = 0; i < runs; ++i) {
    LogState* log = queue_.front();
    queue_.pop_front();
    merger_.run(*log, kBatchesPerTask);
    log->busy.store(false, std::memory_order_release);
  }
  return static_cast<uint32_t>(runs);
}

void MergePool::parallel_for(uint64_t size, uint64_t piece,
                             const std::function<void(uint64_t, uint64_t)>& body) {
  if (workers_ == 0) {
    for (uint64_t at = 0; at < size; at += piece) body(at, std::min(size, at + piece));
    return;
  }
  // An arena with a slot for the calling thread, which works too.
  tbb::task_arena arena(static_cast<int>(workers_), 1);
  // TBB orders all this, but as a library that ThreadSanitizer cannot look into; our own counter
  // shows it the order.
  std::atomic<uint64_t> done{0};
  arena.execute([&] {
    tbb::parallel_for(tbb::blocked_range<uint64_t>(0, size, piece),
                      [&](const tbb::blocked_range<uint64_t>& r) {
                        body(r.begin(), r.end());
                        done.fetch_add(r.size(), std::memory_order_release);
                      });
  });
  assert(done.load(std::memory_order_acquire) == size);
}

}  // namespace dinomo::dpm
