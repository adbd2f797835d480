// SPDX-License-Identifier: BSD-3-Clause
#include "drivers/fabric/shm/shm_queue.h"

#include <libpmem.h>

#include <atomic>
#include <bit>
#include <cstring>

#include "drivers/fabric/shm/shm_mapping.h"

namespace dinomo::fabric::shm {

namespace {

/// Copies and returns when the bytes are in the pool's durability domain.
Status copy_persistent(std::byte* to, Bytes from, pool::Persistence persistence) noexcept {
  switch (persistence) {
    case pool::Persistence::kDax:
      pmem_memcpy(to, from.data(), from.size(), PMEM_F_MEM_NONTEMPORAL);  // copies and drains
      return Status::kOk;
    case pool::Persistence::kPageCache:
      std::memcpy(to, from.data(), from.size());
      return Status::kOk;
    case pool::Persistence::kMsync:
      std::memcpy(to, from.data(), from.size());
      return pmem_msync(to, from.size()) == 0 ? Status::kOk : Status::kNodeDown;
  }
  return Status::kInternal;
}

bool aligned8(uint64_t offset) noexcept { return offset % 8 == 0; }

}  // namespace

ShmQueue::ShmQueue(std::shared_ptr<const Mapping> mapping, uint32_t depth)
    : mapping_(std::move(mapping)), posted_(std::bit_ceil(depth)) {}

std::byte* ShmQueue::at(uint64_t offset) const noexcept { return mapping_->memory.data() + offset; }

bool ShmQueue::inside(uint64_t offset, size_t bytes) const noexcept {
  return offset <= mapping_->memory.size() && bytes <= mapping_->memory.size() - offset;
}

Status ShmQueue::refuse_full() noexcept {
  ++counters_.no_resource;
  return Status::kNoResource;
}

Status ShmQueue::complete(Status status, Completion* completion) noexcept {
  if (status != Status::kOk) ++counters_.errors;
  if (completion != nullptr) posted_[tail_++ & (posted_.size() - 1)] = {completion, status};
  return Status::kInProgress;
}

void ShmQueue::count(Purpose purpose, size_t bytes, bool round_trip) noexcept {
  PurposeCounters& c = counters_.by_purpose[static_cast<size_t>(purpose)];
  c.verbs += 1;
  c.round_trips += round_trip ? 1 : 0;
  c.bytes += bytes;
}

Status ShmQueue::post_read(uint64_t offset, MutableBytes to, Purpose purpose,
                           Completion* completion) noexcept {
  if (full()) return refuse_full();
  count(purpose, to.size(), true);
  if (!inside(offset, to.size())) return complete(Status::kOutOfRange, completion);
  std::atomic_thread_fence(std::memory_order_acquire);
  std::memcpy(to.data(), at(offset), to.size());
  std::atomic_thread_fence(std::memory_order_acquire);
  return complete(Status::kOk, completion);
}

Status ShmQueue::post_write(uint64_t offset, Bytes from, WriteOptions options, Purpose purpose,
                            Completion* completion) noexcept {
  if (full()) return refuse_full();
  count(purpose, from.size(), !options.after_previous);
  // A write without a completion has nobody to tell of its failure, so the rest of its chain fails.
  if (!options.after_previous) chain_status_ = Status::kOk;
  if (!inside(offset, from.size())) chain_status_ = Status::kOutOfRange;
  if (chain_status_ != Status::kOk) return complete(chain_status_, completion);
  // Release: a reader that sees this write sees the ones before it (after_previous).
  std::atomic_thread_fence(std::memory_order_release);
  if (options.persistent) {
    chain_status_ = copy_persistent(at(offset), from, mapping_->persistence);
  } else {
    std::memcpy(at(offset), from.data(), from.size());
  }
  std::atomic_thread_fence(std::memory_order_release);
  return complete(chain_status_, completion);
}

Status ShmQueue::post_compare_swap(uint64_t offset, uint64_t expected, uint64_t desired,
                                   uint64_t* old, Purpose purpose,
                                   Completion* completion) noexcept {
  if (full()) return refuse_full();
  count(purpose, sizeof(uint64_t), true);
  if (!inside(offset, sizeof(uint64_t)) || !aligned8(offset)) {
    return complete(Status::kOutOfRange, completion);
  }
  std::atomic_ref<uint64_t> word(*reinterpret_cast<uint64_t*>(at(offset)));
  word.compare_exchange_strong(expected, desired);
  *old = expected;
  return complete(Status::kOk, completion);
}

Status ShmQueue::post_fetch_add(uint64_t offset, uint64_t addend, uint64_t* old, Purpose purpose,
                                Completion* completion) noexcept {
  if (full()) return refuse_full();
  count(purpose, sizeof(uint64_t), true);
  if (!inside(offset, sizeof(uint64_t)) || !aligned8(offset)) {
    return complete(Status::kOutOfRange, completion);
  }
  std::atomic_ref<uint64_t> word(*reinterpret_cast<uint64_t*>(at(offset)));
  *old = word.fetch_add(addend);
  return complete(Status::kOk, completion);
}

uint32_t ShmQueue::poll(uint32_t max) noexcept {
  // What a callback posts is delivered by a later poll, so that one turn is bounded.
  const uint64_t end = tail_;
  uint32_t delivered = 0;
  while (delivered < max && head_ != end) {
    const Posted posted = posted_[head_++ & (posted_.size() - 1)];
    posted.completion->callback(posted.completion, posted.status);
    ++delivered;
  }
  return delivered;
}

}  // namespace dinomo::fabric::shm
