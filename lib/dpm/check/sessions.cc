// SPDX-License-Identifier: BSD-3-Clause
// The session table. A record tells by its place which session it can be of, and its outcomes have
// checksums of their own, so a damaged record is kept unless it is one that no KN would find.
#include <algorithm>
#include <unordered_map>

#include "common/hash.h"
#include "dpm/check/audit.h"
#include "dpm/check/words.h"
#include "dpm/session_table.h"

namespace dinomo::dpm {

using pool::OutcomeCell;
using pool::SessionRecord;

namespace {

class SessionAudit {
 public:
  explicit SessionAudit(Audit& audit)
      : a_(audit),
        offset_(audit.space.superblock().sessions_offset),
        count_(audit.space.superblock().session_count),
        window_(audit.space.superblock().session_window) {}

  void run() {
    for (uint32_t slot = 0; slot < count_; ++slot) {
      const uint64_t session = at(slot).session;
      if (session != 0 && in_reach(slot, session)) {
        newest_birth_ms_ = std::max(newest_birth_ms_, pool::session_birth_ms(session));
      }
    }
    for (uint32_t slot = 0; slot < count_; ++slot) {
      if (at(slot).session != 0) look_at(slot);
    }
  }

 private:
  uint64_t offset_of(uint32_t slot) const { return offset_ + slot * pool::session_bytes(window_); }
  SessionRecord& at(uint32_t slot) { return *a_.space.record<SessionRecord>(offset_of(slot)); }
  OutcomeCell* cells(uint32_t slot) { return reinterpret_cast<OutcomeCell*>(&at(slot) + 1); }
  static uint64_t checksum_of(const SessionRecord& r) {
    return checksum64(object_bytes(r).first(offsetof(SessionRecord, checksum)));
  }
  std::string name(uint32_t slot) { return "session " + hex(at(slot).session) + ": "; }

  /// Of those who look for the session.
  bool in_reach(uint32_t slot, uint64_t session) const {
    const uint32_t home = session_home(session, count_);
    return (slot + count_ - home) % count_ < std::min(kSessionProbe, count_);
  }

  void discard(uint32_t slot) {
    if (!a_.repair) return;
    SessionRecord& r = at(slot);
    r.horizon_ms = std::max(r.horizon_ms, newest_birth_ms_);  // whoever's it was is forgotten
    r.session = 0;
    a_.space.persist().persist(&r, sizeof r);
  }

  void forget(uint32_t slot) {
    SessionRecord& r = at(slot);
    const bool sound = r.checksum == checksum_of(r);
    r.flags |= pool::kSessionForgot;
    if (sound) r.checksum = checksum_of(r);
    a_.space.persist().persist(&r, sizeof r);
  }

  void look_at(uint32_t slot) {
    SessionRecord& r = at(slot);
    ++a_.report.totals.sessions;
    if (!in_reach(slot, r.session)) {
      a_.report.add(Problem::kSessionRecord, offset_of(slot),
                    name(slot) + "no KN looks for it here; the record is damaged");
      discard(slot);
      return;
    }
    const auto [known, fresh] = slots_.emplace(r.session, slot);
    if (!fresh) {
      a_.report.add(Problem::kSessionRecord, offset_of(slot),
                    name(slot) + "it has another record before this one");
      discard(slot);
      return;
    }
    const uint64_t newest = look_at_cells(slot);
    const bool floor_fits = r.sequence_floor == 0 || r.sequence_floor <= newest + 1;
    const bool sound = r.checksum == checksum_of(r);
    if (sound && floor_fits) return;
    a_.report.add(
        Problem::kSessionRecord, offset_of(slot),
        name(slot) + (sound ? "its floor " + std::to_string(r.sequence_floor) +
                                  " is above its newest mutation " + std::to_string(newest)
                            : "the record's checksum does not fit"));
    if (!a_.repair) return;
    if (!floor_fits) r.sequence_floor = newest >= window_ ? newest - window_ + 1 : 0;
    r.checksum = checksum_of(r);
    a_.space.persist().persist(&r, sizeof r);
  }

  /// The newest sequence.
  uint64_t look_at_cells(uint32_t slot) {
    uint64_t newest = 0;
    for (uint32_t i = 0; i < window_; ++i) {
      OutcomeCell& c = cells(slot)[i];
      if (c.sequence == 0) continue;
      ++a_.report.totals.outcomes;
      const auto check =
          static_cast<uint32_t>(checksum64(object_bytes(c).first(offsetof(OutcomeCell, check))));
      if (c.check == check && c.sequence % window_ == i) {
        newest = std::max(newest, c.sequence);
        continue;
      }
      a_.report.add(Problem::kSessionOutcome,
                    offset_of(slot) + sizeof(SessionRecord) + i * sizeof(OutcomeCell),
                    name(slot) + "the outcome in cell " + std::to_string(i) + " is damaged");
      if (!a_.repair) continue;
      forget(slot);  // or the mutation would run again when it is repeated
      c = OutcomeCell{};
      a_.space.persist().persist(&c, sizeof c);
    }
    return newest;
  }

  Audit& a_;
  const uint64_t offset_;
  const uint32_t count_;
  const uint32_t window_;
  uint64_t newest_birth_ms_ = 0;
  std::unordered_map<uint64_t, uint32_t> slots_;
};

}  // namespace

void audit_sessions(Audit& a) { SessionAudit(a).run(); }

}  // namespace dinomo::dpm
