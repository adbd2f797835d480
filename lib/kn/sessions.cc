// SPDX-License-Identifier: BSD-3-Clause
#include "kn/sessions.h"

#include <cassert>

#include "common/align.h"
#include "common/planted.h"
#include "ingress/driver.h"
#include "pool/format.h"

namespace dinomo::kn {

namespace {

constexpr uint32_t kCountBits = 7;
constexpr uint32_t kWorkerBits = 7;
constexpr uint32_t kSlotBits = 10;
constexpr uint32_t kBirthShift = kCountBits + kWorkerBits + kSlotBits;
static_assert(kBirthShift == 24 && ingress::kWorkersMax <= 1 << kWorkerBits);

}  // namespace

uint64_t SessionIssuer::next(uint64_t unix_ms, uint16_t kn_slot, uint16_t worker) noexcept {
  const uint64_t now_ms = unix_ms > kEpochUnixMs ? unix_ms - kEpochUnixMs : 1;
  if (now_ms > birth_ms_) {
    birth_ms_ = now_ms;
    count_ = 0;
  } else if (++count_ == 1U << kCountBits) {  // ahead of the clock rather than twice the same
    ++birth_ms_;
    count_ = 0;
  }
  return birth_ms_ << kBirthShift | uint64_t{kn_slot} << (kCountBits + kWorkerBits) |
         uint64_t{worker} << kCountBits | count_;
}

Sessions::Sessions(uint32_t sessions_max, uint32_t window, uint64_t idle_ns)
    : window_(window),
      idle_ns_(idle_ns),
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

/// A place nobody has, or that of an idle session, which is forgotten.
uint32_t Sessions::free_slot() noexcept {
  if (size_ < slots_.size()) return size_++;
  for (uint32_t i = 0; i < kSweepMax; ++i) {
    const uint32_t slot = hand_++ & (static_cast<uint32_t>(slots_.size()) - 1);
    if (now_ns_ - slots_[slot].used_ns <= idle_ns_) continue;
    horizon_ms_ = std::max(horizon_ms_, session_birth_ms(slots_[slot].session));
    remove(slots_[slot].session);
    std::fill_n(cells_.begin() + ptrdiff_t{slot} * window_, window_, MutationCell{});
    return slot;
  }
  return kNone;
}

uint32_t Sessions::admit(uint64_t session) noexcept {
  const uint32_t slot = free_slot();
  if (slot == kNone) return kNone;
  slots_[slot].session = session;
  uint32_t at = home(session);
  while (table_[at] != kNone) at = (at + 1) & mask_;
  table_[at] = slot;
  return slot;
}

MutationClaim Sessions::claim(uint64_t session, uint64_t sequence) noexcept {
  uint32_t slot = last_slot_;
  if (slots_[slot].session != session && !planted("session-not-compared")) {
    slot = find(session);
    if (slot == kNone) {
      if (session_birth_ms(session) <= horizon_ms_) return {MutationClaim::Kind::kLost, 0};
      slot = admit(session);
      if (slot == kNone) return {MutationClaim::Kind::kFull, 0};
    }
    last_slot_ = slot;
  }
  slots_[slot].used_ns = now_ns_;
  const uint32_t index = slot * window_ + static_cast<uint32_t>(sequence & (window_ - 1));
  MutationCell& cell = cells_[index];
  if (cell.sequence() == sequence && cell.state() != MutationCell::State::kFree &&
      !planted("duplicate-executed")) {
    const bool done = cell.state() == MutationCell::State::kDone;
    return {done ? MutationClaim::Kind::kDone : MutationClaim::Kind::kRunning, index};
  }
  if (cell.sequence() > sequence) return {MutationClaim::Kind::kTooOld, index};
  cell.start(sequence);
  return {MutationClaim::Kind::kNew, index};
}

void Sessions::finish(uint32_t index, uint64_t session, uint64_t sequence, wire::Status status,
                      uint64_t lsn, uint64_t result) noexcept {
  if (holds(index, session, sequence)) cells_[index].finish(status, lsn, result);
}

void Sessions::forget(uint32_t index, uint64_t session, uint64_t sequence) noexcept {
  if (holds(index, session, sequence)) cells_[index].forget();
}

void Sessions::clear() noexcept {
  std::ranges::fill(slots_, Slot{});
  std::ranges::fill(cells_, MutationCell{});
  std::ranges::fill(table_, kNone);
  size_ = hand_ = last_slot_ = 0;
}

}  // namespace dinomo::kn
