// SPDX-License-Identifier: BSD-3-Clause
#include "dpm/merge_pool.h"

#include <sched.h>

#include <algorithm>
#include <iterator>

namespace dinomo::dpm {

namespace {

/// Pieces of a parallel loop; whoever is free takes the next one. Our own atomics order what the
/// starting thread prepared, what the pieces do, and what the starting thread sees afterwards.
struct Loop {
  uint64_t size;
  uint64_t piece;
  const std::function<void(uint64_t, uint64_t)>* body;
  std::atomic<uint64_t> next{0};
  std::atomic<uint64_t> done{0};
  std::atomic<uint32_t> left{0};  // workers that will not touch this any more
  std::atomic<bool> prepared{false};

  void work() {
    if (!prepared.load(std::memory_order_acquire)) return;
    for (;;) {
      const uint64_t at = next.fetch_add(piece, std::memory_order_relaxed);
      if (at >= size) break;
      const uint64_t end = std::min(size, at + piece);
      (*body)(at, end);
      done.fetch_add(end - at, std::memory_order_release);
    }
    left.fetch_add(1, std::memory_order_release);
  }
};

}  // namespace

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
  arena_->enqueue(&MergePool::merge_task, this, &log);
}

void MergePool::merge_task(void* pool, void* log_state) {
  auto& self = *static_cast<MergePool*>(pool);
  auto& log = *static_cast<LogState*>(log_state);
  // Takes the log over from whoever set `busy` or released it in the previous run.
  if (log.busy.load(std::memory_order_acquire) &&
      self.merger_.run(log, kBatchesPerTask) == MergeStop::kMore) {
    log.busy.store(true, std::memory_order_release);
    self.arena_->enqueue(&MergePool::merge_task, pool, log_state);  // behind the other logs
    return;
  }
  log.busy.store(false, std::memory_order_release);
  self.running_.fetch_sub(1, std::memory_order_acq_rel);
}

void MergePool::work_in_background(Step step, void* object, std::atomic<uint32_t>& working) {
  if (workers_ == 0) {
    step(object);
    return;
  }
  auto at = std::ranges::find(backgrounds_, object, &Background::object);
  if (at == backgrounds_.end()) {
    backgrounds_.push_back({step, object, &working});
    at = std::prev(backgrounds_.end());
  }
  working.fetch_add(workers_, std::memory_order_acq_rel);
  running_.fetch_add(workers_, std::memory_order_acq_rel);
  for (uint32_t i = 0; i < workers_; ++i) {
    arena_->enqueue(&MergePool::background_task, this, &*at);
  }
}

void MergePool::background_task(void* pool, void* background) {
  auto& self = *static_cast<MergePool*>(pool);
  // Takes over what the service thread prepared before it raised the count, which counts this task.
  if (self.running_.load(std::memory_order_acquire) == 0) return;
  auto& b = *static_cast<Background*>(background);
  if (b.working->load(std::memory_order_acquire) != 0 && b.step(b.object)) {
    // Whatever this task has read comes before the one that goes on: oneTBB's queue orders them,
    // but ThreadSanitizer does not see that.
    Arena* const arena = self.arena_.get();
    self.running_.fetch_add(0, std::memory_order_release);
    arena->enqueue(&MergePool::background_task, pool, background);  // behind merges
    return;
  }
  b.working->fetch_sub(1, std::memory_order_acq_rel);
  self.running_.fetch_sub(1, std::memory_order_acq_rel);
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
  Loop loop{size, piece, &body};
  loop.prepared.store(true, std::memory_order_release);
  arena_->run_everywhere([](void* l, void*) { static_cast<Loop*>(l)->work(); }, &loop, nullptr);
  while (loop.done.load(std::memory_order_acquire) != size ||
         loop.left.load(std::memory_order_acquire) != workers_) {
    sched_yield();
  }
}

}  // namespace dinomo::dpm
