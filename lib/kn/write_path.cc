// SPDX-License-Identifier: BSD-3-Clause
// Writes: appended to the log, committed as a group, answered when durable. And what keeps the log
// going: segments from the DPM, and following its merge.
#include <cassert>

#include "common/decimal.h"
#include "common/planted.h"
#include "kn/awaiters.h"
#include "kn/worker.h"
#include "pool/mailbox.h"
#include "pool/superblock.h"

namespace dinomo::kn {

namespace {

constexpr uint64_t kMailboxPollNs = 20'000;  // between looks at a reply
constexpr uint64_t kMailboxPatienceNs = 2'000'000'000;
constexpr uint64_t kSegmentRetryNs = 1'000'000;  // after a refusal

}  // namespace

bool Worker::can_append() const noexcept {
  const uint64_t pending = pending_tail_ - pending_head_;
  return pending < kPendingMax &&
         unmerged_.size() + pending < (uint64_t{1} << config_.unmerged_log2);
}

/// One entry for what was decided: the item, a tombstone, or for a mutation that failed only its
/// outcome.
Status Worker::append(const Request& r, const Decision& decision, uint32_t session_cell,
                      bool holds_key) noexcept {
  if (!can_append()) return Status::kNoResource;
  const bool writes = decision.status == wire::Status::kOk;
  log::EntryFields fields;
  fields.op = !writes ? log::Op::kOutcome : decision.remove ? log::Op::kDelete : log::Op::kPut;
  fields.outcome = static_cast<uint8_t>(decision.status);
  fields.item_flags = decision.item_flags;
  fields.expiry_ms = decision.expiry_ms;
  if (r.session != 0) {
    fields.session = r.session;
    fields.sequence = r.sequence | static_cast<uint64_t>(r.operation.opcode) << 56;
  }
  const auto appended =
      log_->append(fields, writes ? r.operation.key : Bytes(), writes ? decision.value : Bytes());
  if (!appended) return appended.error();
  assert(pending_tail_ - pending_head_ < kPendingMax);
  pending_[pending_tail_++ % kPendingMax] = Pending{
      appended->lsn,   r.hash,      r.routing,      appended->address,
      appended->entry, reply_to(r), session_cell,   static_cast<uint16_t>(partition_of(r.routing)),
      holds_key,       writes,      decision.remove};
  ++partition(r.routing).busy;
  if (writes) {
    ++pending_of(r.hash);
    unmerged_.prefetch_add(r.hash);  // for settle(), after the commit
  }
  return Status::kOk;
}

/// Makes visible and answers what has become durable.
void Worker::settle_durable() noexcept {
  if (!log_) return;
  const uint64_t durable = log_->durable_lsn();
  const uint64_t shown = shared_keys_.empty() ? durable : show_up_to(durable);
  if (pending_head_ != pending_tail_ && lease_valid_) {
    // Asked again here: the turn may have been long.
    lease_valid_ = clock_->now_ns() < shared_->lease_deadline_ns.load(std::memory_order_relaxed);
  }
  while (pending_head_ != pending_tail_ && pending_[pending_head_ % kPendingMax].lsn <= shown) {
    settle(pending_[pending_head_++ % kPendingMax]);
  }
  show_head_ = std::max(show_head_, pending_head_);
  shown_lsn_ = std::max(shown_lsn_, shown);
  if (shown == durable || pending_head_ == pending_tail_) {
    log_->release_durable();
  } else {
    log_->release_before(pending_[pending_head_ % kPendingMax].entry);
  }
  while (lsn_waiters_ != nullptr && lsn_waiters_->lsn <= shown) {
    LsnWaiter* w = lsn_waiters_;
    lsn_waiters_ = w->next;
    if (lsn_waiters_ == nullptr) lsn_waiters_end_ = &lsn_waiters_;
    w->handle.resume();
  }
}

void Worker::settle(const Pending& p) noexcept {
  const auto h = load<log::EntryHeader>(p.entry);
  const auto op = static_cast<log::Op>(h.op);
  const Bytes key(p.entry + sizeof h, h.key_bytes);
  const Bytes value(key.data() + key.size(), h.value_bytes);
  --partitions_[p.partition].busy;
  if (op != log::Op::kOutcome) {
    const uint64_t cached = cache_hash(p.hash, uint64_t{p.partition} << kPartitionShift);
    --pending_of(p.hash);
    // The merge may be faster than the news of the commit.
    if (p.lsn > merged_lsn_ || planted("merged-still-unmerged")) {
      unmerged_.add(p.hash, p.lsn, p.address, op == log::Op::kDelete);
    }
    if (!planted("stale-fetch-fills")) mark_stale(p.hash);
    if (op == log::Op::kDelete) {
      if (!planted("deleted-kept-in-cache")) dac_->remove(cached, key);
    } else if (!planted("stale-cache-kept")) {
      const uint64_t version = log::item_version(h.log_id, h.lsn);
      dac_->update(cached, key, value, {version, h.expiry_ms, h.item_flags}, p.address);
    }
  }
  if (p.holds_key) locks_.give(p.hash);
  acknowledge(p, h, value);
}

/// Notes and answers the outcome of what has become durable. The value of a counter is its number.
void Worker::acknowledge(const Pending& p, const log::EntryHeader& h, Bytes value) noexcept {
  const auto status = static_cast<wire::Status>(h.outcome);
  const auto opcode = static_cast<wire::Opcode>(p.to.opcode);
  const bool counter = opcode == wire::Opcode::kIncr || opcode == wire::Opcode::kDecr;
  const bool changed = status == wire::Status::kOk;
  const uint64_t version = changed ? log::item_version(h.log_id, h.lsn) : 0;
  if (p.to.session != 0) {
    const MutationOutcome outcome{status, version,
                                  counter ? parse_decimal(as_text(value)).value_or(0) : 0};
    sessions_.finish(p.session_cell, p.to.session, p.to.sequence, outcome);
  }
  note_answered(opcode == wire::Opcode::kPut      ? LatencyClass::kPut
                : opcode == wire::Opcode::kDelete ? LatencyClass::kDelete
                                                  : LatencyClass::kConditional,
                p.to.received_ns, p.hash);
  if (!lease_valid_) {
    // Without a lease nothing is acknowledged; the write stands, and its retry will be told so.
    if (p.to.front_end != nullptr) replies_.add(p.to, wire::Status::kInternal);
    return;
  }
  if (!changed) return replies_.add(p.to, status);
  const bool told_value = counter || opcode == wire::Opcode::kGetAndTouch;
  const bool wants_item = p.to.front_end != nullptr && (p.to.flags & wire::kWantItem) != 0;
  if (opcode == wire::Opcode::kGetAndTouch || wants_item) {
    const wire::ItemExtras item{version, h.expiry_ms, h.item_flags, 0};
    return replies_.add(p.to, status, object_bytes(item), told_value ? value : Bytes());
  }
  const wire::VersionExtras extras{version};
  const bool mixed_up = planted("reply-to-wrong-request") && pending_head_ != pending_tail_;
  const ReplyTo& to = mixed_up ? pending_[pending_head_ % kPendingMax].to : p.to;
  replies_.add(to, status, object_bytes(extras), counter ? value : Bytes());
}

/// What was appended but is not known to be durable is not answered: the client asks again. A front
/// end has no way to.
void Worker::drop_pending() noexcept {
  for (; pending_head_ != pending_tail_; ++pending_head_) {
    const Pending& p = pending_[pending_head_ % kPendingMax];
    if (p.to.front_end != nullptr) replies_.add(p.to, wire::Status::kInternal);
  }
}

/// Asks the DPM for a segment. One at a time.
Task Worker::run_segment_request() noexcept {
  ++tasks_;
  const bool urgent = delete_waits_ && puts_refused_;  // of what is kept for deletes
  const pool::Superblock& s = attachment_->superblock;
  const uint64_t cell = pool::mailbox_offset(s, attachment_->kn_slot, config_.worker, 0);
  const uint64_t sequence = (uint64_t{attachment_->incarnation} << 32) | ++mailbox_sequence_;
  const MutableBytes line = mailbox_.first(sizeof(pool::MailboxLine));
  const MutableBytes answer =
      mailbox_.subspan(sizeof(pool::MailboxLine), sizeof(pool::MailboxLine));
  store(line.data(), pool::make_request(sequence, attachment_->incarnation,
                                        pool::MailboxOpcode::kSegmentGrant, {urgent, 0, 0, 0, 0}));
  const uint64_t deadline_ns = now_ns_ + kMailboxPatienceNs;
  Status status = co_await write(*fabric_, cell, line, {}, fabric::Purpose::kMailbox);
  pool::MailboxLine reply{};
  while (ok(status)) {
    status = co_await read(*fabric_, cell + offsetof(pool::MailboxCell, reply), answer,
                           fabric::Purpose::kMailbox);
    reply = load<pool::MailboxLine>(answer.data());
    if (ok(status) && pool::answers(reply, sequence)) break;
    co_await delays_.until(now_ns_ + kMailboxPollNs);
    if (detaching_ || now_ns_ >= deadline_ns) status = Status::kTimeout;
  }
  --tasks_;
  segment_requested_ = false;
  if (detaching_) co_return;
  if (ok(status)) status = static_cast<Status>(reply.status);
  if (status == Status::kFenced || status == Status::kUnreachable) log_status_.store(status);
  if (!urgent) {
    pool_full_ = status == Status::kNoSpace;
    puts_refused_ = pool_full_ || status == Status::kBusy;
  }
  if (ok(status)) {
    log_->add_segment({reply.args[0], reply.args[1], static_cast<uint32_t>(reply.args[2])});
    deletes_only_ = urgent;
    delete_waits_ = false;
  }
  const bool at_once = delete_waits_ && puts_refused_ && !urgent;
  if (!ok(status) || urgent) segment_retry_ns_ = now_ns_ + (at_once ? 0 : kSegmentRetryNs);
}

/// Reads how far the DPM has merged this log and forgets what is in the index.
Task Worker::run_merge_watch() noexcept {
  ++tasks_;
  const uint64_t record = pool::log_record_offset(attachment_->superblock, attachment_->log_id);
  const MutableBytes to =
      mailbox_.subspan(2 * sizeof(pool::MailboxLine), sizeof(pool::LogRecord) / 2);
  const Status got = co_await read(*fabric_, record + offsetof(pool::LogRecord, merged_lsn), to,
                                   fabric::Purpose::kControl);
  --tasks_;
  merge_watch_running_ = false;
  merge_watch_ns_ = now_ns_ + kMergeWatchNs;
  if (!ok(got) || detaching_) co_return;
  constexpr size_t kLine = offsetof(pool::LogRecord, merged_lsn);
  merged_lsn_ = load<uint64_t>(to.data());
  const uint64_t merged_sequence =
      load<uint64_t>(to.data() + offsetof(pool::LogRecord, merged_sequence) - kLine);
  unmerged_.forget(merged_lsn_ + (planted("forgotten-before-merge") ? 1 : 0));
  log_->note_merged(merged_sequence);
}

}  // namespace dinomo::kn
