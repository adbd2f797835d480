// SPDX-License-Identifier: BSD-3-Clause
// Expiry: takes items out of the index whose time is over. KNs do not return them long before;
// this is for the space that they take.
//
// A pass goes over the whole index, a few chains a slice: one slice notes what the slots refer to,
// the next one, with the entries in the cache by then, reads when they expire, and clears a slot
// under its bucket's lock if it still refers to that entry. So an item that was written again
// meanwhile, or touched, is never removed: it has another entry.
//
// There is a pass only when something is due: a pass and the merge note the earliest expiry that
// they see. After a start that is not known, so there is one pass. Clocks of nodes differ: an item
// is removed `grace_ms` after its time.
//
// A crash may bring an item back whose removal was not durable; it is expired again.
//
// Thread rule: work() by any worker, one at a time (others return at once); the rest by the service
// thread. Cost: a cache line of a table and one of an entry for each item, once a pass.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "dpm/merger.h"
#include "dpm/segment_table.h"
#include "index/index_writer.h"
#include "pool/space.h"

namespace dinomo::dpm {

struct ExpiryCounters {
  std::atomic<uint64_t> passes{0};
  std::atomic<uint64_t> items{0};  // removed
  std::atomic<uint64_t> bytes{0};  // of their entries
};

class Expirer {
 public:
  /// `merged`: where the merge notes expiries and counts items.
  Expirer(pool::Space& space, SegmentTable& segments, index::IndexWriter& index,
          MergeCounters& merged, uint32_t grace_ms);

  /// Decides. True: there are slices, so a worker is to call work().
  bool poll(uint64_t now_ns, uint64_t unix_ms) noexcept;

  /// One slice. False: there is none left until the next poll().
  bool work() noexcept;
  /// Workers that may be in work(), counted by who sends them there; poll() goes on at 0.
  std::atomic<uint32_t>& working() noexcept { return working_; }

  /// No more slices are handed out, for a stop.
  void pause() noexcept { paused_.store(true, std::memory_order_relaxed); }

  const ExpiryCounters& counters() const noexcept { return counters_; }

 private:
  static constexpr uint64_t kHeadsPerSlice = 64;

  struct Noted {
    uint64_t hash;
    pool::GlobalAddress address;
  };
  void note_chains() noexcept;
  void remove_expired() noexcept;
  /// 0: never, or there is no such entry any more.
  uint64_t expiry_ms(pool::GlobalAddress address) noexcept;
  bool remove(const Noted& noted) noexcept;

  pool::Space& space_;
  SegmentTable& segments_;
  index::IndexWriter& index_;
  MergeCounters& merged_;
  const uint64_t grace_ms_;
  uint64_t next_expiry_ms_ = 0;  // nothing is due before; 0: not known
  uint64_t rest_until_ns_ = 0;

  // The worker's while `turn_` is set, the service thread's while nobody is working.
  bool passing_ = false;
  uint64_t unix_ms_ = 0;  // of the latest poll()
  uint64_t at_hash_ = 0;  // chains of hashes below were noted
  bool all_noted_ = false;
  uint64_t earliest_ms_ = 0;  // that this pass leaves
  std::vector<Noted> noted_;
  std::vector<pool::GlobalAddress> removed_;

  std::atomic<uint32_t> working_{0};
  std::atomic<bool> turn_{false};
  std::atomic<bool> paused_{false};
  ExpiryCounters counters_;
};

}  // namespace dinomo::dpm
