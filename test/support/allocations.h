// SPDX-License-Identifier: BSD-3-Clause
// Counts what a thread allocates, for tests that the data path allocates nothing. Counts only in a
// program that replaces operator new by one that calls note_allocation().
#pragma once

#include <cstdint>

namespace dinomo::test {

struct Allocations {
  bool counted = false;
  uint64_t count = 0;
};
inline thread_local Allocations allocations;

inline void note_allocation() noexcept {
  if (allocations.counted) ++allocations.count;
}

/// While one lives, allocations are counted, or (the test's own, within such a time) are not.
class Counting {
 public:
  explicit Counting(bool on) noexcept : before_(allocations.counted) { allocations.counted = on; }
  ~Counting() { allocations.counted = before_; }
  Counting(const Counting&) = delete;
  Counting& operator=(const Counting&) = delete;

 private:
  const bool before_;
};

}  // namespace dinomo::test
