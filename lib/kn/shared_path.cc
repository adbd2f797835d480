// SPDX-License-Identifier: BSD-3-Clause
// Replicated keys: reads through their cells, and cells that follow the writes. The protocol is in
// shared_keys.h.
#include <algorithm>

#include "common/planted.h"
#include "kn/awaiters.h"
#include "kn/worker.h"
#include "pool/cells.h"
#include "pool/sessions.h"

namespace dinomo::kn {

using fabric::Purpose;

namespace {

constexpr uint32_t kCellLooksMax = 3;
// A cell that fell behind (its entry moved in the very moment it was taken over) costs readers a
// detour, not their answer; the writer looks again so often.
constexpr uint64_t kTakeAgainNs = 1'000'000'000;

}  // namespace

/// The writer's gate: false if the request waits until the cell says what its answer would show.
bool Worker::may_show(Request& r, SharedKey* key) noexcept {
  // Once a write to the cell is begun others may see it, also if it is said to have failed, and
  // until what was committed before it, of other keys, can be shown, too.
  const bool shown = key->cell_lsn <= shown_lsn_;
  const bool quiet = pending_of(r.hash) == 0 && shown && !key->writing;
  if (key->state == SharedKey::State::kShown && quiet && now_ns_ - key->shown_ns >= kTakeAgainNs) {
    key->state = SharedKey::State::kUnknown;
  }
  if (key->state == SharedKey::State::kShown || planted("cell-not-taken-over")) {
    const bool wait = r.operation.opcode == wire::Opcode::kGet && !shown;
    if (!wait || planted("read-while-cell-is-written")) return true;
  } else if (key->state == SharedKey::State::kUnknown && quiet) {
    take_over(r, key);
  }
  defer(r);
  return false;
}

/// What writes a cell is under way: the partition is not given to another KN before its end.
void Worker::begin_cell_task(uint64_t routing) noexcept {
  ++tasks_;
  ++partition(routing).busy;
}

void Worker::end_cell_task(uint64_t routing) noexcept {
  --tasks_;
  --partition(routing).busy;
}

/// Begins to write what the pool has of the key into its cell. Nothing happens if there is no room:
/// the request that waits asks again.
void Worker::take_over(const Request& r, SharedKey* key) noexcept {
  if (!locks_.take(r.hash)) return;
  Fetch* const fetch = new_fetch(r.hash, r.cache_hash, r.operation.key);
  if (fetch != nullptr) {
    fetch->routing = r.routing;
    key->state = SharedKey::State::kTaking;
    begin_cell_task(r.routing);
    const Task task = run_take_over(fetch, key->cell);
    if (task.started) return;
    end_cell_task(r.routing);
    key->state = SharedKey::State::kUnknown;
    free_fetch(fetch);
  }
  locks_.give(r.hash);
}

Task Worker::run_take_over(Fetch* f, pool::GlobalAddress cell) noexcept {
  const uint64_t routing = f->routing;
  const uint64_t hash = f->hash;
  const MutableBytes word = f->bucket.first(sizeof(uint64_t));
  // The index, not the cache, which may know an older place.
  co_await FetchAwaiter(*this, f);
  Status status = f->outcome == Outcome::kFailed ? Status::kBusy : Status::kOk;
  if (ok(status) && !detaching_) {
    store(word.data(), f->outcome == Outcome::kFound ? f->address.word() : uint64_t{0});
    status = co_await write(*fabric_, cell.offset_bytes(), word, {}, Purpose::kCell);
  }
  free_fetch(f);
  end_cell_task(routing);
  if (detaching_) co_return;
  locks_.give(hash);
  SharedKey* const key = shared_keys_.find(routing);
  // Under another ring it has to be done again.
  if (key == nullptr || key->cell != cell || key->state != SharedKey::State::kTaking) co_return;
  key->state = ok(status) ? SharedKey::State::kShown : SharedKey::State::kUnknown;
  if (!ok(status)) co_return;
  stats_.cells_taken.add();
  key->shown_ns = now_ns_;
}

/// Has the cells written of what became durable up to `durable`. Returns up to where all is in them
/// by now. Between two writes of a cell lies a turn, in which reads come to their right.
uint64_t Worker::show_up_to(uint64_t durable) noexcept {
  for (; show_head_ != pending_tail_; ++show_head_) {
    const Pending& p = pending_[show_head_ % kPendingMax];
    if (p.lsn > durable) break;
    SharedKey* const key = shared_keys_.find(p.routing);
    // Also what was begun under a ring by which this worker was the writer.
    if (key == nullptr || !p.changes || planted("cell-not-written")) continue;
    if (key->writing || key->shown_turn == stats_.turns.get() + 1) break;
    if (key->unshown_lsn == 0) key->unshown_lsn = p.lsn;
    key->cell_lsn = p.lsn;
    key->target = p.removes ? pool::GlobalAddress() : p.address;
  }
  uint64_t shown = show_head_ == pending_tail_
                       ? durable
                       : std::min(durable, pending_[show_head_ % kPendingMax].lsn - 1);
  for (SharedKey& key : shared_keys_.all()) {
    if (key.unshown_lsn == 0) continue;
    if (!key.writing && !detaching_) write_cell(&key);
    if (!planted("shown-before-cell")) shown = std::min(shown, key.unshown_lsn - 1);
  }
  return shown;
}

void Worker::write_cell(SharedKey* key) noexcept {
  Fetch* const buffers = new_fetch(key->routing_hash, 0, {});
  if (buffers == nullptr) return;  // next turn
  buffers->stale = true;           // of no key
  key->writing = true;
  begin_cell_task(key->routing_hash);
  const Task task = run_write_cell(buffers, key->routing_hash, key->cell, key->target);
  if (task.started) return;
  end_cell_task(key->routing_hash);
  key->writing = false;
  free_fetch(buffers);
}

Task Worker::run_write_cell(Fetch* buffers, uint64_t routing, pool::GlobalAddress cell,
                            pool::GlobalAddress target) noexcept {
  const MutableBytes word = buffers->bucket.first(sizeof(uint64_t));
  store(word.data(), target.word());
  const Status status = co_await write(*fabric_, cell.offset_bytes(), word, {}, Purpose::kCell);
  free_fetch(buffers);
  end_cell_task(routing);
  stats_.cell_writes.add();
  if (status == Status::kFenced || status == Status::kUnreachable) log_status_.store(status);
  SharedKey* const key = shared_keys_.find(routing);
  if (key == nullptr || key->cell != cell) co_return;
  key->writing = false;
  if (!ok(status)) co_return;  // written again
  key->unshown_lsn = 0;
  key->state = SharedKey::State::kShown;
  key->shown_turn = stats_.turns.get() + 1;
  key->shown_ns = now_ns_;
}

/// A GET of a key that this KN may read, though another one owns its partition.
void Worker::serve_shared_read(Request& r, const SharedKey& key) noexcept {
  if (planted("value-of-shared-key-cached")) {
    const cache::Found found = dac_->find(r.cache_hash, r.operation.key);
    if (found.kind == cache::Found::Kind::kValue) {
      return reply_value(reply_to(r), found.value, found.meta);
    }
  }
  Waiter* const waiter = free_waiters_;
  Fetch* fetch = waiter != nullptr ? find_fetch(r.hash, r.operation.key) : nullptr;
  const bool join = fetch != nullptr;
  if (waiter != nullptr && !join) fetch = new_fetch(r.hash, r.cache_hash, r.operation.key);
  if (fetch == nullptr) return defer(r);
  free_waiters_ = waiter->next;
  waiter->to = reply_to(r);
  waiter->next = fetch->waiters;
  fetch->waiters = waiter;
  stats_.gets.add();
  if (join) return stats_.joined.add();
  fetch->routing = r.routing;
  const Task task = run_shared_fetch(fetch, key.cell);
  if (task.started) return;
  fetch->waiters = nullptr;
  waiter->next = free_waiters_;
  free_waiters_ = waiter;
  free_fetch(fetch);
  defer(r);
}

/// Whether an item has expired is judged by one clock, the writer's: by another one it could be
/// there again after it was found absent.
bool Worker::may_expire_soon(const log::EntryHeader& h) const noexcept {
  return h.expiry_ms != 0 && h.expiry_ms <= unix_ms_ + pool::kClockSlackMs;
}

/// Whoever comes in this turn joins; later ones may know more than the cell said by then.
Task Worker::run_shared_fetch(Fetch* f, pool::GlobalAddress cell) noexcept {
  fabric::Queue& queue = *fabric_;
  co_await delays_.until(now_ns_);
  f->stale = !planted("value-of-shared-key-cached");
  for (uint32_t look = 0; look < kCellLooksMax && !detaching_; ++look) {
    const Status got = co_await read(queue, cell.offset_bytes(), f->bucket, Purpose::kCell);
    ++f->round_trips;
    if (!ok(got)) co_return fail_fetch(f, got);
    const auto found = load<pool::IndirectionCell>(f->bucket.data());
    const pool::GlobalAddress at(found.address);
    const bool usable = at && !at.is_indirect() && at.length_bytes() != 0;
    const bool believed =
        pool::is_cell_of(found, cell, f->hash) || planted("removed-cell-believed");
    if (!usable || !believed) break;
    const Status entry = co_await read(queue, at.offset_bytes(), f->buffer.first(at.length_bytes()),
                                       Purpose::kValue);
    ++f->round_trips;
    if (!ok(entry)) co_return fail_fetch(f, entry);
    bool gone = false;  // moved or reclaimed since: the cell may say something else by now
    if (accept_entry(f, at, &gone)) {
      if (may_expire_soon(f->entry.header)) break;
      stats_.shared_reads.add();
      stats_.shared_rts.add(f->round_trips);
      f->from = LatencyClass::kGetShared;
      co_return finish_fetch(f, false);
    }
    if (!gone) break;
  }
  f->outcome = Outcome::kElsewhere;
  stats_.shared_elsewhere.add();
  finish_fetch(f, false);
}

/// Whether what a fetch found may be told: not if it is of a mutation that was not shown yet.
bool Worker::is_shown(const Fetch& f) noexcept {
  if (shared_keys_.empty() || f.outcome == Outcome::kElsewhere) return true;
  const SharedKey* const key = shared_keys_.find(f.routing);
  if (key == nullptr || pending_of(f.hash) == 0) return true;
  if (f.outcome != Outcome::kFound) return false;
  const log::EntryHeader& h = f.entry.header;
  return h.log_id != attachment_->log_id || h.lsn <= shown_lsn_;
}

}  // namespace dinomo::kn
