// SPDX-License-Identifier: BSD-3-Clause
// Keys that conditional operations hold, by hash: from the look at the item until what it led to is
// durable. Two keys with one hash wait for each other, which is rare and harmless.
// Thread rule: the owning worker.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace dinomo::kn {

class KeyLocks {
 public:
  static constexpr uint32_t kMax = 256;  // held at a time

  bool holds(uint64_t hash) const noexcept {
    return size_ != 0 && cells_[find(tag(hash))] != kEmpty;
  }

  /// False if the key is held already, or too many are.
  bool take(uint64_t hash) noexcept {
    if (size_ == kMax) return false;
    const size_t cell = find(tag(hash));
    if (cells_[cell] != kEmpty) return false;
    cells_[cell] = tag(hash);
    ++size_;
    return true;
  }

  void give(uint64_t hash) noexcept {
    size_t hole = find(tag(hash));
    if (cells_[hole] == kEmpty) return;
    --size_;
    // Whatever was displaced past the hole moves back, so that no search ends too early.
    for (size_t at = next(hole); cells_[at] != kEmpty; at = next(at)) {
      const size_t from_home = (at - home(cells_[at])) & (kCells - 1);
      const size_t from_hole = (at - hole) & (kCells - 1);
      if (from_home < from_hole) continue;
      cells_[hole] = cells_[at];
      hole = at;
    }
    cells_[hole] = kEmpty;
  }

  uint32_t size() const noexcept { return size_; }
  void clear() noexcept {
    cells_.fill(kEmpty);
    size_ = 0;
  }

 private:
  static constexpr uint64_t kEmpty = 0;
  static constexpr size_t kCells = 4 * size_t{kMax};

  static uint64_t tag(uint64_t hash) noexcept { return hash | 1; }
  static size_t home(uint64_t tag) noexcept { return tag >> 1 & (kCells - 1); }
  static size_t next(size_t cell) noexcept { return (cell + 1) & (kCells - 1); }
  size_t find(uint64_t tag) const noexcept {
    size_t cell = home(tag);
    while (cells_[cell] != kEmpty && cells_[cell] != tag) cell = next(cell);
    return cell;
  }

  std::array<uint64_t, kCells> cells_{};
  uint32_t size_ = 0;
};

}  // namespace dinomo::kn
