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
      frames_(16, 4096),
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
  fatal_ = pool::check_superblock(superblock_, fabric_->remote().pool_bytes, &why);
  if (ok(fatal_) && config_.workers > superblock_.workers_per_kn) {
    fatal_ = Status::kOutOfRange;
    why = "this pool was made for at most " + std::to_string(superblock_.workers_per_kn) +
          " workers a KN, " + std::to_string(config_.workers) + " are configured: use fewer lcores";
  }
  return why;
}

void KnControl::fill_slot_line() noexcept {
  pool::KnSlot slot{};
  slot.address = config_.address;
  slot.udp_port_base = config_.udp_port_base;
  slot.workers = config_.workers;
  const size_t length = std::min(config_.name.size(), slot.name.size() - 1);
  std::memcpy(slot.name.data(), config_.name.data(), length);
  const std::byte* line =
      reinterpret_cast<const std::byte*>(&slot) + offsetof(pool::KnSlot, address);
  std::memcpy(scratch(kSlotLineAt, 64).data(), line, 64);
}

/// Takes the newer valid ring record; gives every partition to this KN if no other KN owns any.
bool KnControl::choose_ring(std::unique_ptr<ring::Ring>* chosen, bool* must_write,
                            std::string* why) noexcept {
  auto ring = std::make_unique<ring::Ring>();
  for (const size_t copy : {0u, 1u}) {
    pool::RingRecord record;
    std::memcpy(&record, scratch(kReadAt + copy * sizeof record, sizeof record).data(),
                sizeof record);
    ring::Ring candidate;
    if (ring::from_record(record, &candidate) && candidate.version > ring->version) {
      *ring = candidate;
    }
  }
  if (!config_.members.empty()) {
    *must_write = false;
    ring->kns = config_.members;
    *chosen = std::move(ring);
    return true;
  }
  const auto mine = [this](uint16_t owner) { return owner == kn_slot_; };
  *must_write = !std::ranges::all_of(ring->owner, mine);
  const auto others = [this](uint16_t owner) {
    return owner != kn_slot_ && owner != pool::kNoOwner;
  };
  if (std::ranges::any_of(ring->owner, others)) {
    *why = "partitions of this pool belong to another KN slot; start this KN with --kn-slot " +
           std::to_string(*std::ranges::find_if(ring->owner, others));
    return false;
  }
  if (*must_write) {
    ring->owner.fill(kn_slot_);
    ++ring->version;
  }
  ring->kns = {wire::KnRecord{config_.address, kn_slot_, config_.udp_port_base, config_.workers,
                              static_cast<uint16_t>(pool::KnState::kActive)}};
  *chosen = std::move(ring);
  return true;
}

void KnControl::make_attachments() noexcept {
  for (uint16_t w = 0; w < config_.workers; ++w) {
    kn::Attachment& a = attachments_[w];
    a.fabric = fabric_.get();
    a.superblock = superblock_;
    a.kn_slot = kn_slot_;
    a.incarnation = incarnation_;
    a.table = table_;
    shared_->index_table.store(table_.word(), std::memory_order_relaxed);
    workers_[w]->attach_for_control(&a);
  }
}

