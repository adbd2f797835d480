// SPDX-License-Identifier: BSD-3-Clause
// What the DPM knows of one log while it runs. Shared by the service thread and the one merge task
// that works on the log at a time.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "common/status.h"
#include "dpm/segment_table.h"
#include "dpm/session_table.h"

namespace dinomo::dpm {

/// Segments of a log that may be granted and not yet merged; a KN stops far earlier.
inline constexpr uint32_t kOpenSegmentsMax = 64;

inline constexpr uint64_t kMergeAll = UINT64_MAX;

/// Why a merge run ended.
enum class MergeStop : uint8_t {
  kNever,      // has not run yet
  kMore,       // its share of time is over
  kReached,    // up to the target
  kNotValid,   // the next entry is not there (yet), torn or stale
  kNoSegment,  // the log has no further segment
  kStalled,    // the index cannot take the next entry, see LogState::stall
};

struct LogState {
  uint16_t id = 0;

  // Written by the service thread, read by the merge task.
  std::array<std::atomic<uint32_t>, kOpenSegmentsMax> open;  // segment by sequence % max
  std::atomic<uint64_t> granted{0};                          // sequence of the newest segment
  std::atomic<uint64_t> target_lsn{0};                       // merge up to here

  // Written by the merge task, read by anyone.
  std::atomic<uint64_t> merged_lsn{0};
  std::atomic<uint64_t> merged_sequence{0};
  std::atomic<MergeStop> last_stop{MergeStop::kNever};
  std::atomic<Status> stall{Status::kOk};

  // Handed over with `busy`: the merge task's while it is set, else the service thread's.
  std::atomic<bool> busy{false};
  uint64_t sequence = 1;  // segment in which the next entry is expected
  uint64_t offset = sizeof(pool::SegmentHeader);
  uint64_t next_lsn = 1;
  bool place_lost = false;  // damage hides where next_lsn is: look for it behind `offset`
  SessionCache sessions;

  // Service thread.
  uint32_t incarnation = 0;
  uint64_t hinted_lsn = 0;   // newest valid hint
  uint64_t retry_at_ns = 0;  // after a run that could not reach its target

  uint32_t open_segment(uint64_t seq) const noexcept {
    return open[seq % kOpenSegmentsMax].load(std::memory_order_acquire);
  }
  void set_open_segment(uint64_t seq, uint32_t id_of_segment) noexcept {
    open[seq % kOpenSegmentsMax].store(id_of_segment, std::memory_order_release);
  }
};

}  // namespace dinomo::dpm
