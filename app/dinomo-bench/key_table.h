// SPDX-License-Identifier: BSD-3-Clause
// What the benchmark knows about each key: which versions were sent, and which a read must not be
// older than. 16 bytes a key, in memory that is taken only when touched.
//
// Each key is written by one thread (key % threads); any thread may read any key. A thread may have
// up to 32 writes to one key in flight, and their order at the server is not known. So the newest
// acknowledged version is not a lower bound for a read; the right one is: when a write v is
// acknowledged, everything acknowledged before v was sent is gone for good. begin_write() notes the
// oldest version that may still be unacknowledged, and acknowledge() makes it the floor.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

namespace dinomo::bench {

struct Write {
  uint32_t version = 0;  // 0: not begun, too many writes to the key are in flight
  uint32_t oldest = 0;   // all older versions were acknowledged when this one began
};

/// What a read may return, given what is known when it is sent.
struct Expectation {
  uint32_t floor = 0;    // 0: this run has not had a write acknowledged
  bool unknown = false;  // a write's outcome was never learnt: anything goes
};

class KeyTable {
 public:
  /// Null if address space cannot be had.
  static std::unique_ptr<KeyTable> create(uint64_t capacity);
  ~KeyTable();
  KeyTable(const KeyTable&) = delete;
  KeyTable& operator=(const KeyTable&) = delete;

  uint64_t capacity() const noexcept { return capacity_; }

  // The key's own thread.
  Write begin_write(uint64_t key) noexcept;
  void acknowledge(uint64_t key, const Write& write) noexcept;
  /// A write whose outcome will not be known: it may still take effect at any time.
  void lose(uint64_t key, const Write& write) noexcept;
  /// A write that the server refused: it has not taken effect.
  void refuse(uint64_t key, const Write& write) noexcept { settle(key, write); }

  // Any thread.
  Expectation expect(uint64_t key) const noexcept;
  uint32_t newest_sent(uint64_t key) const noexcept;

 private:
  struct Entry {
    std::atomic<uint32_t> sent;   // newest version sent
    std::atomic<uint32_t> floor;  // kUnknown: outcome of some write unknown
    uint32_t settled;             // all versions up to here are acknowledged or refused
    uint32_t settled_bits;        // bit i: version settled + 1 + i
  };
  static_assert(sizeof(Entry) == 16);
  static constexpr uint32_t kUnknown = UINT32_MAX;
  static constexpr uint32_t kInFlightMax = 32;

  KeyTable(Entry* entries, uint64_t capacity) : entries_(entries), capacity_(capacity) {}
  void settle(uint64_t key, const Write& write) noexcept;

  Entry* entries_;
  uint64_t capacity_;
};

}  // namespace dinomo::bench
