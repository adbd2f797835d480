// SPDX-License-Identifier: BSD-3-Clause
// Reads that need the pool: through a shortcut (1 round trip), from the unmerged entries (1), or by
// the index (2: bucket and entry; 1 if the key is absent).
#include <algorithm>

#include "common/planted.h"
#include "kn/awaiters.h"
#include "kn/worker.h"

namespace dinomo::kn {

using fabric::Purpose;

namespace {
constexpr uint64_t kRootFreshNs = 1'000'000;  // while a resize is under way the root is read again

/// The KnRecord of a member, where it lies in the ring; empty if the ring does not know the KN.
Bytes record_of(const ring::Ring& ring, uint16_t kn_slot) noexcept {
  const auto found = std::ranges::find(ring.kns, kn_slot, &wire::KnRecord::kn_slot);
  return found != ring.kns.end() ? object_bytes(*found) : Bytes();
}

}  // namespace

Worker::Fetch* Worker::find_fetch(uint64_t hash, Bytes key) noexcept {
  for (Fetch* f = fetch_buckets_[hash % kFetchBuckets]; f != nullptr; f = f->next) {
    if (f->hash == hash && !f->stale && equal(f->key_view(), key)) return f;
  }
  return nullptr;
}

Worker::Fetch* Worker::new_fetch(uint64_t hash, uint64_t cache_hash, Bytes key) noexcept {
  Fetch* f = free_fetches_;
  if (f == nullptr) return nullptr;
  free_fetches_ = f->next;
  f->hash = hash;
  f->cache_hash = cache_hash;
  std::ranges::copy(key, f->key.begin());
  f->key_bytes = static_cast<uint8_t>(key.size());
  f->stale = f->kept = false;
  f->routing = 0;
  f->outcome = Outcome::kFailed;
  f->from = LatencyClass::kGetMiss;
  f->round_trips = 0;
  f->waiters = nullptr;
  f->parent = {};
  f->next = fetch_buckets_[hash % kFetchBuckets];
  fetch_buckets_[hash % kFetchBuckets] = f;
  ++fetches_live_;
  return f;
}

void Worker::free_fetch(Fetch* fetch) noexcept {
  Fetch** link = &fetch_buckets_[fetch->hash % kFetchBuckets];
  while (*link != fetch) link = &(*link)->next;
  *link = fetch->next;
  fetch->next = free_fetches_;
  free_fetches_ = fetch;
  --fetches_live_;
}

void Worker::mark_stale(uint64_t hash) noexcept {
  if (fetches_live_ == 0) return;
  for (Fetch* f = fetch_buckets_[hash % kFetchBuckets]; f != nullptr; f = f->next) {
    if (f->hash == hash) f->stale = true;
  }
}

/// Answers the GET through a fetch, a new one or one under way. False if something has run out:
/// nothing was started.
bool Worker::fetch_for(const Request& r, pool::GlobalAddress shortcut) noexcept {
  Waiter* waiter = free_waiters_;
  if (waiter == nullptr) return false;
  Fetch* fetch = find_fetch(r.hash, r.operation.key);
  const bool join = fetch != nullptr;
  if (!join) fetch = new_fetch(r.hash, r.cache_hash, r.operation.key);
  if (fetch == nullptr) return false;
  fetch->routing = r.routing;
  free_waiters_ = waiter->next;
  waiter->to = reply_to(r);
  waiter->next = fetch->waiters;
  fetch->waiters = waiter;
  if (join) {
    stats_.joined.add();
    return true;
  }
  const Task task = run_fetch(fetch, shortcut);
  if (task.started) return true;
  fetch->waiters = nullptr;
  waiter->next = free_waiters_;
  free_waiters_ = waiter;
  free_fetch(fetch);
  return false;
}

/// Judges the entry that was read from `address` into the fetch's buffer. True if it is the key's;
/// then outcome and entry are set. *retry: the bytes there are no valid entry of that generation
/// any more (the segment was reclaimed), so the address is out of date.
bool Worker::accept_entry(Fetch* f, pool::GlobalAddress address, bool* retry) noexcept {
  const Bytes bytes = f->buffer.first(address.length_bytes());
  if (log::parse_entry_low8(bytes, address.generation(), &f->entry) != log::EntryCheck::kValid) {
    *retry = true;
    return false;
  }
  if (!equal(f->entry.key, f->key_view())) return false;
  f->address = address;
  const bool live =
      static_cast<log::Op>(f->entry.header.op) == log::Op::kPut && !f->entry.expired(unix_ms_);
  f->outcome = live ? Outcome::kFound : Outcome::kAbsent;
  return true;
}

Task Worker::run_fetch(Fetch* f, pool::GlobalAddress shortcut) noexcept {
  fabric::Queue& queue = *fabric_;
  if (shortcut) {
    const Status got = co_await read(queue, shortcut.offset_bytes(),
                                     f->buffer.first(shortcut.length_bytes()), Purpose::kValue);
    f->round_trips = 1;
    bool retry = false;
    if (ok(got) && accept_entry(f, shortcut, &retry)) {
      stats_.shortcut_hits.add();
      stats_.shortcut_rts.add();
      f->from = LatencyClass::kGetShortcut;
      co_return finish_fetch(f, true);
    }
    stats_.stale_shortcuts.add();
    dac_->drop_shortcut(f->cache_hash, shortcut);
  }
  bool in_next = false;  // look into the table that a resize fills
  for (uint32_t attempt = 0; attempt < kFetchAttemptsMax && !detaching_; ++attempt) {
    if (attempt != 0) stats_.index_retries.add();
    auto candidate = unmerged_.newest(f->hash);
    while (candidate && !planted("unmerged-not-read")) {
      const pool::GlobalAddress at = candidate.address;
      const Status got = co_await read(queue, at.offset_bytes(), f->buffer.first(at.length_bytes()),
                                       Purpose::kValue);
      ++f->round_trips;
      if (!ok(got)) co_return fail_fetch(f, got);
      bool gone = false;  // merged, and moved or reclaimed since
      if (accept_entry(f, at, &gone)) {
        stats_.unmerged_hits.add();
        stats_.unmerged_rts.add(f->round_trips);
        f->from = LatencyClass::kGetUnmerged;
        co_return finish_fetch(f, false);
      }
      // Older entries of the key may still lie where they were: the index knows the newest.
      if (gone) break;
      candidate = unmerged_.older(candidate);
    }
    const pool::TableRef table = in_next ? next_table_ : table_;
    const uint64_t head = index::bucket_index(f->hash, table.buckets_log2());
    uint64_t bucket_offset = table.offset_bytes() + head * sizeof(index::Bucket);
    bool retry = false;
    for (uint32_t hop = 0; hop < index::kChainBucketsMax && bucket_offset != 0; ++hop) {
      const Status got = co_await read(queue, bucket_offset, f->bucket, Purpose::kIndex);
      ++f->round_trips;
      if (!ok(got)) co_return fail_fetch(f, got);
      // The chain has moved to the table that a resize fills, or that replaced this one.
      if (!index::serves_chain(load<index::Bucket>(f->bucket.data()).header, table.version(),
                               head)) {
        retry = true;
        if (!in_next && next_table_ && now_ns_ - root_read_ns_ < kRootFreshNs) {
          in_next = true;
          break;
        }
        const uint64_t root_at = attachment_->superblock.index_root_offset;
        const Status again = co_await read(queue, root_at, f->bucket, Purpose::kIndex);
        ++f->round_trips;
        if (ok(again)) in_next = adopt_root(load<pool::IndexRoot>(f->bucket.data()), table);
        break;
      }
      for (uint32_t s = 0; s < index::kSlotsPerBucket; ++s) {
        const index::Slot slot = load<index::Bucket>(f->bucket.data()).slots[s];
        const pool::GlobalAddress at(slot.address);
        if (slot.hash != f->hash || !at || at.is_indirect()) continue;
        const Status entry = co_await read(queue, at.offset_bytes(),
                                           f->buffer.first(at.length_bytes()), Purpose::kValue);
        ++f->round_trips;
        if (!ok(entry)) co_return fail_fetch(f, entry);
        if (accept_entry(f, at, &retry)) {
          stats_.misses.add();
          stats_.miss_rts.add(f->round_trips);
          co_return finish_fetch(f, false);
        }
      }
      bucket_offset = load<index::Bucket>(f->bucket.data()).next;
    }
    if (retry) continue;
    f->outcome = Outcome::kAbsent;
    f->from = LatencyClass::kGetAbsent;
    stats_.absent.add();
    stats_.absent_rts.add(f->round_trips);
    co_return finish_fetch(f, false);
  }
  fail_fetch(f, detaching_ ? Status::kUnreachable : Status::kInternal);
}

/// True: what `table` does not hold any more is in the table that a resize fills.
bool Worker::adopt_root(const pool::IndexRoot& root, pool::TableRef table) noexcept {
  table_ = pool::TableRef(root.current);
  next_table_ = pool::TableRef(root.next);
  root_read_ns_ = now_ns_;
  // The root may have been read before and after a swap: then it names one table twice.
  return root.current == table.word() && root.next != 0 && root.next != root.current;
}

void Worker::fail_fetch(Fetch* f, Status status) noexcept {
  f->outcome = Outcome::kFailed;
  f->status = status;
  stats_.fetch_errors.add();
  finish_fetch(f, false);
}

/// A lookup that could not be carried out says nothing about the key.
void Worker::reply_failed(const ReplyTo& to, Status status) noexcept {
  if (status == Status::kInternal) {
    replies_.add(to, wire::Status::kInternal);
    return;
  }
  wire::HintExtras hint{};
  hint.retry_us = 10'000;
  hint.kn_slot = pool::kNoOwner;
  replies_.add(to, wire::Status::kBusy, object_bytes(hint));
}

/// The owner of the partition, if this worker has a ring still.
void Worker::reply_elsewhere(const ReplyTo& to, uint64_t routing) noexcept {
  wire::HintExtras hint{};
  hint.kn_slot = ring_ != nullptr ? ring_->owner_of(routing) : pool::kNoOwner;
  hint.worker = static_cast<uint16_t>(worker_of(routing, config_.workers));
  // A client of the native protocol has the addresses from RING; a front end has nobody to ask.
  const bool tells = to.front_end != nullptr && ring_ != nullptr;
  const Bytes where = tells ? record_of(*ring_, hint.kn_slot) : Bytes();
  replies_.add(to, wire::Status::kWrongOwner, object_bytes(hint), where);
}

/// Fills the cache if nothing newer became durable meanwhile, answers who waited, frees the fetch.
void Worker::finish_fetch(Fetch* f, bool by_shortcut) noexcept {
  const cache::ItemMeta meta = meta_of(*f);
  if (f->waiters != nullptr && !is_shown(*f)) {
    f->outcome = Outcome::kFailed;
    f->status = Status::kBusy;
  }
  if (f->outcome == Outcome::kFound && !f->stale && serving()) {
    if (by_shortcut) {
      dac_->fill_shortcut_hit(f->cache_hash, f->key_view(), f->entry.value, meta, f->address);
    } else {
      dac_->fill_miss(f->cache_hash, f->key_view(), f->entry.value, meta, f->address,
                      f->round_trips);
    }
  } else if (f->outcome == Outcome::kAbsent && by_shortcut && !f->stale) {
    dac_->remove(f->cache_hash, f->key_view());  // expired
  }
  while (f->waiters != nullptr) {
    Waiter* w = f->waiters;
    f->waiters = w->next;
    if (f->outcome != Outcome::kFailed) note_answered(f->from, w->to.received_ns, f->hash);
    switch (f->outcome) {
      case Outcome::kFound: reply_value(w->to, f->entry.value, meta); break;
      case Outcome::kAbsent: replies_.add(w->to, wire::Status::kNotFound); break;
      case Outcome::kFailed: reply_failed(w->to, f->status); break;
      case Outcome::kElsewhere: reply_elsewhere(w->to, f->routing); break;
    }
    w->next = free_waiters_;
    free_waiters_ = w;
  }
  const bool kept = f->kept;
  if (f->parent) f->parent.resume();
  if (!kept) free_fetch(f);
}

}  // namespace dinomo::kn
