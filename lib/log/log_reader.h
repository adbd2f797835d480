// SPDX-License-Identifier: BSD-3-Clause
// Walks the entries of one log, segment by segment, in order of LSN. Pure: works on the bytes it is
// given, whatever they hold, and never reads outside of them.
//
// An entry is taken only if its checksum, its LSN (exactly the next one), its log and its segment's
// generation fit; the first place where that fails is, for now, the end of the log. A segment is
// finished by a kEnd entry, which has an LSN of its own, or by having no room for another header.
//
// Thread rule: one thread. The bytes may be written by a KN meanwhile: what is not complete yet
// does not fit its checksum.
#pragma once

#include <cstdint>

#include "common/bytes.h"
#include "log/format.h"

namespace dinomo::log {

enum class Step : uint8_t {
  kEntry,       // *entry is the next one
  kSegmentEnd,  // the segment is finished, the log goes on in the next one
  kStop,        // nothing valid here (yet): the tail, a torn or a stale entry
};

class LogReader {
 public:
  /// `segment`: the whole segment with its header. `offset`: where the next entry is expected.
  LogReader(Bytes segment, uint32_t generation, uint16_t log_id, uint64_t offset,
            uint64_t next_lsn) noexcept
      : segment_(segment),
        offset_(offset),
        next_lsn_(next_lsn),
        generation_(generation),
        log_id_(log_id) {}

  /// Goes on in the next segment of the log, from its first entry.
  void enter(Bytes segment, uint32_t generation) noexcept {
    segment_ = segment;
    generation_ = generation;
    offset_ = sizeof(pool::SegmentHeader);
    ended_ = false;
  }

  /// kEntry: *entry was at offset() - entry_bytes(), and points into the segment.
  /// kSegmentEnd and kStop may be asked for again; kStop may become kEntry when more was written.
  Step next(Entry* entry) noexcept;

  /// Nothing more comes in this segment: its end was read, or no header fits any more.
  bool finished() const noexcept { return ended_ || no_room(); }

  uint64_t offset() const noexcept { return offset_; }
  uint64_t next_lsn() const noexcept { return next_lsn_; }

  /// LSN of the first entry of a segment, 0 if there is none. Recovery starts from it.
  static uint64_t first_lsn(Bytes segment, uint32_t generation, uint16_t log_id) noexcept;

  /// Offset of the valid entry with this LSN at or after `offset`, 0 if there is none. For going on
  /// behind damaged entries: an LSN is given to one entry only. Looks at every unit of the segment.
  static uint64_t find_lsn(Bytes segment, uint32_t generation, uint16_t log_id, uint64_t offset,
                           uint64_t lsn) noexcept;

 private:
  bool no_room() const noexcept;

  Bytes segment_;
  uint64_t offset_;
  uint64_t next_lsn_;
  uint32_t generation_;
  uint16_t log_id_;
  bool ended_ = false;
};

}  // namespace dinomo::log
