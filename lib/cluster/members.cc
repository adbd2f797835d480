// SPDX-License-Identifier: BSD-3-Clause
#include "cluster/members.h"

#include <algorithm>

#include "common/planted.h"
#include "ring/placement.h"

namespace dinomo::cluster {

using pool::KnState;

namespace {

constexpr uint64_t kLeaseUnknownNs = 10'000'000'000;  // of a KN that does not tell

bool over(uint64_t since_ns, uint64_t lease_ns, uint64_t now_ns) noexcept {
  return now_ns - since_ns > lease_ns + Members::margin_ns(lease_ns);
}

std::vector<bool> owners_of(const ring::Ring& ring, size_t slots) {
  std::vector<bool> owns(slots);
  for (const uint16_t o : ring.owner) {
    if (o < slots) owns[o] = true;
  }
  return owns;
}

}  // namespace

/// A registration counts as a beat, whatever the line still says.
void Members::note_beat(Seen* seen, const pool::KnSlot& slot, uint64_t now_ns) noexcept {
  const uint64_t lease_ns = slot.lease_us != 0    ? uint64_t{slot.lease_us} * 1000
                            : slot.heartbeat != 0 ? kLeaseUnknownNs
                                                  : 0;
  seen->lease_ns = std::max(seen->lease_ns, lease_ns);
  const bool other = seen->incarnation != slot.incarnation;
  if (!other && seen->heartbeat == slot.heartbeat) return;
  seen->moved = !other && slot.heartbeat_incarnation == slot.incarnation;
  seen->incarnation = slot.incarnation;
  seen->heartbeat = slot.heartbeat;
  seen->since_ns = now_ns;
}

/// Will the incarnation that the ring names serve nothing any more, and is what it wrote merged?
bool Members::is_gone(Seen* seen, const pool::KnSlot& slot, uint32_t named,
                      uint64_t now_ns) noexcept {
  if (named == 0) return true;
  if (slot.incarnation == named) {
    if (static_cast<KnState>(slot.state) == KnState::kFree) return true;  // it left in order
    if (seen->sealed != named) return false;
    return over(seen->since_ns, seen->lease_ns, now_ns) || planted("lease-not-waited");
  }
  // Whoever registers at a slot seals what was before; that process may go on for a lease.
  if (seen->replaced != named) {
    seen->replaced = named;
    seen->replaced_ns = now_ns;
  }
  return slot.ended_incarnation == named || planted("lease-not-waited") ||
         over(seen->replaced_ns, seen->lease_ns, now_ns);
}

void Members::look(std::span<const pool::KnSlot> directory, const ring::Ring& ring,
                   uint64_t now_ns) {
  slots_.resize(directory.size());
  views_.assign(directory.size(), {});
  const std::vector<bool> owns = owners_of(ring, directory.size());
  for (size_t s = 0; s < directory.size(); ++s) {
    const pool::KnSlot& slot = directory[s];
    if (slot.incarnation == 0) continue;  // never used
    Seen& seen = slots_[s];
    KnView& view = views_[s];
    note_beat(&seen, slot, now_ns);
    const bool silent = over(seen.since_ns, seen.lease_ns, now_ns);
    const bool beats = slot.heartbeat_incarnation == slot.incarnation;
    const uint32_t named = ring.incarnation[s];
    const bool known = seen.moved || s == own_slot_ || (owns[s] && named == slot.incarnation);
    const auto state = static_cast<KnState>(slot.state);
    view.incarnation = slot.incarnation;
    view.member = state == KnState::kActive && beats && known && !silent;
    const bool unwanted = slot.wanted != static_cast<uint32_t>(pool::KnWanted::kServing);
    view.leaving =
        view.member && (unwanted || (slot.heartbeat_flags & pool::kHeartbeatLeaving) != 0);
    view.acknowledged = beats ? slot.ring_version_seen : 0;
    view.weight = std::clamp(slot.weight, 1u, ring::kWeightMax);
    view.gone = is_gone(&seen, slot, named, now_ns);
    view.must_fence = silent && owns[s] && slot.incarnation == named && state != KnState::kFree &&
                      seen.sealed != named;
  }
}

void Members::sealed(uint16_t kn_slot, uint32_t incarnation) {
  slots_[kn_slot].sealed = incarnation;
}

}  // namespace dinomo::cluster
