// SPDX-License-Identifier: BSD-3-Clause
// Writes: appended to the log, committed as a group, answered when durable. And what keeps the log
// going: segments from the DPM, and following its merge.
#include <cassert>

#include "kn/awaiters.h"
#include "kn/worker.h"
#include "pool/mailbox.h"
#include "pool/superblock.h"

namespace dinomo::kn {

namespace {

constexpr uint64_t kMailboxPollNs = 20'000;  // between looks at a reply
constexpr uint64_t kMailboxPatienceNs = 2'000'000'000;
constexpr uint64_t kSegmentRetryNs = 1'000'000;  // after a refusal
constexpr uint32_t kNoPlaceRetryUs = 100'000;    // of a new session
constexpr uint64_t kMergeWatchNs = 1'000'000;    // between looks at the merge's progress

}  // namespace

bool Worker::can_append() const noexcept {
  const uint64_t pending = pending_tail_ - pending_head_;
  return pending < kPendingMax &&
         unmerged_.size() + pending < (uint64_t{1} << config_.unmerged_log2);
}

bool Worker::locked(uint64_t hash) const noexcept {
  for (uint32_t i = 0; i < locked_count_; ++i) {
    if (locked_[i] == hash) return true;
  }
  return false;
}

void Worker::unlock(uint64_t hash) noexcept {
  for (uint32_t i = 0; i < locked_count_; ++i) {
    if (locked_[i] != hash) continue;
    locked_[i] = locked_[--locked_count_];
    return;
  }
}

void Worker::serve_put(Request& r) noexcept {
  const auto put = r.message.extras_as<wire::PutExtras>();
  if (!put || r.message.value.size() > pool::kValueBytesMax || r.message.header.sequence == 0) {
    stats_.refused_bad.add();
    refuse(r, put && r.message.header.sequence != 0 ? wire::Status::kTooLarge
                                                    : wire::Status::kBadRequest);
    return;
  }
  const MutationClaim claim = sessions_.claim(r.session, r.message.header.sequence);
  if (claim.kind != MutationClaim::Kind::kNew) {
    answer_duplicate(r, claim);
    return;
  }
  const Status appended = locked_count_ != 0 && locked(r.hash)
                              ? Status::kNoResource
                              : append(log::Op::kPut, r, claim.cell);
  if (ok(appended)) {
    stats_.puts.add();
    return;
  }
  sessions_.forget(claim.cell, r.session, r.message.header.sequence);
  if (pool_full_) {
    refuse(r, wire::Status::kNoSpace);
  } else {
    defer(r);
  }
}

Status Worker::append(log::Op op, const Request& r, uint32_t session_cell) noexcept {
  if (!can_append()) return Status::kNoResource;
  const auto put = r.message.extras_as<wire::PutExtras>().value_or(wire::PutExtras{});
  log::EntryFields fields;
  fields.op = op;
  fields.item_flags = put.item_flags;
  fields.session = r.session;
  fields.sequence = r.message.header.sequence | static_cast<uint64_t>(r.message.header.opcode)
                                                    << 56;
  fields.expiry_ms = put.ttl_ms != 0 ? unix_ms_ + put.ttl_ms : 0;
  const auto appended = log_->append(fields, r.message.key, r.message.value);
  if (!appended) return appended.error();
  push_pending(*appended, r.hash, reply_to(r), session_cell, false);
  unmerged_.prefetch_add(r.hash);  // for settle(), after the commit
  return Status::kOk;
}

void Worker::push_pending(const log::LogWriter::Appended& appended, uint64_t hash,
                          const ReplyTo& to, uint32_t session_cell, bool holds_key) noexcept {
  assert(pending_tail_ - pending_head_ < kPendingMax);
  pending_[pending_tail_++ % kPendingMax] =
      Pending{appended.lsn, hash, appended.address, appended.entry, to, session_cell, holds_key};
}

/// Makes visible and answers what has become durable.
void Worker::settle_durable() noexcept {
  if (!log_) return;
  const uint64_t durable = log_->durable_lsn();
  if (pending_head_ != pending_tail_ && lease_valid_) {
    // Asked again here: the turn may have been long.
    lease_valid_ = clock_->now_ns() < shared_->lease_deadline_ns.load(std::memory_order_relaxed);
  }
  while (pending_head_ != pending_tail_ && pending_[pending_head_ % kPendingMax].lsn <= durable) {
    settle(pending_[pending_head_++ % kPendingMax]);
  }
  log_->release_durable();
  while (lsn_waiters_ != nullptr && lsn_waiters_->lsn <= durable) {
    LsnWaiter* w = lsn_waiters_;
    lsn_waiters_ = w->next;
    if (lsn_waiters_ == nullptr) lsn_waiters_end_ = &lsn_waiters_;
    w->handle.resume();
  }
}

void Worker::settle(const Pending& p) noexcept {
  const auto h = load<log::EntryHeader>(p.entry);
  const Bytes key(p.entry + sizeof h, h.key_bytes);
  const bool tombstone = static_cast<log::Op>(h.op) == log::Op::kDelete;
  unmerged_.add(p.hash, p.lsn, p.address, tombstone);
  mark_stale(p.hash);
  const uint64_t version = log::item_version(h.log_id, h.lsn);
  if (tombstone) {
    dac_->remove(p.hash, key);
  } else {
    const Bytes value(key.data() + key.size(), h.value_bytes);
    dac_->update(p.hash, key, value, {version, h.expiry_ms, h.item_flags}, p.address);
  }
  if (p.holds_key) unlock(p.hash);
  sessions_.finish(p.session_cell, p.to.session, p.to.sequence, wire::Status::kOk, p.lsn);
  // Without a lease nothing is acknowledged; the write stands, and its retry will be told so.
  if (!lease_valid_) return;
  const wire::VersionExtras extras{version};
  replies_.add(p.to, wire::Status::kOk, object_bytes(extras));
}

/// What the first execution answered, if that is known by now; or why nobody can tell.
void Worker::answer_duplicate(const Request& r, const MutationClaim& claim) noexcept {
  switch (claim.kind) {
    case MutationClaim::Kind::kLost: return refuse(r, wire::Status::kSessionLost);
    case MutationClaim::Kind::kTooOld: return refuse(r, wire::Status::kTooOld);
    case MutationClaim::Kind::kFull:
      stats_.refused_busy.add();
      return refuse(r, wire::Status::kBusy, kNoPlaceRetryUs);
    default: break;
  }
  stats_.duplicates.add();
  if (claim.kind != MutationClaim::Kind::kDone) return;
  const MutationCell& cell = sessions_.cell(claim.cell);
  if (cell.status() != wire::Status::kOk) {
    replies_.add(reply_to(r), cell.status());
    return;
  }
  const wire::VersionExtras version{log::item_version(attachment_->log_id, cell.lsn())};
  replies_.add(reply_to(r), wire::Status::kOk, object_bytes(version));
}

void Worker::serve_delete(Request& r) noexcept {
  if (r.message.header.sequence == 0 || !r.message.value.empty()) {
    stats_.refused_bad.add();
    refuse(r, wire::Status::kBadRequest);
    return;
  }
  const MutationClaim claim = sessions_.claim(r.session, r.message.header.sequence);
  if (claim.kind != MutationClaim::Kind::kNew) {
    answer_duplicate(r, claim);
    return;
  }
  if (locked_count_ < kLockedMax && !locked(r.hash)) {
    locked_[locked_count_++] = r.hash;
    KeyCopy key;
    std::ranges::copy(r.message.key, key.bytes.begin());
    key.size = static_cast<uint8_t>(r.message.key.size());
    ++tasks_;
    const Task task = run_delete(reply_to(r), r.hash, claim.cell, key);
    if (task.started) {
      stats_.deletes.add();
      return;
    }
    --tasks_;
    unlock(r.hash);
  }
  sessions_.forget(claim.cell, r.session, r.message.header.sequence);
  defer(r);
}

/// Decides under the key's order: every earlier write is durable before the key is looked up, and
/// the key is held until the tombstone is durable.
Task Worker::run_delete(ReplyTo to, uint64_t hash, uint32_t session_cell, KeyCopy key) noexcept {
  const uint64_t deadline_ns = now_ns_ + uint64_t{config_.write_wait_us} * 1000;
  Outcome outcome = Outcome::kFailed;
  const bool durable = co_await DurableAwaiter(*this, log_->last_lsn());
  if (durable) {
    outcome = co_await LookupAwaiter(*this, hash, key.view());
  }
  while (outcome == Outcome::kFound) {
    Result<log::LogWriter::Appended> appended = std::unexpected(Status::kNoResource);
    if (can_append()) {
      log::EntryFields fields;
      fields.op = log::Op::kDelete;
      fields.session = to.session;
      fields.sequence = to.sequence | static_cast<uint64_t>(to.opcode) << 56;
      appended = log_->append(fields, key.view(), {});
    }
    if (appended) {
      push_pending(*appended, hash, to, session_cell, true);
      --tasks_;
      co_return;
    }
    co_await delays_.until(now_ns_ + 1);
    if (detaching_ || now_ns_ >= deadline_ns) outcome = Outcome::kFailed;
  }
  --tasks_;
  unlock(hash);
  if (outcome == Outcome::kAbsent) {
    sessions_.finish(session_cell, to.session, to.sequence, wire::Status::kNotFound, 0);
    replies_.add(to, wire::Status::kNotFound);
    co_return;
  }
  sessions_.forget(session_cell, to.session, to.sequence);
  wire::HintExtras hint{};
  hint.retry_us = 1000;
  stats_.refused_busy.add();
  replies_.add(to, wire::Status::kBusy, object_bytes(hint));
}

/// Asks the DPM for a segment. One at a time.
Task Worker::run_segment_request() noexcept {
  ++tasks_;
  const pool::Superblock& s = attachment_->superblock;
  const uint64_t cell = pool::mailbox_offset(s, attachment_->kn_slot, config_.worker, 0);
  const uint64_t sequence = (uint64_t{attachment_->incarnation} << 32) | ++mailbox_sequence_;
  const MutableBytes line = mailbox_.first(sizeof(pool::MailboxLine));
  const MutableBytes answer =
      mailbox_.subspan(sizeof(pool::MailboxLine), sizeof(pool::MailboxLine));
  // A full pool keeps segments back for deletes: ask for those only once puts were refused.
  store(line.data(),
        pool::make_request(sequence, attachment_->incarnation, pool::MailboxOpcode::kSegmentGrant,
                           {pool_full_, 0, 0, 0, 0}));
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
  if (ok(status)) {
    log_->add_segment({reply.args[0], reply.args[1], static_cast<uint32_t>(reply.args[2])});
    co_return;
  }
  if (status == Status::kFenced || status == Status::kUnreachable) log_status_.store(status);
  pool_full_ = status == Status::kNoSpace;
  segment_retry_ns_ = now_ns_ + kSegmentRetryNs;
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
  const uint64_t merged_lsn = load<uint64_t>(to.data());
  const uint64_t merged_sequence =
      load<uint64_t>(to.data() + offsetof(pool::LogRecord, merged_sequence) - kLine);
  unmerged_.forget(merged_lsn);
  log_->note_merged(merged_sequence);
}

}  // namespace dinomo::kn
