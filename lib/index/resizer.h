// SPDX-License-Identifier: BSD-3-Clause
// Online resize of the index: fills a table of another size in slices while everything goes on,
// then makes it the current one by one atomic store of the root.
//
//   idle -> formatting -> migrating -> idle, and the old table waits in the Reclaimer
//
// Formatting: the new table is made empty; nobody can reach it. Then IndexRoot.next names it.
// Migrating, chain by chain: lock the old head, copy its items into the next table, make them
// durable, mark the old head. Writers and readers of that chain use the next table from then on;
// nobody waits for more than one chain. A crash at any point leaves every chain in one table or the
// other; recovery drops copies of chains that are not marked, and the resize goes on.
//
// Grows when there are more than 3 items in 2 buckets, to 1/2..1 item a bucket; shrinks to that
// when there are fewer than 1 in 8, but not below IndexRoot.buckets_min.
//
// Thread rule: work() by any number of workers at once; the rest by the service thread.
// Cost: a chain takes two drains; about 1 ns of bandwidth a byte beside.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <vector>

#include "index/index_writer.h"
#include "index/reclaimer.h"
#include "pool/space.h"

namespace dinomo::index {

struct ResizeCounters {
  uint64_t started = 0;
  uint64_t finished = 0;
  uint64_t no_space = 0;        // tables that the pool had no room for
  uint64_t chains_retried = 0;  // could not be moved at once: no overflow bucket, or a long lock
};

class Resizer {
 public:
  Resizer(pool::Space& space, IndexWriter& index, OverflowPool& overflow,
          Reclaimer& reclaimer) noexcept;

  /// Decides, starts, finishes. True: there are slices, so workers are to call work().
  bool poll(uint64_t items, uint64_t now_ns);

  /// One slice. False: there are none left to take.
  bool work() noexcept;
  /// Workers that may be in work(), counted by who sends them there; poll() goes on at 0.
  std::atomic<uint32_t>& working() noexcept { return working_; }

  /// No more slices are handed out, for a stop. What is left goes on after the next start.
  void pause() noexcept { paused_.store(true, std::memory_order_relaxed); }

  bool idle() const noexcept { return phase_ == Phase::kIdle; }
  const ResizeCounters& counters() const noexcept { return counters_; }

  /// A table to begin now, whatever the items say: log2 of its buckets. For tests and benchmarks.
  void force(uint32_t buckets_log2) noexcept { forced_log2_ = buckets_log2; }

 private:
  enum class Phase : uint8_t { kIdle, kFormatting, kMigrating };
  uint64_t wanted_buckets(uint64_t items) const noexcept;
  void begin(uint64_t buckets, uint64_t now_ns);
  void enter(Phase phase, uint64_t heads) noexcept;
  void publish() noexcept;
  void finish();
  void retry(uint64_t now_ns) noexcept;
  Status migrate(uint64_t head_index) noexcept;
  Status copy(Bucket* head) noexcept;

  pool::Space& space_;
  IndexWriter& index_;
  OverflowPool& overflow_;
  Reclaimer& reclaimer_;
  const Memory memory_;
  uint32_t forced_log2_ = 0;
  uint64_t try_again_ns_ = 0;
  ResizeCounters counters_;

  // Written while no worker is at work.
  Phase phase_ = Phase::kIdle;
  pool::TableRef from_;
  pool::TableRef to_;
  uint64_t heads_ = 0;

  std::atomic<uint64_t> cursor_{0};
  std::atomic<uint64_t> done_{0};
  std::atomic<uint32_t> working_{0};
  std::atomic<bool> paused_{false};
  std::mutex left_mutex_;
  std::vector<uint64_t> left_;  // heads that could not be migrated yet
};

/// Clears in `to` the copies of chain `head_index` of `from`, which is not marked. Flushed.
void drop_copies(const Memory& memory, pool::TableRef from, uint64_t head_index,
                 pool::TableRef to) noexcept;

}  // namespace dinomo::index
