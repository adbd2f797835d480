// SPDX-License-Identifier: BSD-3-Clause
// Compaction: empties sparse segments, so that one live entry does not hold a whole segment.
//
// The live entries of a victim (a closed segment) are copied one after the other into a segment of
// kind kCompacted; when the copies are durable, the slots that still refer to the old entries are
// made to refer to the copies, each under its bucket's lock. A slot that a merge or a deletion has
// changed meanwhile is left as it is. The victim then is empty and is reclaimed after its grace.
// A copy is the same item: it keeps log_id and LSN, so its version; its generation is that of the
// segment it lies in. A crash leaves copies that nobody refers to, which are dead bytes.
//
// KNs need not be told. A shortcut to the old place reads the old bytes until the segment is used
// again, and then no valid entry of that generation; the KN asks the index. Whatever valid entry of
// its key a KN can ever meet at a shortcut's address is the version that the shortcut stands for:
// every later version would have been written by the KN itself, as the owner, which replaces the
// shortcut. The indirection cell of a replicated key is made to refer to the copy, too.
//
// Which segments, and when: dpm/compaction_plan.h.
//
// Thread rule: work() by any worker, one at a time (others return at once); the rest by the service
// thread. Cost: a victim is read once, its live entries are written once; a drain a slice.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "dpm/cell_table.h"
#include "dpm/compaction_plan.h"
#include "dpm/segment_table.h"
#include "index/index_writer.h"
#include "log/format.h"
#include "pool/space.h"

namespace dinomo::dpm {

struct CompactionCounters {
  std::atomic<uint64_t> victims{0};  // gone through
  std::atomic<uint64_t> outputs{0};  // segments taken for copies
  std::atomic<uint64_t> entries{0};  // moved
  std::atomic<uint64_t> bytes{0};    // moved
  std::atomic<uint64_t> lost{0};     // copies in vain: the item changed meanwhile
  std::atomic<uint64_t> damaged{0};  // live entries left where they are: no valid entry
};

class Compactor {
 public:
  /// `below_percent`: compaction begins when less of the pool is free.
  Compactor(pool::Space& space, SegmentTable& segments, index::IndexWriter& index, CellTable& cells,
            uint32_t below_percent);

  /// Decides, takes segments. True: there are slices, so a worker is to call work().
  bool poll(uint64_t now_ns, uint64_t unix_ms);

  /// One slice. False: there is none left until the next poll().
  bool work() noexcept;
  /// Workers that may be in work(), counted by who sends them there; poll() goes on at 0.
  std::atomic<uint32_t>& working() noexcept { return working_; }

  /// No more slices are handed out, for a stop.
  void pause() noexcept { paused_.store(true, std::memory_order_relaxed); }
  /// After pause(), when nobody is working: what was begun is closed.
  void finish() noexcept;

  const CompactionCounters& counters() const noexcept { return counters_; }

 private:
  static constexpr uint32_t kEntriesPerSlice = 128;
  static constexpr uint64_t kBytesPerSlice = uint64_t{128} << 10;  // beside one entry

  struct Victim {
    uint32_t id = kNoSegment;
    uint64_t offset = 0;  // in the segment: next entry to look at
    uint64_t end = 0;
    uint32_t generation = 0;
  };
  struct Output {
    uint32_t id = kNoSegment;
    uint64_t used = 0;
    bool full = false;
  };
  struct Candidate {
    uint64_t offset;  // in the victim
    uint64_t bytes;
    uint64_t hash;
  };
  struct Copy {
    uint64_t hash;
    pool::GlobalAddress from;
    pool::GlobalAddress to;
  };

  bool slice() noexcept;
  bool next_victim() noexcept;
  void end_victim() noexcept;
  uint64_t collect() noexcept;
  bool copy_if_live(const Candidate& candidate) noexcept;
  void swing(uint64_t begin) noexcept;
  bool plan(uint64_t now_ns);
  bool take_output(uint64_t unix_ms) noexcept;
  void close_output() noexcept;
  pool::GlobalAddress address(uint32_t id, uint64_t offset, uint64_t bytes,
                              uint32_t generation) const noexcept;

  pool::Space& space_;
  SegmentTable& segments_;
  index::IndexWriter& index_;
  CellTable& cells_;
  const uint64_t segment_bytes_;
  const uint64_t hash_seed_;
  const uint8_t node_id_;
  CompactionPlan plan_;
  uint64_t look_again_ns_ = 0;
  uint64_t used_at_ns_ = 0;

  // The worker's while `turn_` is set, the service thread's while nobody is working.
  std::vector<uint32_t> victims_;  // still to do, the next one last
  std::vector<uint32_t> not_emptied_;
  Victim victim_;
  Output output_;
  std::vector<Candidate> candidates_;
  std::vector<Copy> copies_;

  std::atomic<uint32_t> working_{0};
  std::atomic<bool> turn_{false};
  std::atomic<bool> paused_{false};
  CompactionCounters counters_;
};

}  // namespace dinomo::dpm
