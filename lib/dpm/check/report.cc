// SPDX-License-Identifier: BSD-3-Clause
#include "dpm/check/report.h"

#include <utility>

namespace dinomo::dpm {

namespace {

using enum Severity;

constexpr std::array<ProblemInfo, kProblems> kInfo{{
    {"slot_invalid", kRepairable, "a slot of the index refers to no valid entry of its key",
     "the slot is discarded"},
    {"slot_duplicate", kRepairable, "a key has a second slot, which no lookup reaches",
     "the second slot is discarded"},
    {"slot_stale", kRepairable, "a slot refers to an older version than its log has merged",
     "the slot is discarded"},
    {"put_lost", kRepairable,
     "a merged put is the newest of its key, which the logs prove, and the index does not know it",
     "it is put back"},
    {"link", kRepairable, "a chain of buckets goes where no bucket is, or is crossed, or too long",
     "the link is cut"},
    {"bucket_header", kRepairable, "a bucket's header is not that of its chain",
     "the header is written anew"},
    {"index_root", kRepairable, "a word of the index root cannot be right", "it is set right"},
    {"segment_header", kRepairable, "the header of a segment in use is damaged",
     "it is rebuilt from the answer to its grant or its entries"},
    {"segment_lost", kRepairable,
     "the header of a segment in use is damaged, and nothing says whose it was",
     "the segment is discarded"},
    {"segment_state", kRepairable, "a segment's state is not what log and index say",
     "the state is set right"},
    {"segment_end", kRepairable, "a merged segment's entries end elsewhere than its header says",
     "the header is set right"},
    {"grant", kRepairable, "a log has written to a segment that its record does not know",
     "the record is set right"},
    {"counters", kFatal, "live bytes or items are counted wrong: an error of this program", ""},
    {"log_record", kFatal, "the record of a log contradicts its segments", ""},
    {"kn_slot", kRepairable, "the state of a compute node is none",
     "it becomes fenced, so the node has to register again"},
    {"session_record", kRepairable, "a session's record is damaged, misplaced or there twice",
     "it is discarded, or its floor set right"},
    {"session_outcome", kRepairable, "the outcome of a mutation is damaged", "it is discarded"},
    {"ring", kFatal, "both copies of the ring are damaged", ""},
    {"stray", kRepairable, "an object of the pool's allocator is of no use to anybody",
     "it is given back"},
    {"allocator", kFatal, "libpmemobj finds its own records inconsistent", ""},
    {"unrecoverable", kFatal, "the pool cannot be recovered", ""},
    {"torn_tail", kNote, "a log ends in something that is no entry, as a crash leaves it", ""},
    {"dead_damage", kNote, "damaged entries that nothing refers to", ""},
    {"place", kNote, "damaged entries before the end of what a log has merged", ""},
    {"unproven_put", kNote,
     "puts of absent keys; their deletes are in segments that were reclaimed since, or are lost",
     ""},
}};

}  // namespace

const ProblemInfo& info(Problem problem) noexcept { return kInfo[static_cast<size_t>(problem)]; }

Problem problem_of(DamageKind kind) noexcept {
  switch (kind) {
    case DamageKind::kSlot: return Problem::kSlotInvalid;
    case DamageKind::kLink: return Problem::kLink;
    case DamageKind::kBucketHeader: return Problem::kBucketHeader;
    case DamageKind::kSegmentHeader: return Problem::kSegmentHeader;
    case DamageKind::kSegmentLost: return Problem::kSegmentLost;
    case DamageKind::kGrant: return Problem::kGrant;
    case DamageKind::kPlace: return Problem::kPlace;
    case DamageKind::kSegmentState: return Problem::kSegmentState;
  }
  return Problem::kUnrecoverable;
}

void CheckReport::add(Problem problem, uint64_t offset, std::string text) {
  const std::lock_guard lock(mutex_);
  if (++counts_[static_cast<size_t>(problem)] > kFindingsKept) return;
  findings_.push_back({problem, offset, std::move(text)});
}

void CheckReport::count(Problem problem, uint64_t n) noexcept {
  const std::lock_guard lock(mutex_);
  counts_[static_cast<size_t>(problem)] += n;
}

uint64_t CheckReport::of(Severity severity) const noexcept {
  uint64_t sum = 0;
  for (size_t i = 0; i < kProblems; ++i) {
    if (kInfo[i].severity == severity) sum += counts_[i];
  }
  return sum;
}

int CheckReport::exit_status() const noexcept {
  if (of(kFatal) != 0) return 2;
  return of(kRepairable) != 0 ? 1 : 0;
}

}  // namespace dinomo::dpm
