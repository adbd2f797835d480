// SPDX-License-Identifier: BSD-3-Clause
#include "app/dinomo-bench/key_table.h"

#include <sys/mman.h>

#include <algorithm>

#include "app/dinomo-bench/value.h"

namespace dinomo::bench {

std::unique_ptr<KeyTable> KeyTable::create(uint64_t capacity) {
  void* const memory = mmap(nullptr, capacity * sizeof(Entry), PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  return std::unique_ptr<KeyTable>(new KeyTable(static_cast<Entry*>(memory), capacity));
}

KeyTable::~KeyTable() { munmap(static_cast<void*>(entries_), capacity_ * sizeof(Entry)); }

Write KeyTable::begin_write(uint64_t key) noexcept {
  Entry& e = entries_[key];
  const uint32_t sent = e.sent.load(std::memory_order_relaxed);
  if (sent - e.settled >= kInFlightMax || sent == Version::kCounterMax) return {};
  e.sent.store(sent + 1, std::memory_order_release);
  return {sent + 1, e.settled + 1};
}

void KeyTable::settle(uint64_t key, const Write& write) noexcept {
  Entry& e = entries_[key];
  e.settled_bits |= 1u << (write.version - e.settled - 1);
  while ((e.settled_bits & 1) != 0) {
    e.settled_bits >>= 1;
    ++e.settled;
  }
}

void KeyTable::acknowledge(uint64_t key, const Write& write) noexcept {
  Entry& e = entries_[key];
  settle(key, write);
  const uint32_t floor = e.floor.load(std::memory_order_relaxed);
  if (floor != kUnknown) e.floor.store(std::max(floor, write.oldest), std::memory_order_release);
}

void KeyTable::lose(uint64_t key, const Write& write) noexcept {
  settle(key, write);
  entries_[key].floor.store(kUnknown, std::memory_order_release);
}

Expectation KeyTable::expect(uint64_t key) const noexcept {
  const uint32_t floor = entries_[key].floor.load(std::memory_order_acquire);
  return floor == kUnknown ? Expectation{0, true} : Expectation{floor, false};
}

uint32_t KeyTable::newest_sent(uint64_t key) const noexcept {
  return entries_[key].sent.load(std::memory_order_acquire);
}

}  // namespace dinomo::bench
