// SPDX-License-Identifier: BSD-3-Clause
// Recovery of logs and of the segments that they are in.
#include <algorithm>
#include <map>
#include <optional>

#include "dpm/recovery.h"
#include "log/log_reader.h"
#include "pool/mailbox.h"
#include "pool/superblock.h"

namespace dinomo::dpm {

using pool::SegmentState;

namespace {

bool is_open(SegmentTable& segments, uint32_t id) noexcept {
  return segments.header(id).state == static_cast<uint32_t>(SegmentState::kOpen);
}

pool::LogRecord& log_record(pool::Space& space, uint32_t log_id) noexcept {
  return *space.record<pool::LogRecord>(pool::log_record_offset(space.superblock(), log_id));
}

/// What a segment header says of the grant.
struct Header {
  Grant grant;
  uint32_t generation;
};

/// The newest answer to a grant that names the segment, if its log is not merged so far: the KN
/// that was answered may be writing there.
std::optional<Header> answered_grant(pool::Space& space, uint64_t offset) noexcept {
  const pool::Superblock& s = space.superblock();
  for (uint32_t log = 0; log < pool::log_count(s); ++log) {
    const uint32_t slot = log / s.workers_per_kn;
    const uint32_t worker = log % s.workers_per_kn;
    for (uint32_t n = 0; n < s.mailbox_cells; ++n) {
      const auto& cell = *space.record<pool::MailboxCell>(pool::mailbox_offset(s, slot, worker, n));
      const pool::MailboxLine& reply = cell.reply;
      if (!pool::mailbox_line_valid(reply) || !ok(static_cast<Status>(reply.status)) ||
          reply.opcode != static_cast<uint16_t>(pool::MailboxOpcode::kSegmentGrant) ||
          reply.args[0] != offset || reply.args[1] <= log_record(space, log).merged_sequence) {
        continue;
      }
      return Header{{static_cast<uint16_t>(log), reply.incarnation, reply.args[1], 0},
                    static_cast<uint32_t>(reply.args[2])};
    }
  }
  return std::nullopt;
}

/// Log, generation and LSN of the first entry that is valid by itself.
struct FirstEntry {
  uint32_t segment;
  uint32_t generation;
  uint16_t log_id;
  uint64_t lsn;
};
std::optional<FirstEntry> first_entry(Recovery& r, uint32_t id) noexcept {
  const Bytes bytes = r.segments.bytes(id);
  for (uint64_t at = sizeof(pool::SegmentHeader); at + log::kUnitBytes <= bytes.size();
       at += log::kUnitBytes) {
    const Bytes rest = bytes.subspan(at);
    const auto h = load<log::EntryHeader>(rest.data());
    log::Entry entry;
    if (h.lsn == 0 || log::parse_entry(rest, h.generation, &entry) != log::EntryCheck::kValid) {
      continue;
    }
    // Later entries of an earlier use lie behind those of the present one, so the first counts.
    if (h.log_id >= pool::log_count(r.space.superblock())) return std::nullopt;
    return FirstEntry{id, h.generation, h.log_id, h.lsn};
  }
  return std::nullopt;
}

/// Sequences that the log was granted, is not merged up to, and that no sound header has.
std::vector<uint64_t> missing_sequences(Recovery& r, uint16_t log_id) {
  const pool::LogRecord& record = log_record(r.space, log_id);
  const uint64_t first = record.merged_sequence + 1;
  if (record.granted_sequence < first || record.granted_sequence - first >= kOpenSegmentsMax) {
    return {};
  }
  std::vector<uint64_t> missing;
  for (uint64_t seq = first; seq <= record.granted_sequence; ++seq) missing.push_back(seq);
  for (uint32_t id = 0; id < r.segments.size(); ++id) {
    const pool::SegmentHeader& h = r.segments.header(id);
    if (h.log_id != log_id || !is_open(r.segments, id) || !r.segments.header_sound(id)) continue;
    std::erase(missing, h.sequence);
  }
  return missing;
}

bool is_missing(Recovery& r, uint16_t log_id, uint64_t sequence) {
  const std::vector<uint64_t> missing = missing_sequences(r, log_id);
  return std::ranges::find(missing, sequence) != missing.end();
}

void restore(Recovery& r, uint32_t id, const Header& header) noexcept {
  r.segments.restore_header(id, header.grant, header.generation);
  r.damage.note(DamageKind::kSegmentHeader, r.segments.offset(id), header.grant.log_id,
                header.grant.sequence);
}

/// A damaged state word makes a segment look free, or like nothing at all, that its log is still
/// in. The header of a grant that came to nothing is cleared: the log will give its sequence again.
void reopen_unmerged(Recovery& r) {
  const uint32_t logs = pool::log_count(r.space.superblock());
  for (uint32_t id = 0; id < r.segments.size(); ++id) {
    const pool::SegmentHeader& h = r.segments.header(id);
    const bool is_free = h.state == static_cast<uint32_t>(SegmentState::kFree);
    if (!is_free && h.state <= static_cast<uint32_t>(SegmentState::kMerged)) continue;
    const bool named = h.sequence != 0 && h.log_id < logs;
    const bool in_use = named && is_missing(r, h.log_id, h.sequence);
    if (!in_use && is_free) {
      if (named && h.sequence > log_record(r.space, h.log_id).granted_sequence) {
        r.segments.reset_header(id);
      }
      continue;
    }
    r.damage.note(DamageKind::kSegmentState, r.segments.offset(id), h.state);
    if (in_use) {
      r.segments.reopen(id);
    } else {
      r.segments.take_for_merged(id);
    }
  }
}

/// What was merged cannot be walked to its end: nothing is there yet, or it was damaged. An LSN is
/// given once, so the next one is known where it stands, and so is the last one before it.
void find_place(Recovery& r, LogState& log, Bytes bytes, uint32_t generation,
                bool damaged) noexcept {
  uint64_t at = log::LogReader::find_lsn(bytes, generation, log.id, log.offset, log.next_lsn);
  if (at == 0 && log.next_lsn > 1) {
    at = log::LogReader::find_lsn(bytes, generation, log.id, log.offset, log.next_lsn - 1);
    if (at != 0) at += log::entry_bytes(load<log::EntryHeader>(bytes.data() + at));
  }
  log.place_lost = at == 0;
  if (at != 0) log.offset = at;
  if (at == 0 && !damaged) return;
  r.damage.note(DamageKind::kPlace, pool::log_record_offset(r.space.superblock(), log.id), log.id,
                at != 0 ? 1 : 0);
}

/// Finds the place after merged_lsn in the oldest open segment.
void place_cursor(Recovery& r, LogState& log) noexcept {
  const uint32_t id = log.open_segment(log.sequence);
  if (log.sequence > log.granted.load() || id == kNoSegment) return;
  const Bytes bytes = r.segments.bytes(id);
  const uint32_t generation = r.segments.header(id).generation;
  const uint64_t first = log::LogReader::first_lsn(bytes, generation, log.id);
  if (first == log.next_lsn) return;
  log::LogReader reader(bytes, generation, log.id, log.offset, first);
  log::Entry entry;
  while (first != 0 && reader.next_lsn() < log.next_lsn &&
         reader.next(&entry) == log::Step::kEntry) {
  }
  log.offset = reader.offset();
  if (reader.next_lsn() == log.next_lsn) {
    if (reader.finished()) log.offset = bytes.size();  // merged to its end, but not yet closed
    return;
  }
  find_place(r, log, bytes, generation, first != 0);
}

LogStates states_of_records(Recovery& r) {
  LogStates logs;
  for (uint32_t id = 0; id < pool::log_count(r.space.superblock()); ++id) {
    const pool::LogRecord& record = log_record(r.space, id);
    auto log = std::make_unique<LogState>();
    log->id = static_cast<uint16_t>(id);
    for (auto& open : log->open) open.store(kNoSegment);
    log->granted.store(record.granted_sequence);
    log->next_lsn = record.merged_lsn + 1;
    log->merged_lsn.store(record.merged_lsn);
    log->incarnation = record.incarnation;
    log->sequence = UINT64_MAX;
    logs.push_back(std::move(log));
  }
  return logs;
}

}  // namespace

void rebuild_headers(Recovery& r, const std::vector<uint32_t>& damaged) {
  std::map<uint16_t, std::vector<FirstEntry>> by_log;  // open ones whose entries tell of them
  for (const uint32_t id : damaged) {
    const uint64_t offset = r.segments.offset(id);
    const bool open = is_open(r.segments, id);
    const auto answered = open ? answered_grant(r.space, offset) : std::nullopt;
    const auto first = answered ? std::nullopt : first_entry(r, id);
    if (answered) {
      restore(r, id, *answered);
    } else if (first && open) {
      by_log[first->log_id].push_back(*first);
    } else if (first) {
      restore(r, id, {{first->log_id, 0, 0, 0}, first->generation});
    } else {
      r.damage.note(DamageKind::kSegmentLost, offset, r.segments.header(id).state);
      r.segments.reset_header(id);
    }
  }
  for (auto& [log_id, found] : by_log) {
    std::ranges::sort(found, {}, &FirstEntry::lsn);
    const std::vector<uint64_t> sequences = missing_sequences(r, log_id);
    for (size_t i = 0; i < found.size(); ++i) {
      if (i < sequences.size()) {
        const Grant grant{log_id, log_record(r.space, log_id).incarnation, sequences[i], 0};
        restore(r, found[i].segment, {grant, found[i].generation});
      } else {
        r.damage.note(DamageKind::kSegmentLost, r.segments.offset(found[i].segment),
                      static_cast<uint64_t>(SegmentState::kOpen));
        r.segments.reset_header(found[i].segment);
      }
    }
  }
  reopen_unmerged(r);
}

void revoke_unanswered_grants(Recovery& r) {
  for (uint32_t id = 0; id < r.segments.size(); ++id) {
    if (!is_open(r.segments, id)) continue;
    const pool::SegmentHeader& h = r.segments.header(id);
    const bool known = h.log_id < pool::log_count(r.space.superblock());
    if (known && h.sequence <= log_record(r.space, h.log_id).granted_sequence) continue;
    if (known && log::LogReader::first_lsn(r.segments.bytes(id), h.generation, h.log_id) != 0) {
      r.damage.note(DamageKind::kGrant, r.segments.offset(id), h.log_id, h.sequence);
      continue;  // recover_logs() tells the record
    }
    r.segments.revoke_grant(id);
  }
}

LogStates recover_logs(Recovery& r) {
  LogStates logs = states_of_records(r);
  for (uint32_t id = 0; id < r.segments.size(); ++id) {
    if (!is_open(r.segments, id)) continue;
    const pool::SegmentHeader& h = r.segments.header(id);
    LogState& log = *logs[h.log_id];
    log.sequence = std::min(log.sequence, h.sequence);
    log.granted.store(std::max(log.granted.load(), h.sequence));
    log.set_open_segment(h.sequence, id);
  }
  for (auto& log : logs) {
    pool::LogRecord& record = log_record(r.space, log->id);
    if (log->sequence == UINT64_MAX) {
      log->sequence = log->granted.load() + 1;
    } else {
      ++r.report.logs_open;
    }
    log->merged_sequence.store(log->sequence - 1);
    if (record.granted_sequence != log->granted.load() ||
        record.merged_sequence != log->sequence - 1) {
      record.granted_sequence = log->granted.load();
      record.merged_sequence = log->sequence - 1;
      r.space.persist().persist(&record.granted_sequence, 2 * sizeof(uint64_t));
    }
  }
  r.workers.parallel_for(logs.size(), 1, [&](uint64_t begin, uint64_t end) {
    for (uint64_t i = begin; i < end; ++i) place_cursor(r, *logs[i]);
  });
  return logs;
}

}  // namespace dinomo::dpm
