// SPDX-License-Identifier: BSD-3-Clause
#include "index/resizer.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "common/planted.h"

namespace dinomo::index {

using pool::IndexRoot;
using pool::TableRef;

namespace {

constexpr uint64_t kSliceHeads = 256;           // some 50 us of a worker
constexpr uint64_t kNoSpaceNs = 1'000'000'000;  // until the pool is asked again
constexpr uint64_t kRetryNs = 10'000'000;
constexpr size_t kRetriesAtOnce = 64;
constexpr uint32_t kBucketsLog2Max = 33;

}  // namespace

Resizer::Resizer(pool::Space& space, IndexWriter& index, OverflowPool& overflow,
                 Reclaimer& reclaimer) noexcept
    : space_(space),
      index_(index),
      overflow_(overflow),
      reclaimer_(reclaimer),
      memory_(index.memory()) {
  if (!index_.next_table()) return;  // else a resize was interrupted
  from_ = index_.table();
  to_ = index_.next_table();
  enter(Phase::kMigrating, from_.buckets());
}

uint64_t Resizer::wanted_buckets(uint64_t items) const noexcept {
  const uint64_t now = index_.table().buckets();
  if (forced_log2_ != 0) return uint64_t{1} << forced_log2_;
  if (items * 2 <= now * 3 && items * 8 >= now) return now;
  const uint64_t least = std::max<uint64_t>(index_.root().buckets_min, 2);
  const uint64_t wanted = std::max(std::bit_ceil(std::max<uint64_t>(items, 1)), least);
  return std::min(wanted, uint64_t{1} << kBucketsLog2Max);
}

bool Resizer::poll(uint64_t items, uint64_t now_ns) {
  if (paused_.load(std::memory_order_relaxed)) return false;
  if (phase_ == Phase::kIdle) {
    const uint64_t buckets = wanted_buckets(items);
    if (buckets == index_.table().buckets() || now_ns < try_again_ns_) return false;
    begin(buckets, now_ns);
    return phase_ != Phase::kIdle;
  }
  if (done_.load(std::memory_order_acquire) != heads_) {
    return cursor_.load(std::memory_order_relaxed) < heads_;
  }
  if (working_.load(std::memory_order_acquire) != 0) return false;
  if (phase_ == Phase::kFormatting) {
    publish();
    return true;
  }
  if (left_.empty()) {
    finish();
  } else {
    retry(now_ns);
  }
  return false;
}

void Resizer::begin(uint64_t buckets, uint64_t now_ns) {
  from_ = index_.table();
  const auto object =
      space_.allocate(pool::ObjectType::kIndexTable, buckets * sizeof(Bucket), nullptr, 0);
  if (!object) {
    ++counters_.no_space;
    try_again_ns_ = now_ns + kNoSpaceNs;
    return;
  }
  forced_log2_ = 0;
  ++counters_.started;
  // Version 0 is left out: a zero header is no bucket of any table.
  const auto version = static_cast<uint16_t>(from_.version() + 1);
  to_ = TableRef(object->offset, static_cast<uint32_t>(std::countr_zero(buckets)),
                 version == 0 ? uint16_t{1} : version);
  enter(Phase::kFormatting, to_.buckets());
}

void Resizer::enter(Phase phase, uint64_t heads) noexcept {
  phase_ = phase;
  heads_ = heads;
  done_.store(0, std::memory_order_relaxed);
  cursor_.store(0, std::memory_order_release);
}

void Resizer::publish() noexcept {
  IndexRoot& root = index_.root();
  put(root.next, to_.word());
  memory_.persist->persist(&root.next, sizeof root.next);
  enter(Phase::kMigrating, from_.buckets());
}

void Resizer::finish() {
  IndexRoot& root = index_.root();
  put(root.current, to_.word());
  memory_.persist->persist(&root.current, sizeof root.current);
  put(root.next, 0);
  memory_.persist->persist(&root.next, sizeof root.next);
  reclaimer_.retire_table(from_.offset_bytes());
  ++counters_.finished;
  phase_ = Phase::kIdle;
}

void Resizer::retry(uint64_t now_ns) noexcept {
  if (now_ns < try_again_ns_) return;
  const size_t count = std::min(left_.size(), kRetriesAtOnce);
  counters_.chains_retried += count;
  std::erase_if(left_, [&, n = size_t{0}](uint64_t head) mutable {
    return n++ < count && ok(migrate(head));
  });
  if (!left_.empty()) {
    std::ranges::rotate(left_,
                        left_.begin() + static_cast<ptrdiff_t>(std::min(count, left_.size() - 1)));
    try_again_ns_ = now_ns + kRetryNs;
  }
}

bool Resizer::work() noexcept {
  if (paused_.load(std::memory_order_relaxed)) return false;
  const uint64_t begin = cursor_.fetch_add(kSliceHeads, std::memory_order_acq_rel);
  if (begin >= heads_) return false;
  const uint64_t end = std::min(heads_, begin + kSliceHeads);
  if (phase_ == Phase::kFormatting) {
    format_heads(memory_.bytes, to_, begin, end, *memory_.persist);
    memory_.persist->drain();
  } else {
    for (uint64_t i = begin; i < end; ++i) {
      if (ok(migrate(i))) continue;
      const std::lock_guard lock(left_mutex_);
      left_.push_back(i);
    }
  }
  done_.fetch_add(end - begin, std::memory_order_release);
  return end < heads_;
}

Status Resizer::migrate(uint64_t head_index) noexcept {
  Bucket* head = memory_.head(from_, head_index);
  const HeadLock lock(head);
  if (!lock.held()) return Status::kBusy;
  if ((get(head->header) & kMigratedBit) != 0) return Status::kOk;
  const Status copied = copy(head);
  if (!ok(copied)) drop_copies(memory_, from_, head_index, to_);
  if (!planted("mark-before-copies-durable")) memory_.persist->drain();
  if (!ok(copied)) return copied;
  std::atomic_ref<uint64_t>(head->header).fetch_or(kMigratedBit, std::memory_order_release);
  // Whoever uses the next table for this chain may rely on the mark: durable before the lock goes.
  if (!planted("mark-not-flushed")) {
    memory_.persist->persist(&head->header, sizeof head->header);
  }
  return walk_chain(memory_, head, [&](Bucket* bucket, Bucket* previous) {
    if (previous != nullptr) {
      overflow_.retire(
          static_cast<uint64_t>(reinterpret_cast<std::byte*>(bucket) - memory_.bytes.data()));
    }
    return false;
  });
}

Status Resizer::copy(Bucket* head) noexcept {
  Status status = Status::kOk;
  const Status walked = walk_chain(memory_, head, [&](Bucket* bucket, Bucket*) {
    for (Slot& slot : bucket->slots) {
      const uint64_t hash = get(slot.hash);
      if (hash == 0) continue;
      Bucket* target = memory_.head_of(to_, hash);
      const HeadLock lock(target);
      status = lock.held() ? Status::kOk : Status::kBusy;
      if (!ok(status)) return true;
      Place place;
      status = walk_chain(memory_, target, [&](Bucket* b, Bucket*) {
        place.note(b);
        return place.empty != nullptr;
      });
      if (!ok(status)) return true;
      const uint64_t address = get(slot.address);
      if (place.empty == nullptr) {
        status = add_slot(memory_, place,
                          chain_header(to_.version(), bucket_index(hash, to_.buckets_log2())),
                          {hash, address});
        if (!ok(status)) return true;
        continue;
      }
      // Nobody looks here before the mark, so the two words need no order among themselves.
      put(place.empty->address, address);
      put(place.empty->hash, hash);
      memory_.persist->flush(place.empty, sizeof(Slot));
    }
    return false;
  });
  return ok(status) ? walked : status;
}

void drop_copies(const Memory& memory, TableRef from, uint64_t head_index, TableRef to) noexcept {
  const HeadRange heads = heads_over(from, head_index, to);
  for (uint64_t n = heads.begin; n < heads.end; ++n) {
    Bucket* head = memory.head(to, n);
    const HeadLock lock(head);
    if (!lock.held()) continue;
    // A damaged chain is cut by recovery; what can be reached is cleared.
    static_cast<void>(walk_chain(memory, head, [&](Bucket* bucket, Bucket*) {
      for (Slot& slot : bucket->slots) {
        const uint64_t hash = get(slot.hash);
        if (hash != 0 && bucket_index(hash, from.buckets_log2()) == head_index) {
          memory.set(slot.hash, 0);
        }
      }
      return false;
    }));
  }
}

}  // namespace dinomo::index
