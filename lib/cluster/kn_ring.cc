// SPDX-License-Identifier: BSD-3-Clause
// Following the ring: reading it when there is a newer one, handing it to the workers, telling the
// leader when they have settled it; and leaving.
#include <algorithm>
#include <cstring>

#include "cluster/kn_control.h"
#include "common/planted.h"

namespace dinomo::cluster {

namespace {

using fabric::Purpose;

constexpr size_t kVersionAt = 128;  // of the scratch memory; the registration's reply is over
constexpr size_t kRecordsAt = 256;

std::vector<wire::KnRecord> members_in(const ring::Ring& ring, Bytes directory) {
  const auto slots = static_cast<uint16_t>(directory.size() / sizeof(pool::KnSlot));
  std::vector<bool> owns(slots);
  for (const uint16_t o : ring.owner) {
    if (o < slots) owns[o] = true;
  }
  std::vector<wire::KnRecord> kns;
  for (uint16_t s = 0; s < slots; ++s) {
    const auto slot = load<pool::KnSlot>(directory.data() + s * sizeof(pool::KnSlot));
    const bool active = slot.state == static_cast<uint32_t>(pool::KnState::kActive);
    if (!active && !owns[s]) continue;
    kns.push_back(
        {slot.address, s, slot.udp_port_base, slot.workers, static_cast<uint16_t>(slot.state)});
  }
  return kns;
}

}  // namespace

/// The newest version under which every worker has settled.
uint64_t KnControl::settled_ring() const noexcept {
  uint64_t settled = ring_ ? ring_->version : 0;
  for (const kn::Worker* w : workers_) settled = std::min(settled, w->settled_ring_for_control());
  return settled;
}

void KnControl::withdraw_ring() noexcept {
  partitions_ = 0;
  publish_ring(nullptr);
}

/// Looks for a newer ring, tells at once what is settled, and lets the leader have its turn.
void KnControl::follow_ring() noexcept {
  if (!ring_watch_running_ && lane_.now_ns >= ring_watch_ns_) {
    ring_watch_running_ = true;
    ring_watch_ns_ = lane_.now_ns + uint64_t{config_.ring_poll_us} * 1000;
    const kn::Task task = run_ring_watch();
    if (!task.started) ring_watch_running_ = false;
  }
  if (settled_ring() > told_ring_) heartbeat_ns_ = 0;
  leader_.poll();
}

/// Versions alternate between the two copies, so a newer one than ours is in the other copy first.
kn::Task KnControl::run_ring_watch() noexcept {
  ++lane_.tasks;
  const pool::Superblock& s = lane_.superblock;
  const uint64_t version = ring_ ? ring_->version : 0;
  const uint64_t other = s.ring_offset + (version + 1) % 2 * sizeof(pool::RingRecord);
  const MutableBytes head = scratch(kVersionAt, 16);
  Status status = co_await kn::read(*queue_, other, head, Purpose::kControl);
  std::unique_ptr<ring::Ring> newest;  // too large for a frame
  // Before there is one of ours, it may as well be in either.
  if (ok(status) && (version == 0 || load<uint64_t>(head.data()) > version)) {
    const MutableBytes records = scratch(kRecordsAt, 2 * sizeof(pool::RingRecord));
    status = co_await kn::read(*queue_, s.ring_offset, records, Purpose::kControl);
    if (ok(status)) newest = ring::newest_on_heap(records);
    if (newest && newest->version > version) {
      status = co_await kn::read(*queue_, s.directory_offset, directory_, Purpose::kControl);
    }
  }
  --lane_.tasks;
  ring_watch_running_ = false;
  if (!ok(status) || lane_.losing || !newest || newest->version <= version) co_return;
  adopt_ring(std::move(newest));
}

void KnControl::adopt_ring(std::unique_ptr<ring::Ring> taken) noexcept {
  ring::Ring& newest = *taken;
  newest.kns = members_in(newest, directory_);
  const uint16_t me = lane_.kn_slot;
  // What an earlier incarnation owned nobody serves until the leader says so.
  const bool other = newest.incarnation[me] != lane_.incarnation;
  uint32_t served = 0;
  for (uint32_t p = 0; p < kPartitions; ++p) {
    if (other && newest.owner[p] == me && !planted("ring-incarnation-ignored")) {
      newest.moving.set(p);
    }
    served += newest.serves(me, p) ? 1 : 0;
  }
  waits_ = other && std::ranges::find(newest.owner, me) != newest.owner.end();
  if (served != partitions_) {
    events_.info("serves " + std::to_string(served) + " of 4096 partitions, ring version " +
                 std::to_string(newest.version));
  }
  partitions_ = served;
  publish_ring(std::move(taken));
}

void KnControl::set_leaving(bool leaving) noexcept {
  if (leaving_ == leaving) return;
  leaving_ = leaving;
  heartbeat_ns_ = 0;
}

/// When it stops: have others taken over what it had, or is there nobody to?
bool KnControl::has_left() noexcept {
  if (!elastic() || !ring_) return true;
  const auto another = [this](const wire::KnRecord& kn) {
    return kn.kn_slot != lane_.kn_slot && kn.state == static_cast<uint16_t>(pool::KnState::kActive);
  };
  if (std::ranges::none_of(ring_->kns, another)) return true;
  if (leave_deadline_ns_ == 0) {
    leave_deadline_ns_ = lane_.now_ns + uint64_t{config_.leave_patience_us} * 1000;
    set_leaving(true);
  }
  const auto mine = [this](uint16_t owner) { return owner == lane_.kn_slot; };
  return std::ranges::none_of(ring_->owner, mine) || lane_.now_ns >= leave_deadline_ns_;
}

}  // namespace dinomo::cluster
