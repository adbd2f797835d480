// SPDX-License-Identifier: BSD-3-Clause
#include "index/chain.h"

#include <sched.h>

#include <algorithm>

#include "common/planted.h"

namespace dinomo::index {

namespace {
constexpr uint32_t kSpinsPerYield = 64;
constexpr uint32_t kYieldsMax = 1u << 20;  // seconds: a holder was descheduled or died
}  // namespace

HeadLock::HeadLock(Bucket* head) noexcept {
  const std::atomic_ref<uint64_t> header(head->header);
  for (uint32_t yields = 0; yields < kYieldsMax; ++yields) {
    for (uint32_t spins = 0; spins < kSpinsPerYield; ++spins) {
      if ((header.load(std::memory_order_relaxed) & kLockBit) == 0 &&
          (header.fetch_or(kLockBit, std::memory_order_acquire) & kLockBit) == 0) {
        head_ = head;
        return;
      }
      __builtin_ia32_pause();
    }
    sched_yield();
  }
}

void HeadLock::release() noexcept {
  if (head_ == nullptr) return;
  std::atomic_ref<uint64_t>(head_->header).fetch_and(~kLockBit, std::memory_order_release);
  head_ = nullptr;
}

namespace {

Status append_bucket(const Memory& memory, Bucket* last, uint64_t header, Slot slot) noexcept {
  const auto offset = memory.overflow->allocate();
  if (!offset) return offset.error();
  Bucket* bucket = memory.bucket_at(*offset);
  // A remote reader may still hold an old link to here, so even this goes word by word, and the
  // header first: from then on it is no bucket of the old chain.
  put(bucket->header, header);
  for (Slot& s : bucket->slots) put(s.hash, 0);
  for (Slot& s : bucket->slots) put(s.address, 0);
  put(bucket->next, 0);
  put(bucket->slots[0].address, slot.address);
  put(bucket->slots[0].hash, slot.hash);
  if (!planted("overflow-linked-before-complete")) {
    memory.persist->persist(bucket, sizeof(Bucket));
  }
  memory.set(last->next, *offset);
  return Status::kOk;
}

}  // namespace

Status add_slot(const Memory& memory, const Place& place, uint64_t header, Slot slot) noexcept {
  if (place.empty == nullptr) {
    if (place.buckets >= kChainBucketsMax) return Status::kNoSpace;
    return append_bucket(memory, place.last, header, slot);
  }
  if (planted("hash-before-address")) {
    memory.set(place.empty->hash, slot.hash);
    memory.persist->drain();
  }
  put(place.empty->address, slot.address);
  memory.persist->persist(&place.empty->address, sizeof slot.address);
  memory.set(place.empty->hash, slot.hash);
  return Status::kOk;
}

void clear_slot(const Memory& memory, Slot* slot, Bucket* bucket, Bucket* previous) noexcept {
  if (planted("delete-not-flushed")) {
    put(slot->hash, 0);
    return;
  }
  memory.set(slot->hash, 0);
  if (previous == nullptr) return;
  if (std::ranges::any_of(bucket->slots, [](Slot& s) { return get(s.hash) != 0; })) return;
  // Linked again only when the cut is durable, else a crash could show one bucket in two chains.
  put(previous->next, get(bucket->next));
  memory.persist->persist(&previous->next, sizeof previous->next);
  memory.set(bucket->header, get(bucket->header) | kMigratedBit);  // no lock bit: not a head
  memory.overflow->retire(
      static_cast<uint64_t>(reinterpret_cast<std::byte*>(bucket) - memory.bytes.data()));
}

}  // namespace dinomo::index
