// SPDX-License-Identifier: BSD-3-Clause
#include "log/log_reader.h"

namespace dinomo::log {

bool LogReader::no_room() const noexcept {
  return offset_ > segment_.size() || segment_.size() - offset_ < kUnitBytes;
}

Step LogReader::next(Entry* entry) noexcept {
  if (finished()) return Step::kSegmentEnd;
  const Bytes rest = segment_.subspan(offset_);
  // LSN first: it tells a stale tail apart without a checksum over it.
  if (load<uint64_t>(rest.data() + offsetof(EntryHeader, lsn)) != next_lsn_) return Step::kStop;
  Entry found;
  if (parse_entry(rest, generation_, &found) != EntryCheck::kValid) return Step::kStop;
  if (found.header.lsn != next_lsn_ || found.header.log_id != log_id_) return Step::kStop;
  offset_ += entry_bytes(found.header);
  ++next_lsn_;
  if (found.header.op == static_cast<uint8_t>(Op::kEnd)) {
    ended_ = true;
    return Step::kSegmentEnd;
  }
  *entry = found;
  return Step::kEntry;
}

uint64_t LogReader::first_lsn(Bytes segment, uint32_t generation, uint16_t log_id) noexcept {
  if (segment.size() < sizeof(pool::SegmentHeader) + kUnitBytes) return 0;
  Entry first;
  if (parse_entry(segment.subspan(sizeof(pool::SegmentHeader)), generation, &first) !=
      EntryCheck::kValid) {
    return 0;
  }
  return first.header.log_id == log_id ? first.header.lsn : 0;
}

uint64_t LogReader::find_lsn(Bytes segment, uint32_t generation, uint16_t log_id, uint64_t offset,
                             uint64_t lsn) noexcept {
  for (uint64_t at = offset; at + kUnitBytes <= segment.size(); at += kUnitBytes) {
    if (load<uint64_t>(segment.data() + at + offsetof(EntryHeader, lsn)) != lsn) continue;
    Entry found;
    if (parse_entry(segment.subspan(at), generation, &found) == EntryCheck::kValid &&
        found.header.log_id == log_id) {
      return at;
    }
  }
  return 0;
}

}  // namespace dinomo::log
