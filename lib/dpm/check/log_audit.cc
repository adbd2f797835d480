// SPDX-License-Identifier: BSD-3-Clause
// The index against the logs. What a log has merged was applied in order, so:
//  * a slot that holds LSN n of a log, although the log has merged a later entry of the key, is
//    stale;
//  * a put whose key the index does not know was deleted, or is lost. It is lost for certain if no
//    later entry of the key is in its log, no other log has one, and nothing is missing where one
//    could have been: all of its log's segments from there on, and every segment of the other logs.
#include <algorithm>
#include <map>
#include <set>
#include <unordered_map>

#include "common/hash.h"
#include "dpm/check/audit.h"
#include "dpm/check/segment_walk.h"
#include "dpm/check/words.h"
#include "pool/superblock.h"

namespace dinomo::dpm {

using log::Op;
using pool::GlobalAddress;
using pool::SegmentKind;
using pool::SegmentState;

namespace {

constexpr uint64_t kNever = UINT64_MAX;

struct Use {  // of a segment
  uint32_t id;
  uint64_t sequence;
  uint64_t first_lsn = 0;
};

struct LogHistory {
  std::vector<Use> uses;
  uint64_t merged_lsn = 0;
  uint64_t granted = 0;
  uint64_t last_lsn = 0;            // of valid entries
  uint64_t gap_lsn = 0;             // last one that damage hides
  uint64_t complete_from = kNever;  // every entry with this LSN or a later one is there
  bool tail_damaged = false;
};

/// The newest thing that a log says of a key that the index does not know.
struct Event {
  uint64_t lsn;
  uint64_t address;
  uint16_t log_id;
  bool put;
  bool several_logs;
};

class LogAudit {
 public:
  explicit LogAudit(Audit& audit)
      : a_(audit), segments_(audit.service.segments()), seed_(audit.space.superblock().hash_seed) {}

  void run() {
    collect();
    for (auto& [id, log] : logs_) {
      for (Use& use : log.uses) first_walk(log, use);
    }
    for (auto& [id, log] : logs_) complete(log);
    for (auto& [id, log] : logs_) check_end(id, log);
    for (const Use& use : compacted_) walk(use, [&](const auto& e, uint64_t) { compare(e); });
    if (absent_puts_ == 0) return;
    const uint64_t rounds = absent_ / a_.absent_per_round + 1;
    for (uint64_t round = 0; round < rounds; ++round) look_for_lost(round, rounds);
  }

 private:
  void collect() {
    const pool::Superblock& s = a_.space.superblock();
    for (uint32_t id = 0; id < pool::log_count(s); ++id) {
      const auto& r = *a_.space.record<pool::LogRecord>(pool::log_record_offset(s, id));
      LogHistory& log = logs_[static_cast<uint16_t>(id)];
      log.merged_lsn = r.merged_lsn;
      log.granted = r.granted_sequence;
    }
    CheckTotals& totals = a_.report.totals;
    for (uint32_t id = 0; id < segments_.size(); ++id) {
      const pool::SegmentHeader& h = segments_.header(id);
      ++totals.segments;
      if (h.state == static_cast<uint32_t>(SegmentState::kFree)) {
        ++totals.segments_free;
        continue;
      }
      if (h.state == static_cast<uint32_t>(SegmentState::kOpen)) ++totals.segments_open;
      if (h.kind == static_cast<uint16_t>(SegmentKind::kCompacted)) {
        compacted_.push_back({id, h.sequence});
      } else if (const auto log = logs_.find(h.log_id); log != logs_.end()) {
        log->second.uses.push_back({id, h.sequence});
      }
    }
    for (auto& [id, log] : logs_) std::ranges::sort(log.uses, {}, &Use::sequence);
  }

