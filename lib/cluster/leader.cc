// SPDX-License-Identifier: BSD-3-Clause
#include "cluster/leader.h"

#include <cstring>

#include "pool/cells.h"
#include "pool/mailbox.h"

namespace dinomo::cluster {

namespace {

using fabric::Purpose;

constexpr uint64_t kFencePollNs = 200'000;
constexpr uint64_t kBusyPollUs = 2000;
constexpr uint64_t kFenceRetryUs = 20'000;
constexpr uint32_t kRefusalsToSay = 50;  // a second of them
// After a power failure others may have seen newer versions than are left; a multiple of 2 and 1,
// so that the next one goes to the other copy.
constexpr uint64_t kVersionsLeftOut = 16;

// Memory: lease line, renewal, mailbox lines, where cells and pins are, two ring records, the
// cells, the pins, the directory.
constexpr size_t kLeaseAt = 0;
constexpr size_t kRenewalAt = 64;
constexpr size_t kRequestAt = 128;
constexpr size_t kReplyAt = 192;
constexpr size_t kSlotAt = 256;
constexpr size_t kWishesAt = 320;
constexpr size_t kRingAt = 384;
constexpr size_t kCellsAt = kRingAt + 2 * sizeof(pool::RingRecord);
constexpr size_t kCellsBytes = pool::kCellCount * sizeof(pool::IndirectionCell);
constexpr size_t kPinsAt = kCellsAt + kCellsBytes;
constexpr size_t kDirectoryAt = kPinsAt + sizeof(pool::PinTable);

constexpr size_t kRenewalsAt = offsetof(pool::LeaderLease, renewals);

uint16_t slot_of(uint64_t word) noexcept { return static_cast<uint16_t>((word & 0xffff) - 1); }
uint32_t incarnation_of(uint64_t word) noexcept { return static_cast<uint32_t>(word >> 16); }
bool is_held(uint64_t word) noexcept { return (word & 0xffff) != 0; }

}  // namespace

Leader::Leader(const LeaderConfig& config, Lane* lane, Clock* clock, Say say)
    : config_(config), lane_(*lane), clock_(clock), say_(std::move(say)) {}

MutableBytes Leader::memory(uint32_t kn_slots) {
  memory_.resize(kDirectoryAt + kn_slots * sizeof(pool::KnSlot));
  return memory_;
}

void Leader::attach() noexcept {
  state_ = State::kFollowing;
  running_ = false;
  next_ns_ = 0;
  word_ = renewals_ = 0;
  still_since_ns_ = lane_.now_ns;
  old_holder_.reset();
}

uint64_t Leader::own_word(uint64_t before) const noexcept {
  const uint64_t term = (before >> 48) + 1;
  return (uint64_t{lane_.kn_slot} + 1) | uint64_t{lane_.incarnation} << 16 | term << 48;
}

void Leader::started(const kn::Task& task) noexcept {
  if (task.started) return;
  next_ns_ = lane_.now_ns + kBusyPollUs * 1000;
  running_ = false;
}

void Leader::finish(uint64_t again_in_us) noexcept {
  --lane_.tasks;
  running_ = false;
  next_ns_ = lane_.now_ns + again_in_us * 1000;
}

uint32_t Leader::poll() noexcept {
  if (running_ || lane_.losing || lane_.now_ns < next_ns_) return 0;
  running_ = true;
  switch (state_) {
    case State::kFollowing: started(run_watch()); return 1;
    case State::kTaking: return start_take();
    case State::kLeading: break;
  }
  if (lane_.now_ns >= deadline_ns_) {
    running_ = false;
    step_down("its lease was not renewed in time");
  } else if (next_ring_) {
    started(run_publish());
  } else if (victim_) {
    started(run_fence(*victim_));
  } else {
    started(run_lead());
  }
  return 1;
}

uint32_t Leader::start_take() noexcept {
  if (old_holder_) {
    started(run_fence(*old_holder_));
  } else {
    started(run_adopt());
  }
  return 1;
}

void Leader::step_down(const char* why) noexcept {
  say_(std::string("leads no more: ") + why);
  state_ = State::kFollowing;
  word_ = 0;
  still_since_ns_ = lane_.now_ns;
}

/// Nobody has renewed the word for longer than its holder may act.
bool Leader::still() const noexcept {
  const uint64_t lease_ns = uint64_t{config_.lease_us} * 1000;
  return lane_.now_ns - still_since_ns_ > lease_ns + Members::margin_ns(lease_ns);
}

kn::Task Leader::run_watch() noexcept {
  ++lane_.tasks;
  const uint64_t lease_at = lane_.superblock.leader_offset;
  const MutableBytes line = at(kLeaseAt, sizeof(pool::LeaderLease));
  Status status = co_await kn::read(*lane_.queue, lease_at, line, Purpose::kControl);
  const auto lease = load<pool::LeaderLease>(line.data());
  bool take = ok(status) && !is_held(lease.holder);
  if (ok(status) && (lease.holder != word_ || lease.renewals != renewals_)) {
    word_ = lease.holder;
    renewals_ = lease.renewals;
    still_since_ns_ = lane_.now_ns;
  }
  bool left = false;
  if (ok(status) && !take) {
    // Looked up each time: it costs 64 bytes, and saves a lease when the leader has left.
    const MutableBytes slot_line = at(kSlotAt, 64);
    status = co_await kn::read(*lane_.queue,
                               pool::kn_slot_offset(lane_.superblock, slot_of(lease.holder)),
                               slot_line, Purpose::kControl);
    const auto state = load<uint32_t>(slot_line.data());
    const auto incarnation = load<uint32_t>(slot_line.data() + offsetof(pool::KnSlot, incarnation));
    // What this process posted while it held the word has ended long since.
    const bool own = slot_of(lease.holder) == lane_.kn_slot && incarnation == lane_.incarnation;
    left = ok(status) && (own || incarnation != incarnation_of(lease.holder) ||
                          state == static_cast<uint32_t>(pool::KnState::kFree));
    take = left || (ok(status) && still());
  }
  uint64_t found = 0;
  const uint64_t mine = own_word(lease.holder);
  if (take && !lane_.losing) {
    status = co_await kn::compare_swap(*lane_.queue, lease_at, lease.holder, mine, &found,
                                       Purpose::kControl);
    if (ok(status) && found == lease.holder) {
      word_ = mine;
      renewals_ = lease.renewals;
      state_ = State::kTaking;
      old_holder_.reset();
      if (is_held(lease.holder) && !left) {
        old_holder_ = Fence{slot_of(lease.holder), incarnation_of(lease.holder)};
      }
    }
  }
  finish(state_ == State::kTaking ? 0 : config_.heartbeat_us);
}

/// Has the DPM refused to lock it out for long enough to say so? True once: taking a mapping away
/// takes some tries.
bool Leader::refused_again(Fence victim) noexcept {
  if (victim != refused_) refusals_ = 0;
  refused_ = victim;
  return ++refusals_ == kRefusalsToSay;
}

/// Has the DPM lock an incarnation out and merge what it wrote.
kn::Task Leader::run_fence(Fence victim) noexcept {
  ++lane_.tasks;
  const pool::Superblock& s = lane_.superblock;
  const uint64_t cell = pool::mailbox_offset(s, lane_.kn_slot, s.workers_per_kn, 1);
  const uint64_t sequence = clock_->unix_ms() << 20 | (++mailbox_count_ & 0xfffff);
  store(at(kRequestAt, 64).data(),
        pool::make_request(sequence, lane_.incarnation, pool::MailboxOpcode::kFenceKn,
                           {victim.kn_slot, victim.incarnation, 0, 0, 0}));
  const uint64_t deadline_ns = lane_.now_ns + uint64_t{config_.fence_patience_us} * 1000;
  Status status = co_await kn::write(*lane_.queue, cell, at(kRequestAt, 64), {}, Purpose::kMailbox);
  uint64_t renew_ns = lane_.now_ns;
  pool::MailboxLine reply{};
  while (ok(status)) {
    status = co_await kn::read(*lane_.queue, cell + offsetof(pool::MailboxCell, reply),
                               at(kReplyAt, 64), Purpose::kMailbox);
    reply = load<pool::MailboxLine>(at(kReplyAt, 64).data());
    if (ok(status) && pool::answers(reply, sequence)) break;
    co_await lane_.delays.until(lane_.now_ns + kFencePollNs);
    if (lane_.now_ns >= renew_ns) {  // merging can take longer than the leader's lease
      renew_ns = lane_.now_ns + uint64_t{config_.heartbeat_us} * 500;
      const uint64_t until_ns = lane_.now_ns + uint64_t{config_.lease_us} * 1000;
      store(at(kRenewalAt, 8).data(), ++renewals_);
      status = co_await kn::write(*lane_.queue, s.leader_offset + kRenewalsAt, at(kRenewalAt, 8),
                                  {}, Purpose::kControl);
      if (ok(status)) deadline_ns_ = until_ns;  // run_lead() looks whose the word is
    }
    if (lane_.losing || lane_.now_ns >= deadline_ns) status = Status::kTimeout;
  }
  if (ok(status)) status = static_cast<Status>(reply.status);
  if (ok(status)) {
    say_("KN slot " + std::to_string(victim.kn_slot) + ", incarnation " +
         std::to_string(victim.incarnation) + ", is locked out and its logs are merged");
    if (state_ == State::kTaking) {
      old_holder_.reset();
    } else {
      members_.sealed(victim.kn_slot, victim.incarnation);
    }
  } else if (!lane_.losing && refused_again(victim)) {
    say_("KN slot " + std::to_string(victim.kn_slot) + ", incarnation " +
         std::to_string(victim.incarnation) + ", is silent and cannot be locked out (" +
         status_name(status) +
         "): it keeps its partitions until it wakes, or its process is ended");
  }
  victim_.reset();
  finish(ok(status) ? 0 : kFenceRetryUs);
}

/// The ring as the last leader left it.
kn::Task Leader::run_adopt() noexcept {
  ++lane_.tasks;
  const uint64_t posted_ns = lane_.now_ns;
  const MutableBytes records = at(kRingAt, 2 * sizeof(pool::RingRecord));
  Status status =
      co_await kn::read(*lane_.queue, lane_.superblock.ring_offset, records, Purpose::kControl);
  const MutableBytes line = at(kLeaseAt, sizeof(pool::LeaderLease));
  if (ok(status)) {
    status =
        co_await kn::read(*lane_.queue, lane_.superblock.leader_offset, line, Purpose::kControl);
  }
  const auto lease = load<pool::LeaderLease>(line.data());
  if (!ok(status)) {
    finish(kBusyPollUs);
    co_return;
  }
  finish(0);
  if (lease.holder != word_) {
    step_down("another KN has taken the lease");
    co_return;
  }
  adopt(records);
  deadline_ns_ = posted_ns + uint64_t{config_.lease_us} * 1000;
  state_ = State::kLeading;
  say_("leads from now on, term " + std::to_string(word_ >> 48) + ", ring version " +
       std::to_string(ring_.version));
}

// No part of a coroutine: a ring is larger than a frame.
void Leader::adopt(Bytes records) noexcept {
  ring_ = ring::newest_of(records);
  next_ring_.reset();
  if (ring_.version != 0) {
    next_ring_ = ring_;
    next_ring_->version += kVersionsLeftOut + 1;
    next_ring_->leader = word_;
  }
  ring_.leader = word_;
  members_ = Members(lane_.kn_slot);
  placed_.clear();
  victim_.reset();
  cells_version_.reset();
  wanted_keys_.clear();
  pins_version_.reset();
  handing_since_ns_ = no_handing_until_ns_ = 0;
}

/// Renews the lease, looks at everybody, decides.
kn::Task Leader::run_lead() noexcept {
  ++lane_.tasks;
  const uint64_t posted_ns = lane_.now_ns;
  const pool::Superblock& s = lane_.superblock;
  store(at(kRenewalAt, 8).data(), ++renewals_);
  Status status = co_await kn::write(*lane_.queue, s.leader_offset + kRenewalsAt, at(kRenewalAt, 8),
                                     {}, Purpose::kControl);
  const MutableBytes line = at(kLeaseAt, sizeof(pool::LeaderLease));
  if (ok(status)) {
    status = co_await kn::read(*lane_.queue, s.leader_offset, line, Purpose::kControl);
  }
  const bool mine = ok(status) && load<pool::LeaderLease>(line.data()).holder == word_;
  if (mine) deadline_ns_ = posted_ns + uint64_t{config_.lease_us} * 1000;
  const MutableBytes directory = at(kDirectoryAt, s.kn_slots * sizeof(pool::KnSlot));
  if (mine) {
    status = co_await kn::read(*lane_.queue, s.directory_offset, directory, Purpose::kControl);
  }
  if (ok(status) && !mine) {
    finish(0);
    step_down("another KN has taken the lease");
    co_return;
  }
  const MutableBytes state = at(kWishesAt, 4 * sizeof(uint64_t));
  if (ok(status)) {
    status =
        co_await kn::read(*lane_.queue, s.state_offset + offsetof(pool::PoolState, cells_offset),
                          state, Purpose::kControl);
  }
  const auto cells_offset = load<uint64_t>(state.data());
  const auto cells_version = load<uint64_t>(state.data() + 8);
  if (ok(status) && cells_version_ != cells_version) {
    if (cells_offset != 0) {
      status = co_await kn::read(*lane_.queue, cells_offset, at(kCellsAt, kCellsBytes),
                                 Purpose::kControl);
    }
    if (ok(status)) take_cells(at(kCellsAt, kCellsBytes), cells_offset, cells_version);
  }
  const auto pins_offset = load<uint64_t>(state.data() + 16);
  const auto pins_version = load<uint64_t>(state.data() + 24);
  if (ok(status) && pins_version_ != pins_version) {
    const MutableBytes pins = at(kPinsAt, sizeof(pool::PinTable));
    if (pins_offset != 0) {
      status = co_await kn::read(*lane_.queue, pins_offset, pins, Purpose::kControl);
    }
    if (ok(status)) take_pins(pins_offset == 0 ? Bytes() : Bytes(pins), pins_version);
  }
  if (ok(status)) decide();
  const bool more = next_ring_ || victim_;
  finish(more ? 0 : ring_.moving.any() ? kBusyPollUs : config_.heartbeat_us / 2);
}

void Leader::decide() noexcept {
  const MutableBytes bytes = at(kDirectoryAt, lane_.superblock.kn_slots * sizeof(pool::KnSlot));
  std::vector<pool::KnSlot> directory(lane_.superblock.kn_slots);
  std::memcpy(directory.data(), bytes.data(), bytes.size());
  members_.look(directory, ring_, lane_.now_ns);
  const std::span<const KnView> views = members_.views();
  const std::vector<ring::Member> wanted = members_of(views);
  if (wanted != placed_) {
    placed_ = wanted;
    targets_ = ring::place(placed_, pins_);
  }
  for (uint16_t slot = 0; slot < views.size() && !victim_; ++slot) {
    if (views[slot].must_fence && slot != lane_.kn_slot)
      victim_ = Fence{slot, directory[slot].incarnation};
  }
  follow_handing(ring_.moving.any());
  const bool off = lane_.now_ns < no_handing_until_ns_;
  next_ring_ = plan(ring_, views, targets_, off ? Handing::kOff : Handing::kOn);
  list_pins();
  list_keys();
}

/// A KN that is alive and does not acknowledge keeps its partitions: better served than moved.
void Leader::follow_handing(bool moving) noexcept {
  const uint64_t patience_ns = uint64_t{config_.handing_patience_us} * 1000;
  if (!moving) {
    handing_since_ns_ = 0;
  } else if (handing_since_ns_ == 0) {
    handing_since_ns_ = lane_.now_ns;
  } else if (lane_.now_ns - handing_since_ns_ > patience_ns) {
    say_("a hand-over was not acknowledged in time: its partitions stay where they are");
    handing_since_ns_ = 0;
    no_handing_until_ns_ = lane_.now_ns + patience_ns;
  }
}

void Leader::write_next(MutableBytes record) const noexcept {
  store(record.data(), ring::to_record(*next_ring_));
}

kn::Task Leader::run_publish() noexcept {
  ++lane_.tasks;
  const uint64_t copy =
      lane_.superblock.ring_offset + next_ring_->version % 2 * sizeof(pool::RingRecord);
  const MutableBytes record = at(kRingAt, sizeof(pool::RingRecord));
  write_next(record);
  const Status status =
      co_await kn::write(*lane_.queue, copy, record, {.persistent = true}, Purpose::kControl);
  if (ok(status)) {
    say_("ring version " + std::to_string(next_ring_->version) + ": " +
         std::to_string(next_ring_->moving.count()) + " partitions are moving, " +
         std::to_string(placed_.size()) + " KNs, " + std::to_string(next_ring_->replicated.size()) +
         " keys replicated");
    ring_ = *next_ring_;
  }
  next_ring_.reset();
  finish(kBusyPollUs);
}

}  // namespace dinomo::cluster
