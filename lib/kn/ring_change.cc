// SPDX-License-Identifier: BSD-3-Clause
// A worker's part in handing partitions over. What a new ring takes from it:
//
//   refuse it (MOVING, WRONG_OWNER) -> what had begun becomes durable -> all of it is merged
//   -> forget what the cache and running fetches hold of it -> settled
//
// The control lcore tells the leader the settled version, and only then may another KN own what was
// lost. The cost is a merge, some milliseconds; other partitions and their cache do not notice.
// What a ring gives is served at once: whoever had it before has settled, or is sealed and merged.
// Only sessions are distrusted, for mutations of the gained keys may have run elsewhere.
#include "common/planted.h"
#include "kn/worker.h"

namespace dinomo::kn {

void Worker::follow_ring() noexcept {
  if (!serving() || ring_ == nullptr) return;
  if (ring_->version != ring_version_) take_ring();
  if (leaving_.any() && lost_are_merged()) settle_ring();
}

void Worker::take_ring() noexcept {
  std::bitset<kPartitions> now;
  for (uint32_t p = 0; p < kPartitions; ++p) now[p] = ring_->serves(attachment_->kn_slot, p);
  // What was leaving and has come back was nobody else's meanwhile: it was not settled.
  const std::bitset<kPartitions> kept = served_ | leaving_;
  const bool gains = (now & ~kept).any();
  if (gains && (ring_version_ != 0 || declined_) && !planted("moved-session-trusted")) {
    sessions_.distrust(clock_->unix_ms());
  }
  declined_ = false;
  leaving_ = kept & ~now;
  leaving_lsn_ = 0;
  served_ = now;
  ring_version_ = ring_->version;
  shared_keys_.follow(*ring_, attachment_->kn_slot, config_.worker, config_.workers,
                      attachment_->superblock.pool_bytes);
  show_head_ = pending_head_;
  if (leaving_.none()) ring_settled_.store(ring_version_, std::memory_order_release);
}

bool Worker::lost_are_merged() noexcept {
  if (planted("handed-over-unmerged")) return true;
  if (leaving_lsn_ == 0) {
    for (uint32_t p = 0; p < kPartitions; ++p) {
      if (leaving_[p] && partitions_[p].busy != 0) return false;
    }
    leaving_lsn_ = log_->durable_lsn();
  }
  return merged_lsn_ >= leaving_lsn_;
}

void Worker::settle_ring() noexcept {
  for (Fetch* f : fetch_buckets_) {
    for (; f != nullptr; f = f->next) f->stale = true;
  }
  for (uint32_t p = 0; p < kPartitions; ++p) {
    if (leaving_[p]) forget_cached(p);
  }
  leaving_.reset();
  ring_settled_.store(ring_version_, std::memory_order_release);
}

void Worker::forget_cached(uint32_t partition) noexcept {
  if (planted("cache-kept-on-hand-over")) return;
  Partition& p = partitions_[partition];
  p.epoch = static_cast<uint16_t>((p.epoch + 1) % cache::kEpochs);
  if (p.epoch == 0) dac_->clear();  // else those of the first time could be found again
}

}  // namespace dinomo::kn