  template <class Visit>
  SegmentWalk walk(const Use& use, Visit&& visit) {
    const pool::SegmentHeader& h = segments_.header(use.id);
    const bool dense = h.kind == static_cast<uint16_t>(SegmentKind::kLog);
    return walk_segment(segments_.bytes(use.id), h, dense ? logs_[h.log_id].merged_lsn : kNever,
                        [&](const log::Entry& e, uint64_t at) {
                          const auto op = static_cast<Op>(e.header.op);
                          if (op != Op::kPut && op != Op::kDelete) return;
                          visit(e, segments_.offset(use.id) + at);
                        });
  }

  void first_walk(LogHistory& log, Use& use) {
    const SegmentWalk w = walk(use, [&](const log::Entry& e, uint64_t) { compare(e); });
    a_.report.totals.entries += w.entries;
    use.first_lsn = w.first_lsn;
    log.last_lsn = std::max(log.last_lsn, w.last_lsn);
    pool::SegmentHeader& h = segments_.header(use.id);
    const bool closed = h.state == static_cast<uint32_t>(SegmentState::kMerged);
    const bool short_of_end = closed && w.end_bytes < h.end_bytes && w.written_behind;
    if (w.gaps != 0 || short_of_end) {
      log.gap_lsn = std::max({log.gap_lsn, w.gap_lsn, short_of_end ? h.last_lsn : 0});
      a_.report.add(Problem::kDeadDamage, segments_.offset(use.id),
                    "segment " + std::to_string(use.sequence) + " of log " +
                        std::to_string(h.log_id) + " has damaged entries in " +
                        std::to_string(w.gaps + (short_of_end ? 1 : 0)) + " places");
    }
    log.tail_damaged = w.written_behind;
    const bool end_fits = h.end_bytes >= w.end_bytes &&
                          h.end_bytes <= segments_.bytes(use.id).size() &&
                          h.end_bytes % log::kUnitBytes == 0;
    if (!closed || (end_fits && (h.last_lsn == w.last_lsn || w.entries == 0 || short_of_end)))
      return;
    a_.report.add(Problem::kSegmentEnd, segments_.offset(use.id),
                  "the header says " + std::to_string(h.end_bytes) + " bytes and LSN " +
                      std::to_string(h.last_lsn) + ", the entries end at " +
                      std::to_string(w.end_bytes) + " with LSN " + std::to_string(w.last_lsn));
    if (!a_.repair) return;
    h.end_bytes = w.end_bytes;
    h.last_lsn = w.last_lsn;
    a_.space.persist().persist(&h.end_bytes, 2 * sizeof(uint64_t));
  }

  /// What an entry of a log says of the slot of its key.
  void compare(const log::Entry& e) {
    const uint64_t hash = key_hash(e.key, seed_);
    const auto found = a_.service.index().find(hash, e.key);
    if (!found) {
      ++absent_;
      if (e.header.op == static_cast<uint8_t>(Op::kPut)) ++absent_puts_;
      return;
    }
    const auto h = load<log::EntryHeader>(a_.space.at(found->offset_bytes()));
    if (h.log_id != e.header.log_id || h.lsn >= e.header.lsn) return;
    if (stale_.size() > kAbsentPerRound || !stale_.insert(found->word()).second) return;
    a_.report.add(Problem::kSlotStale, found->offset_bytes(),
                  "key " + quoted(e.key) + " is LSN " + std::to_string(h.lsn) + " of log " +
                      std::to_string(h.log_id) + ", which has merged LSN " +
                      std::to_string(e.header.lsn) + " of it");
    if (!a_.repair) return;
    if (!a_.service.index().erase_if(hash, *found)) return;  // the second look will say so
    ++absent_;
    ++absent_puts_;  // the newest is to be put back, if it is one
  }

  /// From which LSN on nothing is missing.
  void complete(LogHistory& log) {
    uint64_t expected = log.granted;
    for (auto use = log.uses.rbegin(); use != log.uses.rend() && use->sequence == expected; ++use) {
      --expected;
      if (use->first_lsn != 0) log.complete_from = use->first_lsn;
    }
    if (expected == 0 || log.merged_lsn == 0) log.complete_from = 1;
    if (log.tail_damaged && log.last_lsn < log.merged_lsn) log.gap_lsn = log.merged_lsn;
    if (log.gap_lsn != 0 && log.complete_from != kNever) {
      log.complete_from = std::max(log.complete_from, log.gap_lsn + 1);
    }
  }

