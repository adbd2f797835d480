// SPDX-License-Identifier: BSD-3-Clause
#include "kn/sessions.h"

#include <cassert>

#include "common/align.h"
#include "common/planted.h"
#include "ingress/driver.h"

namespace dinomo::kn {

namespace {

constexpr uint32_t kCountBits = 5;
constexpr uint32_t kIncarnationBits = 2;
constexpr uint32_t kWorkerBits = 7;
constexpr uint32_t kSlotBits = 10;
constexpr uint32_t kWorkerShift = kCountBits + kIncarnationBits;
constexpr uint32_t kBirthShift = kWorkerShift + kWorkerBits + kSlotBits;
static_assert(kBirthShift == 24 && ingress::kWorkersMax <= 1 << kWorkerBits);

}  // namespace

uint64_t SessionIssuer::next(uint64_t unix_ms, uint16_t kn_slot, uint16_t worker,
                             uint32_t incarnation) noexcept {
  const uint64_t now_ms = unix_ms > kEpochUnixMs ? unix_ms - kEpochUnixMs : 1;
  if (now_ms > birth_ms_) {
    birth_ms_ = now_ms;
    count_ = 0;
  } else if (++count_ == 1U << kCountBits) {  // ahead of the clock rather than twice the same
    ++birth_ms_;
    count_ = 0;
  }
  const uint32_t life = incarnation % (1U << kIncarnationBits);
  return birth_ms_ << kBirthShift | uint64_t{kn_slot} << (kWorkerShift + kWorkerBits) |
         uint64_t{worker} << kWorkerShift | uint64_t{life} << kCountBits | count_;
}

Sessions::Sessions(uint32_t sessions_max, uint32_t window)
    : window_(window),
      slots_(sessions_max),
      cells_(size_t{sessions_max} * window),
      table_(size_t{sessions_max} * 2, kNone),
      mask_(sessions_max * 2 - 1) {
  assert(is_power_of_two(sessions_max) && is_power_of_two(window));
}

uint32_t Sessions::find(uint64_t session) const noexcept {
  uint32_t at = home(session);
  while (table_[at] != kNone && slots_[table_[at]].session != session) at = (at + 1) & mask_;
  return table_[at];
}

/// Closes the gap, so that every session is still found from its home on.
void Sessions::remove(uint64_t session) noexcept {
  uint32_t gap = home(session);
  while (slots_[table_[gap]].session != session) gap = (gap + 1) & mask_;
  for (uint32_t at = (gap + 1) & mask_; table_[at] != kNone; at = (at + 1) & mask_) {
    const uint32_t from = home(slots_[table_[at]].session);
    if (((at - from) & mask_) < ((at - gap) & mask_)) continue;  // its home lies behind the gap
    table_[gap] = table_[at];
    gap = at;
  }
  table_[gap] = kNone;
}

void Sessions::evict(uint32_t slot) noexcept {
  horizon_ms_ = std::max(horizon_ms_, session_birth_ms(slots_[slot].session));
  forgotten_lsn_ = durable_lsn_;
  remove(slots_[slot].session);
  slots_[slot] = Slot{};
  std::fill_n(cells_.begin() + ptrdiff_t{slot} * window_, window_, MutationCell{});
}

/// A place nobody has, or of those looked at the one unused for longest, which is forgotten.
uint32_t Sessions::free_slot() noexcept {
  if (size_ < slots_.size()) return size_++;
  uint32_t victim = kNone;
  for (uint32_t i = 0; i < kSweepMax; ++i) {
    const uint32_t at = hand_++ & (static_cast<uint32_t>(slots_.size()) - 1);
    const Slot& s = slots_[at];
    if (s.running != 0 || s.looking_up) continue;
    if (victim == kNone || s.used_ns < slots_[victim].used_ns) victim = at;
  }
  if (victim != kNone) evict(victim);
  return victim;
}

uint32_t Sessions::admit(uint64_t session) noexcept {
  const uint32_t slot = free_slot();
  if (slot == kNone) return kNone;
  slots_[slot].session = session;
  slots_[slot].trust = session_birth_ms(session) > horizon_ms_ ? Trust::kFresh : Trust::kNone;
  uint32_t at = home(session);
  while (table_[at] != kNone) at = (at + 1) & mask_;
  table_[at] = slot;
  return slot;
}

MutationClaim Sessions::claim(uint64_t session, uint64_t sequence, bool repeated) noexcept {
  using Kind = MutationClaim::Kind;
  if (slots_[last_slot_].session != session && !planted("session-not-compared")) {
    uint32_t found = find(session);
    if (found == kNone) found = admit(session);
    if (found == kNone) return {Kind::kFull, 0};
    last_slot_ = found;
  }
  Slot& slot = slots_[last_slot_];
  slot.used_ns = now_ns_;
  const uint32_t index = last_slot_ * window_ + static_cast<uint32_t>(sequence & (window_ - 1));
  MutationCell& cell = cells_[index];
  if (cell.sequence() == sequence && cell.state() != MutationCell::State::kFree &&
      !planted("duplicate-executed")) {
    const bool done = cell.state() == MutationCell::State::kDone;
    return {done ? Kind::kDone : Kind::kRunning, index};
  }
  if (cell.sequence() > sequence || sequence < slot.floor) return {Kind::kTooOld, index};
  if (slot.trust == Trust::kLost) return {Kind::kLost, index};
  if (must_ask(slot, repeated)) return {Kind::kUnknown, index};
  if (cell.state() == MutationCell::State::kRunning) --slot.running;  // a window ago
  cell.start(sequence);
  ++slot.running;
  return {Kind::kNew, index};
}

void Sessions::finish(uint32_t index, uint64_t session, uint64_t sequence,
                      const MutationOutcome& outcome) noexcept {
  if (!holds(index, session, sequence)) return;
  cells_[index].finish(sequence, outcome);
  --slots_[index / window_].running;
}

void Sessions::forget(uint32_t index, uint64_t session, uint64_t sequence) noexcept {
  if (!holds(index, session, sequence)) return;
  cells_[index].forget();
  --slots_[index / window_].running;
}

bool Sessions::start_lookup(uint64_t session) noexcept {
  const uint32_t slot = find(session);
  if (slot == kNone || slots_[slot].looking_up) return false;
  slots_[slot].looking_up = true;
  return true;
}

void Sessions::end_lookup(uint64_t session, Lookup lookup, Bytes record) noexcept {
  const uint32_t slot = find(session);
  if (slot == kNone || !slots_[slot].looking_up) return;  // dropped meanwhile
  slots_[slot].looking_up = false;
  switch (lookup) {
    case Lookup::kFailed: return;
    case Lookup::kFound: adopt(slot, record); [[fallthrough]];
    case Lookup::kNever: slots_[slot].trust = Trust::kLoaded; return;
    case Lookup::kForgotten: slots_[slot].trust = Trust::kLost; return;
  }
}

/// A cell that does not fit its check is being written now: by a mutation that this worker knows
/// of, or of a key that is not its own.
void Sessions::adopt(uint32_t slot, Bytes record) noexcept {
  const auto header = load<pool::SessionRecord>(record.data());
  slots_[slot].floor = std::max(slots_[slot].floor, header.sequence_floor);
  MutationCell* const cells = &cells_[size_t{slot} * window_];
  for (size_t at = sizeof header; at + sizeof(pool::OutcomeCell) <= record.size();
       at += sizeof(pool::OutcomeCell)) {
    const auto c = load<pool::OutcomeCell>(record.data() + at);
    if (c.sequence == 0 || c.check != pool::outcome_check(c)) continue;
    MutationCell& mine = cells[c.sequence & (window_ - 1)];
    if (mine.sequence() > c.sequence) continue;
    if (mine.sequence() == c.sequence && mine.state() != MutationCell::State::kFree) continue;
    if (mine.state() == MutationCell::State::kRunning) continue;
    mine.finish(c.sequence, {static_cast<wire::Status>(c.status), c.version, c.result});
  }
}

void Sessions::distrust(uint64_t unix_ms) noexcept {
  ++distrusts_;
  const uint64_t until_unix_ms = unix_ms + pool::kClockSlackMs;
  if (until_unix_ms > SessionIssuer::kEpochUnixMs) {
    horizon_ms_ = std::max(horizon_ms_, until_unix_ms - SessionIssuer::kEpochUnixMs);
  }
  for (Slot& slot : slots_) {
    if (slot.trust != Trust::kLost) slot.trust = Trust::kNone;
  }
}

void Sessions::start_over(uint64_t unix_ms) noexcept {
  std::ranges::fill(slots_, Slot{});
  std::ranges::fill(cells_, MutationCell{});
  std::ranges::fill(table_, kNone);
  size_ = hand_ = last_slot_ = 0;
  forgotten_lsn_ = 0;  // what was in the old log is merged
  distrust(unix_ms);
}

}  // namespace dinomo::kn