kn::Task KnControl::run_registration() noexcept {
  ++tasks_;
  fabric::Queue& queue = *queue_;
  std::string why;
  Status status = co_await kn::read(queue, fabric_->remote().superblock_offset,
                                    scratch(kReadAt, sizeof superblock_), Purpose::kControl);
  if (ok(status)) {
    std::memcpy(&superblock_, scratch(kReadAt, sizeof superblock_).data(), sizeof superblock_);
    why = check_pool();
    status = fatal_;
  }
  if (ok(status)) {
    fill_slot_line();
    const uint64_t at =
        pool::kn_slot_offset(superblock_, kn_slot_) + offsetof(pool::KnSlot, address);
    status = co_await kn::write(queue, at, scratch(kSlotLineAt, 64), {}, Purpose::kControl);
  }
  if (ok(status)) {
    const uint64_t cell =
        pool::mailbox_offset(superblock_, kn_slot_, superblock_.workers_per_kn, 0);
    const uint64_t sequence = clock_->unix_ms() << 20 | ++mailbox_sequence_;
    store(scratch(kRequestAt, 64).data(),
          pool::make_request(sequence, 0, pool::MailboxOpcode::kRegister,
                             {config_.workers, 0, 0, 0, 0}));
    const uint64_t deadline_ns = now_ns_ + uint64_t{config_.register_patience_us} * 1000;
    status = co_await kn::write(queue, cell, scratch(kRequestAt, 64), {}, Purpose::kMailbox);
    pool::MailboxLine reply{};
    while (ok(status)) {
      status = co_await kn::read(queue, cell + offsetof(pool::MailboxCell, reply),
                                 scratch(kReplyAt, 64), Purpose::kMailbox);
      reply = load<pool::MailboxLine>(scratch(kReplyAt, 64).data());
      if (ok(status) && pool::answers(reply, sequence)) break;
      co_await delays_.until(now_ns_ + kMailboxPollNs);
      if (losing_ || !fabric_->alive()) status = Status::kUnreachable;
      if (now_ns_ >= deadline_ns) status = Status::kTimeout;
    }
    if (ok(status)) status = static_cast<Status>(reply.status);
    incarnation_ = static_cast<uint32_t>(reply.args[0]);
  }
  for (uint16_t w = 0; w < config_.workers && ok(status); ++w) {
    const uint16_t log_id = pool::log_id_of(superblock_, kn_slot_, w);
    status = co_await kn::read(queue, pool::log_record_offset(superblock_, log_id),
                               scratch(kReadAt, sizeof(pool::LogRecord)), Purpose::kControl);
    const auto record = load<pool::LogRecord>(scratch(kReadAt, sizeof(pool::LogRecord)).data());
    attachments_[w].log_id = log_id;
    attachments_[w].first_lsn = record.merged_lsn + 1;
    attachments_[w].merged_sequence = record.merged_sequence;
  }
  if (ok(status)) {
    status = co_await kn::read(queue, superblock_.index_root_offset,
                               scratch(kReadAt, sizeof(pool::IndexRoot)), Purpose::kControl);
    table_ = pool::TableRef(load<pool::IndexRoot>(scratch(kReadAt, 64).data()).current);
  }
  if (ok(status)) {
    status = co_await kn::read(queue, superblock_.ring_offset,
                               scratch(kReadAt, 2 * sizeof(pool::RingRecord)), Purpose::kControl);
  }
  std::unique_ptr<ring::Ring> ring;
  bool must_write = false;
  if (ok(status) && !choose_ring(&ring, &must_write, &why)) status = fatal_ = Status::kExists;
  if (ok(status) && must_write) {
    store(scratch(kReadAt, sizeof(pool::RingRecord)).data(), ring::to_record(*ring));
    const uint64_t copy = superblock_.ring_offset + ring->version % 2 * sizeof(pool::RingRecord);
    status = co_await kn::write(queue, copy, scratch(kReadAt, sizeof(pool::RingRecord)),
                                {.persistent = true}, Purpose::kControl);
  }
  --tasks_;
  if (!ok(status) || losing_) {
    lose(why.empty() ? std::string("registration failed: ") + status_name(status) : why);
    co_return;
  }
  publish_ring(std::move(ring));
  make_attachments();
  phase_ = KnPhase::kServing;
  heartbeat_ns_ = 0;
  last_warning_.clear();
  events_.info("serving: KN slot " + std::to_string(kn_slot_) + ", incarnation " +
               std::to_string(incarnation_) + ", ring version " + std::to_string(ring_->version) +
               "; pool through " + fabric_->remote().access);
}

kn::Task KnControl::run_deregistration() noexcept {
  ++tasks_;
  // Workers first: what they acknowledged is in their logs, and nothing follows.
  shared_->lease_deadline_ns.store(0, std::memory_order_relaxed);
  for (kn::Worker* w : workers_) w->attach_for_control(nullptr);
  const auto attached = [](const kn::Worker* w) { return w->attached_for_control() != nullptr; };
  while (std::ranges::any_of(workers_, attached)) {
    co_await delays_.until(now_ns_ + kMailboxPollNs);
  }
  const uint64_t cell = pool::mailbox_offset(superblock_, kn_slot_, superblock_.workers_per_kn, 0);
  const uint64_t sequence = clock_->unix_ms() << 20 | ++mailbox_sequence_;
  store(scratch(kRequestAt, 64).data(),
        pool::make_request(sequence, incarnation_, pool::MailboxOpcode::kDeregister, {}));
  const uint64_t deadline_ns = now_ns_ + uint64_t{config_.register_patience_us} * 1000;
  Status status = co_await kn::write(*queue_, cell, scratch(kRequestAt, 64), {}, Purpose::kMailbox);
  while (ok(status)) {
    status = co_await kn::read(*queue_, cell + offsetof(pool::MailboxCell, reply),
                               scratch(kReplyAt, 64), Purpose::kMailbox);
    if (ok(status) &&
        pool::answers(load<pool::MailboxLine>(scratch(kReplyAt, 64).data()), sequence)) {
      break;
    }
    co_await delays_.until(now_ns_ + kMailboxPollNs);
    if (losing_ || now_ns_ >= deadline_ns || !fabric_->alive()) status = Status::kUnreachable;
  }
  --tasks_;
  lose(ok(status) ? "" : "left without the DPM's answer: it merges our logs when it is back");
}

}  // namespace dinomo::cluster
