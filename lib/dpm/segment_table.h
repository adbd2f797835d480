// SPDX-License-Identifier: BSD-3-Clause
// Every segment of the pool: its state, and how many of its bytes the index refers to.
//
// A segment is reclaimed when it is closed (merged, nothing is appended any more), its live bytes
// are 0 and nobody has pinned it. All three facts share one word, so exactly one thread sees the
// change to "closed, empty and not pinned" and hands the segment to the service, which frees it
// after a grace period for remote readers.
//
// Segments of logs have SegmentKind::kLog. Those that compaction fills (dpm/compactor.h) have
// kCompacted, belong to no log (log_id kNoLog, sequence and incarnation 0) and hold entries of any
// log, in no order, each with the log_id and LSN that it was written with. They are kOpen while
// they are filled; load() closes those that a crash left open, with end_bytes 0 (not known).
//
// Thread rule: grants, reclaim and start-up by the service thread; add_live, sub_live, pin, unpin,
// close and look-ups by any merge worker.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <mutex>
#include <vector>

#include "index/index_writer.h"
#include "pool/space.h"

namespace dinomo::dpm {

inline constexpr uint32_t kNoSegment = UINT32_MAX;
inline constexpr uint16_t kNoLog = UINT16_MAX;

/// Segments that only compaction may take: it cannot make room without having some.
inline constexpr uint32_t kCompactionReserve = 1;

struct SegmentCounts {
  uint64_t total = 0;  // objects that exist
  uint64_t free = 0;
  uint64_t open = 0;
  uint64_t merged = 0;       // closed, not yet free
  uint64_t allocatable = 0;  // that do not exist yet and for which the pool has room
  uint64_t live_bytes = 0;
  uint64_t reclaimed = 0;  // since start
};

/// Who asks, and so which segments are kept from it when few are free: puts leave the reserves of
/// deletes and of compaction, deletes that of compaction, compaction that of deletes. The last
/// resort of compaction is any segment: what is lent comes back with interest.
enum class GrantFor : uint8_t { kPuts, kDeletes, kCompaction, kLastResort };

struct Grant {
  uint16_t log_id;
  uint32_t incarnation;
  uint64_t sequence;
  uint64_t unix_ms;
};

class SegmentTable final : public index::KeySource {
 public:
  /// `reserve`: segments kept for deletes.
  SegmentTable(pool::Space& space, uint32_t reserve);

  /// Start-up: reads all headers; those that a crash left torn in the middle of a grant become free
  /// ones with a later generation. Returns segments in use whose header is damaged, for
  /// restore_header() or reset_header(). Afterwards live bytes are to be counted with add_live(),
  /// then settle() decides what is free. Offsets of those whose state it had to change because the
  /// index refers to them go to *kept.
  std::vector<uint32_t> load();
  void settle(std::vector<uint64_t>* kept);

  bool header_sound(uint32_t id) noexcept;
  /// Start-up: what a damaged header said. The state is not touched.
  void restore_header(uint32_t id, const Grant& grant, uint32_t generation) noexcept;
  /// Start-up: free, with a later generation than the header says.
  void reset_header(uint32_t id) noexcept;
  /// Start-up: a segment whose log is not merged so far cannot be free.
  void reopen(uint32_t id) noexcept;
  /// Start-up: of a header that is sound but for its state; settle() frees it if it is empty.
  void take_for_merged(uint32_t id) noexcept { set_state(id, pool::SegmentState::kMerged); }

  /// A free segment for a log, its header durable and open. `urgent` grants may use the reserve
  /// for deletes. kNoSpace, or kBusy: segments will become free without anybody's doing.
  Result<uint32_t> grant(const Grant& grant, bool urgent) noexcept;

  /// A free segment for compaction, likewise. kNoSpace.
  Result<uint32_t> grant_compacted(uint64_t unix_ms, bool last_resort) noexcept;

  /// Compaction tells whether it can make segments free.
  void expect_gain(bool expected) noexcept { gain_expected_ = expected; }

  /// The pool's allocator got memory back: segments may be allocated again.
  void forget_heap_full() noexcept { heap_full_ = false; }

  /// Takes back a grant that was never answered.
  void revoke_grant(uint32_t id) noexcept;

