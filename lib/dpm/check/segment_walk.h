// SPDX-License-Identifier: BSD-3-Clause
// Walks the entries of one segment that is in use, over damaged ones if need be.
#pragma once

#include <cstdint>

#include "common/bytes.h"
#include "log/format.h"
#include "pool/format.h"

namespace dinomo::dpm {

struct SegmentWalk {
  uint64_t entries = 0;
  uint64_t first_lsn = 0;  // 0: there are none
  uint64_t last_lsn = 0;
  uint64_t end_bytes = sizeof(pool::SegmentHeader);  // after the last valid entry
  uint64_t gaps = 0;                                 // places where something does not fit
  uint64_t gap_lsn = 0;                              // the last LSN that is missing in one
  bool written_behind = false;  // what follows the last valid entry is of this generation, too
};

/// Calls visit(entry, offset in the segment) for every valid entry with an LSN up to `merged_lsn`.
/// A log's segment is dense in LSNs; in one that compaction filled only checksum and generation
/// count. Reads nothing outside of `bytes`.
template <class Visit>
SegmentWalk walk_segment(Bytes bytes, const pool::SegmentHeader& header, uint64_t merged_lsn,
                         Visit&& visit) {
  SegmentWalk walk;
  const bool dense = header.kind == static_cast<uint16_t>(pool::SegmentKind::kLog);
  const bool closed = header.state == static_cast<uint32_t>(pool::SegmentState::kMerged);
  uint64_t at = walk.end_bytes;
  while (at + log::kUnitBytes <= bytes.size()) {
    log::Entry entry;
    const bool valid =
        log::parse_entry(bytes.subspan(at), header.generation, &entry) == log::EntryCheck::kValid &&
        (!dense || (entry.header.log_id == header.log_id && entry.header.lsn > walk.last_lsn &&
                    entry.header.lsn <= merged_lsn));
    if (!valid) {
      const auto h = load<log::EntryHeader>(bytes.data() + at);
      walk.written_behind = walk.written_behind || h.generation == header.generation;
      // A closed segment's header says where entries end; an open one's log, how many there are.
      if (closed ? header.end_bytes <= at : walk.last_lsn == merged_lsn) break;
      at += log::kUnitBytes;
      continue;
    }
    if (at != walk.end_bytes ||
        (dense && walk.last_lsn != 0 && entry.header.lsn != walk.last_lsn + 1)) {
      ++walk.gaps;
      walk.gap_lsn = entry.header.lsn - 1;
    }
    if (walk.first_lsn == 0) walk.first_lsn = entry.header.lsn;
    walk.last_lsn = entry.header.lsn;
    walk.written_behind = false;
    ++walk.entries;
    visit(entry, at);
    at += log::entry_bytes(entry.header);
    walk.end_bytes = at;
    if (entry.header.op == static_cast<uint8_t>(log::Op::kEnd)) break;
  }
  return walk;
}

}  // namespace dinomo::dpm
