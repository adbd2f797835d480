// SPDX-License-Identifier: BSD-3-Clause
#include "dpm/session_table.h"

#include <sched.h>

#include "common/decimal.h"
#include "common/planted.h"
#include "wire/format.h"

namespace dinomo::dpm {

using pool::OutcomeCell;
using pool::SessionRecord;

namespace {

constexpr uint32_t kOpcodeShift = 56;
constexpr uint64_t kSequenceMask = (uint64_t{1} << kOpcodeShift) - 1;
constexpr uint64_t kActiveStepMs = 1000;  // activity is noted at most this often

uint64_t load_session(SessionRecord& r) noexcept {
  return std::atomic_ref<uint64_t>(r.session).load(std::memory_order_acquire);
}

uint64_t record_checksum(const SessionRecord& r) noexcept {
  return checksum64(object_bytes(r).first(offsetof(SessionRecord, checksum)));
}

/// INCR and DECR store the new number in decimal; their retries are answered with it.
uint64_t counter_result(const log::Entry& entry, uint8_t opcode) noexcept {
  if (opcode != static_cast<uint8_t>(wire::Opcode::kIncr) &&
      opcode != static_cast<uint8_t>(wire::Opcode::kDecr)) {
    return 0;
  }
  return parse_decimal(as_text(entry.value)).value_or(0);
}

}  // namespace

SessionTable::SessionTable(pool::Space& space)
    : space_(space),
      count_(space.superblock().session_count),
      window_(space.superblock().session_window),
      locks_(std::make_unique<std::atomic<bool>[]>(count_)) {}

SessionRecord& SessionTable::at(uint32_t slot) noexcept {
  return *space_.record<SessionRecord>(pool::session_offset(space_.superblock(), slot));
}

OutcomeCell& SessionTable::cell(uint32_t slot, uint64_t sequence) noexcept {
  return reinterpret_cast<OutcomeCell*>(&at(slot) + 1)[sequence % window_];
}

void SessionTable::lock(uint32_t slot) noexcept {
  while (locks_[slot].exchange(true, std::memory_order_acquire)) sched_yield();
}

void SessionTable::unlock(uint32_t slot) noexcept {
  locks_[slot].store(false, std::memory_order_release);
}

void SessionTable::repair() noexcept {
  if (planted("sessions-not-repaired")) return;
  for (uint32_t slot = 0; slot < count_; ++slot) {
    SessionRecord& r = at(slot);
    if (r.session == 0 || r.checksum == record_checksum(r)) continue;
    r.checksum = record_checksum(r);  // every field alone is old or new, and both are right
    space_.persist().persist(&r, sizeof r);
  }
}

uint32_t SessionTable::claim(uint64_t session, uint64_t unix_ms) noexcept {
  const uint32_t home = session_home(session, count_);
  const uint32_t probes = std::min(kSessionProbe, count_);
  uint32_t victim = home;
  uint64_t oldest_ms = UINT64_MAX;
  uint64_t horizon_ms = 0;
  for (uint32_t i = 0; i < probes; ++i) {
    const uint32_t slot = (home + i) % count_;
    SessionRecord& r = at(slot);
    const uint64_t found = load_session(r);
    if (found == session) return slot;
    horizon_ms = std::max(horizon_ms, r.horizon_ms);
    const uint64_t active_ms =
        found == 0 ? 0
                   : std::atomic_ref<uint64_t>(r.active_unix_ms).load(std::memory_order_relaxed);
    if (active_ms < oldest_ms) {
      oldest_ms = active_ms;
      victim = slot;
    }
  }
  lock(victim);
  SessionRecord& r = at(victim);
  if (const uint64_t old = load_session(r); old != 0) {
    evictions_.fetch_add(1, std::memory_order_relaxed);
    // Before it goes: who looks for it must see that it may have been here.
    std::atomic_ref<uint64_t>(r.horizon_ms)
        .store(std::max(r.horizon_ms, pool::session_birth_ms(old)), std::memory_order_release);
    space_.persist().persist(&r, sizeof r);
  }
  // The cells first: a record must never be seen with another session's outcomes.
  std::atomic_ref<uint64_t>(r.session).store(0, std::memory_order_release);
  space_.persist().persist(&r, sizeof r);
  std::memset(static_cast<void*>(&cell(victim, 0)), 0, window_ * sizeof(OutcomeCell));
  space_.persist().persist(&cell(victim, 0), window_ * sizeof(OutcomeCell));
  SessionRecord fresh{};
  fresh.session = session;
  fresh.active_unix_ms = unix_ms;
  fresh.created_unix_ms = unix_ms;
  fresh.horizon_ms = r.horizon_ms;
  fresh.flags = horizon_ms >= pool::session_birth_ms(session) ? pool::kSessionForgot : 0;
  fresh.checksum = record_checksum(fresh);
  r.sequence_floor = 0;
  std::atomic_ref<uint64_t>(r.active_unix_ms).store(unix_ms, std::memory_order_relaxed);
  r.created_unix_ms = unix_ms;
  r.flags = fresh.flags;
  r.checksum = fresh.checksum;
  std::atomic_ref<uint64_t>(r.session).store(session, std::memory_order_release);
  space_.persist().persist(&r, sizeof r);
  unlock(victim);
  return victim;
}

void SessionTable::record(const log::Entry& entry, uint64_t unix_ms, SessionCache* cache) noexcept {
  const uint64_t session = entry.header.session;
  SessionCache::Place& place = cache->places[session_home(session, cache->places.size())];
  // Twice at most in practice: evictions under our feet are as rare as claims.
  for (uint32_t attempt = 0; attempt < kSessionProbe; ++attempt) {
    if (place.session != session || load_session(at(place.slot)) != session) {
      const std::lock_guard guard(claims_);
      place = {session, claim(session, unix_ms)};
    }
    lock(place.slot);
    const bool ours = load_session(at(place.slot)) == session;
    if (ours) write(place.slot, entry, unix_ms);
    unlock(place.slot);
    if (ours) return;
  }
}

void SessionTable::write(uint32_t slot, const log::Entry& entry, uint64_t unix_ms) noexcept {
  const uint64_t sequence = entry.header.sequence & kSequenceMask;
  OutcomeCell& c = cell(slot, sequence);
  if (c.sequence > sequence && c.check == pool::outcome_check(c)) return;
  OutcomeCell next{};
  next.sequence = sequence;
  const bool changed = entry.header.op != static_cast<uint8_t>(log::Op::kOutcome);
  next.version = changed ? entry.version() : 0;
  next.status = entry.header.outcome;
  next.opcode = static_cast<uint8_t>(entry.header.sequence >> kOpcodeShift);
  next.result = counter_result(entry, next.opcode);
  next.check = pool::outcome_check(next);
  c = next;
  if (!planted("outcome-not-flushed")) space_.persist().flush(&c, sizeof c);

  SessionRecord& r = at(slot);
  const uint64_t floor = sequence >= window_ ? sequence - window_ + 1 : 0;
  const bool floor_moves = floor >= r.sequence_floor + std::max(1u, window_ / 8);
  if (!floor_moves && unix_ms < r.active_unix_ms + kActiveStepMs) return;
  if (floor > r.sequence_floor) r.sequence_floor = floor;
  std::atomic_ref<uint64_t>(r.active_unix_ms)
      .store(std::max(unix_ms, r.active_unix_ms), std::memory_order_relaxed);
  r.checksum = record_checksum(r);
  space_.persist().flush(&r, sizeof r);
}

}  // namespace dinomo::dpm