  /// Nothing is appended any more; entries end at `end_bytes`, the last one has `last_lsn`.
  void close(uint32_t id, uint64_t end_bytes, uint64_t last_lsn) noexcept;

  /// Segment that holds the bytes at `offset`, or kNoSegment.
  uint32_t find(uint64_t offset) const noexcept;

  void add_live(uint32_t id, uint64_t bytes) noexcept;
  void sub_live(uint32_t id, uint64_t bytes) noexcept;

  /// Keeps a closed segment from being reclaimed while its entries are read. False: it is not
  /// closed, pinned already, or empty and so no longer anybody's to pin.
  bool pin(uint32_t id) noexcept;
  void unpin(uint32_t id) noexcept;

  /// Frees segments that have been empty since before now - grace. Returns how many.
  uint32_t reclaim(uint64_t now_ns, uint64_t grace_ns) noexcept;
  bool reclaim_pending() const noexcept { return reclaimable() != 0; }
  /// Empty, waiting for their grace.
  uint64_t reclaimable() const noexcept { return pending_.load(std::memory_order_relaxed); }
  /// Segments that puts can still get before any is emptied; those that wait for their grace too.
  uint64_t available() const noexcept;
  /// That the pool can hold at most.
  uint64_t capacity() noexcept { return size() + allocatable(); }
  uint32_t reserved() const noexcept { return reserve_ + kCompactionReserve; }

  uint32_t size() const noexcept { return count_.load(std::memory_order_acquire); }
  uint64_t offset(uint32_t id) const noexcept { return segments_[id].offset; }
  pool::SegmentHeader& header(uint32_t id) noexcept {
    return *space_.record<pool::SegmentHeader>(segments_[id].offset);
  }
  Bytes bytes(uint32_t id) noexcept { return {space_.at(segments_[id].offset), segment_bytes_}; }
  uint64_t live(uint32_t id) const noexcept {
    return segments_[id].live.load(std::memory_order_relaxed) & kBytesMask;
  }
  /// Closed, with live entries, not pinned.
  bool compactable(uint32_t id) const noexcept {
    const uint64_t word = segments_[id].live.load(std::memory_order_acquire);
    return (word & ~kBytesMask) == kClosedBit && word != kClosedBit;
  }
  SegmentCounts counts() noexcept;

  Result<Bytes> key_at(pool::GlobalAddress address) noexcept override;

 private:
  static constexpr uint64_t kClosedBit = uint64_t{1} << 63;
  static constexpr uint64_t kPinnedBit = uint64_t{1} << 62;
  static constexpr uint64_t kBytesMask = kPinnedBit - 1;
  struct Segment {
    uint64_t offset = 0;
    std::atomic<uint64_t> live{0};  // bytes, kClosedBit, kPinnedBit
    bool free = false;              // service thread
  };
  struct Empty {
    uint32_t id;
    uint64_t since_ns;  // 0: not yet looked at
  };
  uint32_t add(uint64_t offset) noexcept;
  void fill_free_list(uint64_t wanted) noexcept;
  uint64_t allocatable() const noexcept;
  Result<uint32_t> take_free(GrantFor purpose) noexcept;
  void open(uint32_t id, const Grant& grant, pool::SegmentKind kind) noexcept;
  void set_state(uint32_t id, pool::SegmentState state) noexcept;
  void hand_to_reclaim(uint32_t id) noexcept;

  pool::Space& space_;
  const uint64_t segment_bytes_;
  const uint32_t reserve_;
  std::vector<Segment> segments_;
  std::vector<std::atomic<uint32_t>> starts_;  // by offset / segment_bytes: segment starting there
  std::atomic<uint32_t> count_{0};
  std::deque<uint32_t> free_;
  bool heap_full_ = false;  // until something is given back to the allocator
  bool gain_expected_ = false;
  std::atomic<uint64_t> free_count_{0};
  std::mutex empties_mutex_;
  std::deque<Empty> empties_;
  std::atomic<uint64_t> pending_{0};
  std::atomic<uint64_t> reclaimed_{0};
  std::atomic<uint64_t> open_{0};
};

}  // namespace dinomo::dpm
