// SPDX-License-Identifier: BSD-3-Clause
#include "dpm/expirer.h"

#include <algorithm>
#include <bit>

#include "common/planted.h"
#include "log/format.h"

namespace dinomo::dpm {

using pool::GlobalAddress;

namespace {

constexpr uint64_t kRestNsMin = 100'000'000;  // between passes
constexpr uint64_t kRestNsPerChain = 2'000;   // a pass takes some hundred
constexpr auto kRelaxed = std::memory_order_relaxed;

}  // namespace

Expirer::Expirer(pool::Space& space, SegmentTable& segments, index::IndexWriter& index,
                 MergeCounters& merged, uint32_t grace_ms)
    : space_(space), segments_(segments), index_(index), merged_(merged), grace_ms_(grace_ms) {}

bool Expirer::poll(uint64_t now_ns, uint64_t unix_ms) noexcept {
  if (paused_.load(kRelaxed) || working_.load(std::memory_order_acquire) != 0) return false;
  unix_ms_ = unix_ms;
  if (passing_ && all_noted_ && noted_.empty()) {
    passing_ = false;
    next_expiry_ms_ = earliest_ms_;
    rest_until_ns_ = now_ns + std::max(kRestNsMin, kRestNsPerChain * index_.table().buckets());
    counters_.passes.fetch_add(1, kRelaxed);
  }
  if (passing_) return true;
  if (now_ns < rest_until_ns_) return false;
  const uint64_t next = std::min(next_expiry_ms_, merged_.earliest_expiry_ms.load(kRelaxed));
  if (next == UINT64_MAX || next + grace_ms_ > unix_ms) return false;
  // What is merged from here on is noted anew; what was merged before is in the index.
  merged_.earliest_expiry_ms.exchange(UINT64_MAX, std::memory_order_acq_rel);
  earliest_ms_ = UINT64_MAX;
  at_hash_ = 0;
  all_noted_ = false;
  passing_ = true;
  return true;
}

bool Expirer::work() noexcept {
  if (paused_.load(kRelaxed) || turn_.exchange(true, std::memory_order_acquire)) return false;
  remove_expired();
  if (!all_noted_) note_chains();
  const bool more = !all_noted_ || !noted_.empty();
  turn_.store(false, std::memory_order_release);
  return more;
}

/// By hashes, since a resize may change the number of chains between two slices.
void Expirer::note_chains() noexcept {
  index::IndexWriter::Scan scan(index_);
  const uint64_t heads = scan.heads();
  const auto log2 = static_cast<uint32_t>(std::countr_zero(heads));
  const uint64_t begin = index::bucket_index(at_hash_, log2);
  const uint64_t end = std::min(heads, begin + kHeadsPerSlice);
  const Status visited = scan.visit(begin, end, [this](uint64_t hash, GlobalAddress address) {
    if (address.is_indirect()) return;
    noted_.push_back({hash, address});
    __builtin_prefetch(space_.at(address.offset_bytes()));
  });
  // A damaged chain is the matter of fsck, one that moves is met by the next pass.
  if (!ok(visited)) earliest_ms_ = std::min(earliest_ms_, unix_ms_);
  all_noted_ = end == heads;
  at_hash_ = all_noted_ ? 0 : end << (64 - log2);
}

uint64_t Expirer::expiry_ms(GlobalAddress address) noexcept {
  if (!segments_.key_at(address)) return 0;
  return load<log::EntryHeader>(space_.at(address.offset_bytes())).expiry_ms;
}

void Expirer::remove_expired() noexcept {
  if (noted_.empty()) return;
  removed_.clear();
  for (const Noted& n : noted_) {
    const uint64_t expires_ms = expiry_ms(n.address);
    if (expires_ms == 0) continue;
    const bool due = planted("expired-too-early") || expires_ms + grace_ms_ <= unix_ms_;
    if (!due) {
      earliest_ms_ = std::min(earliest_ms_, expires_ms);
    } else if (remove(n)) {
      removed_.push_back(n.address);
    }
  }
  noted_.clear();
  if (removed_.empty()) return;
  space_.persist().drain();
  uint64_t bytes = 0;
  for (const GlobalAddress address : removed_) {
    bytes += address.length_bytes();
    segments_.sub_live(segments_.find(address.offset_bytes()), address.length_bytes());
  }
  merged_.items.fetch_sub(static_cast<int64_t>(removed_.size()), kRelaxed);
  counters_.items.fetch_add(removed_.size(), kRelaxed);
  counters_.bytes.fetch_add(bytes, kRelaxed);
}

bool Expirer::remove(const Noted& n) noexcept {
  if (planted("expiry-removes-what-is-there")) {
    const auto key = segments_.key_at(n.address);
    const auto old = index_.remove(n.hash, *key);
    return old && *old;
  }
  const auto removed = index_.erase_if(n.hash, n.address);
  if (!removed) earliest_ms_ = std::min(earliest_ms_, unix_ms_);  // again in the next pass
  return removed && *removed;
}

}  // namespace dinomo::dpm
