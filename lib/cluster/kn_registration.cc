// SPDX-License-Identifier: BSD-3-Clause
// Registration of a KN with its DPM, and leaving in order.
#include <algorithm>
#include <cstring>

#include "cluster/kn_control.h"
#include "pool/superblock.h"

namespace dinomo::cluster {

namespace {

using fabric::Purpose;

constexpr uint64_t kMailboxPollNs = 200'000;

// Scratch memory: heartbeat line, mailbox lines, then whatever is being read.
constexpr size_t kHeartbeatAt = 0;
constexpr size_t kRequestAt = 64;
constexpr size_t kReplyAt = 128;
constexpr size_t kSlotLineAt = 192;
constexpr size_t kReadAt = 256;
constexpr size_t kScratchBytes = kReadAt + 2 * sizeof(pool::RingRecord) + 64;  // last: index root
static_assert(kHeartbeatAt == 0 && 2 * sizeof(pool::RingRecord) >= sizeof(pool::Superblock));

}  // namespace

KnControl::KnControl(const KnControlConfig& config, Connect connect, Clock* clock,
                     kn::Shared* shared, std::vector<kn::Worker*> workers, KnEvents events)
    : config_(config),
      connect_(std::move(connect)),
      clock_(clock),
      shared_(shared),
      workers_(std::move(workers)),
      events_(std::move(events)),
      leader_({.lease_us = config.lease_us, .heartbeat_us = config.heartbeat_us}, &lane_, clock,
              events_.info),
      scratch_(kScratchBytes),
      attachments_(workers_.size()),
      tuner_views_(workers_.size()),
      gets_before_(workers_.size()) {
  if (config_.cache_share_bytes == 0 || !config_.tuner.on || workers_.size() < 2) return;
  tuner_.emplace(config_.tuner, config_.cache_share_bytes, static_cast<uint32_t>(workers_.size()));
}

/// Empty if the pool can be used; otherwise what is wrong (and fatal_ is set).
std::string KnControl::check_pool() noexcept {
  std::string why;
  fatal_ = pool::check_superblock(lane_.superblock, fabric_->remote().pool_bytes, &why);
  if (ok(fatal_) && config_.workers > lane_.superblock.workers_per_kn) {
    fatal_ = Status::kOutOfRange;
    why = "this pool was made for at most " + std::to_string(lane_.superblock.workers_per_kn) +
          " workers a KN, " + std::to_string(config_.workers) + " are configured: use fewer lcores";
  }
  if (ok(fatal_) && lane_.kn_slot >= pool::kRingSlotsMax) {
    fatal_ = Status::kOutOfRange;
    why = "KN slot " + std::to_string(lane_.kn_slot) + " cannot own anything; use one below " +
          std::to_string(pool::kRingSlotsMax);
  }
  return why;
}

/// `found`: the slot as an earlier process left it, or this one. This one's workers serve nothing.
void KnControl::fill_slot_line(const pool::KnSlot& found) noexcept {
  pool::KnSlot slot{};
  slot.ended_incarnation = lane_.incarnation != 0 ? lane_.incarnation : found.ended_incarnation;
  slot.address = config_.address;
  slot.udp_port_base = config_.udp_port_base;
  slot.workers = config_.workers;
  const size_t length = std::min(config_.name.size(), slot.name.size() - 1);
  std::memcpy(slot.name.data(), config_.name.data(), length);
  const std::byte* line =
      reinterpret_cast<const std::byte*>(&slot) + offsetof(pool::KnSlot, address);
  std::memcpy(scratch(kSlotLineAt, 64).data(), line, 64);
}

void KnControl::make_attachments() noexcept {
  for (uint16_t w = 0; w < config_.workers; ++w) {
    kn::Attachment& a = attachments_[w];
    a.fabric = fabric_.get();
    a.superblock = lane_.superblock;
    a.kn_slot = lane_.kn_slot;
    a.incarnation = lane_.incarnation;
    a.table = table_;
    shared_->index_table.store(table_.word(), std::memory_order_relaxed);
    workers_[w]->attach_for_control(&a);
  }
}

kn::Task KnControl::run_registration() noexcept {
  ++lane_.tasks;
  fabric::Queue& queue = *queue_;
  std::string why;
  Status status = co_await kn::read(queue, fabric_->remote().superblock_offset,
                                    scratch(kReadAt, sizeof lane_.superblock), Purpose::kControl);
  if (ok(status)) {
    std::memcpy(&lane_.superblock, scratch(kReadAt, sizeof lane_.superblock).data(),
                sizeof lane_.superblock);
    why = check_pool();
    status = fatal_;
  }
  if (ok(status)) {
    directory_.resize(lane_.superblock.kn_slots * sizeof(pool::KnSlot));
    status = fabric_->register_memory(directory_);
    const MutableBytes leaders = leader_.memory(lane_.superblock.kn_slots);
    if (ok(status)) status = fabric_->register_memory(leaders);
  }
  const uint64_t slot_at = pool::kn_slot_offset(lane_.superblock, lane_.kn_slot);
  if (ok(status)) {
    status = co_await kn::read(queue, slot_at, scratch(kReadAt, sizeof(pool::KnSlot)),
                               Purpose::kControl);
  }
  if (ok(status)) {
    fill_slot_line(load<pool::KnSlot>(scratch(kReadAt, sizeof(pool::KnSlot)).data()));
    const uint64_t at = slot_at + offsetof(pool::KnSlot, address);
    status = co_await kn::write(queue, at, scratch(kSlotLineAt, 64), {}, Purpose::kControl);
  }
  if (ok(status)) {
    const uint64_t cell =
        pool::mailbox_offset(lane_.superblock, lane_.kn_slot, lane_.superblock.workers_per_kn, 0);
    const uint64_t sequence = clock_->unix_ms() << 20 | ++mailbox_sequence_;
    store(scratch(kRequestAt, 64).data(),
          pool::make_request(sequence, 0, pool::MailboxOpcode::kRegister,
                             {config_.workers, 0, 0, 0, 0}));
    const uint64_t deadline_ns = lane_.now_ns + uint64_t{config_.register_patience_us} * 1000;
    status = co_await kn::write(queue, cell, scratch(kRequestAt, 64), {}, Purpose::kMailbox);
    pool::MailboxLine reply{};
    while (ok(status)) {
      status = co_await kn::read(queue, cell + offsetof(pool::MailboxCell, reply),
                                 scratch(kReplyAt, 64), Purpose::kMailbox);
      reply = load<pool::MailboxLine>(scratch(kReplyAt, 64).data());
      if (ok(status) && pool::answers(reply, sequence)) break;
      co_await lane_.delays.until(lane_.now_ns + kMailboxPollNs);
      if (lane_.losing || !fabric_->alive()) status = Status::kUnreachable;
      if (lane_.now_ns >= deadline_ns) status = Status::kTimeout;
    }
    if (ok(status)) status = static_cast<Status>(reply.status);
    lane_.incarnation = static_cast<uint32_t>(reply.args[0]);
  }
  for (uint16_t w = 0; w < config_.workers && ok(status); ++w) {
    const uint16_t log_id = pool::log_id_of(lane_.superblock, lane_.kn_slot, w);
    status = co_await kn::read(queue, pool::log_record_offset(lane_.superblock, log_id),
                               scratch(kReadAt, sizeof(pool::LogRecord)), Purpose::kControl);
    const auto record = load<pool::LogRecord>(scratch(kReadAt, sizeof(pool::LogRecord)).data());
    attachments_[w].log_id = log_id;
    attachments_[w].first_lsn = record.merged_lsn + 1;
    attachments_[w].merged_sequence = record.merged_sequence;
  }
  if (ok(status)) {
    status = co_await kn::read(queue, lane_.superblock.index_root_offset,
                               scratch(kReadAt, sizeof(pool::IndexRoot)), Purpose::kControl);
    table_ = pool::TableRef(load<pool::IndexRoot>(scratch(kReadAt, 64).data()).current);
  }
  std::unique_ptr<ring::Ring> ring;
  if (ok(status) && !elastic()) {
    const MutableBytes records = scratch(kReadAt, 2 * sizeof(pool::RingRecord));
    status = co_await kn::read(queue, lane_.superblock.ring_offset, records, Purpose::kControl);
    ring = ring::newest_on_heap(records);
    ring->kns = config_.members;
  }
  --lane_.tasks;
  if (!ok(status) || lane_.losing) {
    lose(why.empty() ? std::string("registration failed: ") + status_name(status) : why);
    co_return;
  }
  if (ring) publish_ring(std::move(ring));
  make_attachments();
  leader_.attach();
  phase_ = KnPhase::kServing;
  heartbeat_ns_ = ring_watch_ns_ = told_ring_ = 0;
  last_warning_.clear();
  events_.info("serving: KN slot " + std::to_string(lane_.kn_slot) + ", incarnation " +
               std::to_string(lane_.incarnation) + "; pool through " + fabric_->remote().access);
}

kn::Task KnControl::run_deregistration() noexcept {
  ++lane_.tasks;
  // Workers first: what they acknowledged is in their logs, and nothing follows.
  shared_->lease_deadline_ns.store(0, std::memory_order_relaxed);
  for (kn::Worker* w : workers_) w->attach_for_control(nullptr);
  const auto attached = [](const kn::Worker* w) { return w->attached_for_control() != nullptr; };
  while (std::ranges::any_of(workers_, attached)) {
    co_await lane_.delays.until(lane_.now_ns + kMailboxPollNs);
  }
  // So that whoever registers here next, in another process, need not wait this one's lease out.
  const uint64_t slot_at = pool::kn_slot_offset(lane_.superblock, lane_.kn_slot);
  fill_slot_line({});
  Status status = co_await kn::write(*queue_, slot_at + offsetof(pool::KnSlot, address),
                                     scratch(kSlotLineAt, 64), {}, Purpose::kControl);
  const uint64_t cell =
      pool::mailbox_offset(lane_.superblock, lane_.kn_slot, lane_.superblock.workers_per_kn, 0);
  const uint64_t sequence = clock_->unix_ms() << 20 | ++mailbox_sequence_;
  store(scratch(kRequestAt, 64).data(),
        pool::make_request(sequence, lane_.incarnation, pool::MailboxOpcode::kDeregister, {}));
  const uint64_t deadline_ns = lane_.now_ns + uint64_t{config_.register_patience_us} * 1000;
  if (ok(status)) {
    status = co_await kn::write(*queue_, cell, scratch(kRequestAt, 64), {}, Purpose::kMailbox);
  }
  while (ok(status)) {
    status = co_await kn::read(*queue_, cell + offsetof(pool::MailboxCell, reply),
                               scratch(kReplyAt, 64), Purpose::kMailbox);
    if (ok(status) &&
        pool::answers(load<pool::MailboxLine>(scratch(kReplyAt, 64).data()), sequence)) {
      break;
    }
    co_await lane_.delays.until(lane_.now_ns + kMailboxPollNs);
    if (lane_.losing || lane_.now_ns >= deadline_ns || !fabric_->alive())
      status = Status::kUnreachable;
  }
  --lane_.tasks;
  lose(ok(status) ? "" : "left without the DPM's answer: it merges our logs when it is back");
}

}  // namespace dinomo::cluster