  /// A log cannot have merged what was never written.
  void check_end(uint16_t id, const LogHistory& log) {
    const bool newest_is_there =
        !log.uses.empty() && log.uses.back().sequence == log.granted && log.granted != 0;
    if (!newest_is_there || log.uses.back().first_lsn == 0 || log.tail_damaged) return;
    if (log.last_lsn == log.merged_lsn) return;
    a_.report.add(Problem::kLogRecord, pool::log_record_offset(a_.space.superblock(), id),
                  "log " + std::to_string(id) + " has merged LSN " +
                      std::to_string(log.merged_lsn) + ", but its entries end with " +
                      std::to_string(log.last_lsn));
  }

  bool proven(const Event& e) const {
    if (!e.put || e.several_logs) return false;
    for (const auto& [id, log] : logs_) {
      const uint64_t needed = id == e.log_id ? e.lsn : 1;
      if (log.complete_from > needed) return false;
    }
    return true;
  }

  /// One part of the keys that the index does not know, by hash.
  void look_for_lost(uint64_t round, uint64_t rounds) {
    std::unordered_map<uint64_t, Event> events;
    const auto note = [&](const log::Entry& e, uint64_t offset) {
      const uint64_t hash = key_hash(e.key, seed_);
      if (hash % rounds != round || a_.service.index().find(hash, e.key)) return;
      const bool put = e.header.op == static_cast<uint8_t>(Op::kPut) && !e.expired(a_.unix_ms);
      const GlobalAddress address = GlobalAddress::direct(
          static_cast<uint8_t>(a_.space.superblock().node_id), offset,
          static_cast<uint32_t>(log::entry_bytes(e.header)), e.header.generation);
      const auto [at, fresh] = events.try_emplace(
          hash, Event{e.header.lsn, address.word(), e.header.log_id, put, false});
      Event& newest = at->second;
      if (fresh) return;
      newest.several_logs = newest.several_logs || newest.log_id != e.header.log_id;
      if (newest.lsn >= e.header.lsn) return;
      newest.lsn = e.header.lsn;
      newest.address = address.word();
      newest.put = put;
    };
    for (const auto& [id, log] : logs_) {
      for (const Use& use : log.uses) walk(use, note);
    }
    for (const Use& use : compacted_) walk(use, note);
    for (const auto& [hash, event] : events) {
      if (!event.put) continue;
      if (proven(event)) {
        lost(hash, event);
      } else {
        a_.report.count(Problem::kUnprovenPut, 1);
      }
    }
  }

  void lost(uint64_t hash, const Event& event) {
    const GlobalAddress address(event.address);
    log::Entry e;
    const Bytes bytes{a_.space.at(address.offset_bytes()), address.length_bytes()};
    if (log::parse_entry_low8(bytes, address.generation(), &e) != log::EntryCheck::kValid) return;
    a_.report.add(Problem::kPutLost, address.offset_bytes(),
                  "key " + quoted(e.key) + ", LSN " + std::to_string(event.lsn) + " of log " +
                      std::to_string(event.log_id));
    if (!a_.repair) return;
    if (!a_.service.index().upsert(hash, e.key, address)) {
      a_.report.add(Problem::kUnrecoverable, address.offset_bytes(),
                    "the index has no room to put a key back");
    }
    a_.space.persist().drain();
  }

  Audit& a_;
  SegmentTable& segments_;
  const uint64_t seed_;
  std::map<uint16_t, LogHistory> logs_;
  std::vector<Use> compacted_;
  std::set<uint64_t> stale_;
  uint64_t absent_ = 0;  // entries of keys that the index does not know
  uint64_t absent_puts_ = 0;
};

}  // namespace

void audit_logs(Audit& a) { LogAudit(a).run(); }

}  // namespace dinomo::dpm
