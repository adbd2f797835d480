// SPDX-License-Identifier: BSD-3-Clause
// What a check of a pool found: counts by kind of problem, and the first of each in words. Bounded,
// whatever the pool looks like.
//
// Thread rule: add() by any thread, the rest when none is at work.
#pragma once

#include <array>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "dpm/damage.h"

namespace dinomo::dpm {

enum class Severity : uint8_t {
  kNote,        // worth knowing; nothing is wrong, or nothing refers to what is
  kRepairable,  // --repair leaves it right
  kFatal,       // nothing in the pool says what was there: a backup does
};

enum class Problem : uint8_t {
  // Problems.
  kSlotInvalid,
  kSlotDuplicate,
  kSlotStale,
  kPutLost,
  kLink,
  kBucketHeader,
  kIndexRoot,
  kSegmentHeader,
  kSegmentLost,
  kSegmentState,
  kSegmentEnd,
  kGrant,
  kCounters,
  kLogRecord,
  kKnSlot,
  kSessionRecord,
  kSessionOutcome,
  kRing,
  kStray,
  kAllocator,
  kUnrecoverable,
  // Notes.
  kTornTail,
  kDeadDamage,
  kPlace,
  kUnprovenPut,
};
inline constexpr size_t kProblems = static_cast<size_t>(Problem::kUnprovenPut) + 1;

struct ProblemInfo {
  const char* name;  // for JSON
  Severity severity;
  const char* meaning;
  const char* repair;  // what --repair does
};
const ProblemInfo& info(Problem problem) noexcept;

/// The problem that recovery mended or gave up.
Problem problem_of(DamageKind kind) noexcept;

struct Finding {
  Problem problem;
  uint64_t offset;  // in the pool, 0 if it has no place
  std::string text;
};

/// Findings of one kind that are kept in words; all are counted.
inline constexpr uint64_t kFindingsKept = 100;

/// What was looked at.
struct CheckTotals {
  uint64_t items = 0;
  uint64_t entries = 0;           // of logs, valid
  uint64_t entries_unmerged = 0;  // found by recovery
  uint64_t live_bytes = 0;
  uint64_t segments = 0;
  uint64_t segments_free = 0;
  uint64_t segments_open = 0;
  uint64_t buckets = 0;
  uint64_t overflow_used = 0;
  uint64_t overflow_capacity = 0;
  uint64_t chain_buckets_max = 0;
  std::array<uint64_t, 5> chains{};  // of 1, 2, 3, 4 buckets, and of more
  uint64_t sessions = 0;
  uint64_t outcomes = 0;
  bool clean_stop = false;
  bool resize_under_way = false;
  uint64_t locks_cleared = 0;
};

class CheckReport {
 public:
  void add(Problem problem, uint64_t offset, std::string text);
  /// For notes that are counted, not listed.
  void count(Problem problem, uint64_t n) noexcept;

  uint64_t of(Problem problem) const noexcept { return counts_[static_cast<size_t>(problem)]; }
  uint64_t of(Severity severity) const noexcept;
  const std::vector<Finding>& findings() const noexcept { return findings_; }

  /// 0 clean, 1 problems that can be repaired, 2 others.
  int exit_status() const noexcept;

  CheckTotals totals;

 private:
  std::mutex mutex_;
  std::array<uint64_t, kProblems> counts_{};
  std::vector<Finding> findings_;
};

}  // namespace dinomo::dpm
