// SPDX-License-Identifier: BSD-3-Clause
#include "log/unmerged.h"

#include <algorithm>
#include <cassert>

namespace dinomo::log {

namespace {
constexpr uint64_t kForgetAhead = 8;
}  // namespace

Unmerged::Unmerged(uint32_t capacity_log2)
    : ring_(size_t{1} << capacity_log2), table_(size_t{2} << capacity_log2) {}

size_t Unmerged::find(uint64_t hash) const noexcept {
  size_t cell = home(hash);
  while (table_[cell] != 0 && record(table_[cell]).hash != hash) {
    cell = (cell + 1) & (table_.size() - 1);
  }
  return cell;
}

void Unmerged::add(uint64_t hash, uint64_t lsn, pool::GlobalAddress address,
                   bool tombstone) noexcept {
  assert(!full());
  const size_t cell = find(hash);
  Record& r = record(newest_);
  r.hash = hash;
  r.lsn = lsn;
  r.address = address.word();
  r.older = table_[cell];
  r.tombstone = tombstone;
  table_[cell] = newest_++;
}

Unmerged::Candidate Unmerged::at(uint64_t position) const noexcept {
  if (position < oldest_) return {};  // 0, or forgotten since
  const Record& r = record(position);
  return {pool::GlobalAddress(r.address), r.tombstone != 0, position};
}

Unmerged::Candidate Unmerged::newest(uint64_t hash) const noexcept {
  if (newest_ == oldest_) return {};
  return at(table_[find(hash)]);
}

Unmerged::Candidate Unmerged::older(const Candidate& candidate) const noexcept {
  if (candidate.position < oldest_) return {};
  return at(record(candidate.position).older);
}

void Unmerged::forget(uint64_t merged_lsn) noexcept {
  while (oldest_ != newest_ && record(oldest_).lsn <= merged_lsn) {
    prefetch_add(record(oldest_ + kForgetAhead).hash);  // an old record's past the newest: harmless
    const size_t cell = find(record(oldest_).hash);
    if (table_[cell] == oldest_) erase(cell);
    ++oldest_;
  }
}

void Unmerged::erase(size_t cell) noexcept {
  const size_t mask = table_.size() - 1;
  size_t hole = cell;
  size_t next = (hole + 1) & mask;
  while (table_[next] != 0) {
    const size_t wanted = home(record(table_[next]).hash);
    // Move `next` into the hole unless it already lies between its home and the hole.
    if (((next - wanted) & mask) >= ((next - hole) & mask)) {
      table_[hole] = table_[next];
      hole = next;
    }
    next = (next + 1) & mask;
  }
  table_[hole] = 0;
}

void Unmerged::clear() noexcept {
  std::ranges::fill(table_, 0);
  oldest_ = newest_ = 1;
}

}  // namespace dinomo::log
