// SPDX-License-Identifier: BSD-3-Clause
#include "dpm/segment_table.h"

#include <algorithm>

#include "common/hash.h"
#include "common/planted.h"
#include "log/format.h"

namespace dinomo::dpm {

using pool::SegmentHeader;
using pool::SegmentState;

namespace {

uint64_t header_checksum(const SegmentHeader& h) noexcept {
  return checksum64(object_bytes(h).first(offsetof(SegmentHeader, checksum)));
}

/// A segment that was never granted.
void prepare_header(std::byte* object) noexcept {
  SegmentHeader h{};
  h.magic = pool::kSegmentMagic;
  h.checksum = header_checksum(h);
  store(object, h);
}

SegmentHeader make_header(const Grant& grant, pool::SegmentKind kind,
                          uint32_t generation) noexcept {
  SegmentHeader h{};
  h.magic = pool::kSegmentMagic;
  h.generation = generation;
  h.log_id = grant.log_id;
  h.kind = static_cast<uint16_t>(kind);
  h.sequence = grant.sequence;
  h.incarnation = grant.incarnation;
  h.granted_unix_ms = grant.unix_ms;
  h.checksum = header_checksum(h);
  return h;
}

}  // namespace

SegmentTable::SegmentTable(pool::Space& space, uint32_t reserve)
    : space_(space),
      segment_bytes_(space.superblock().segment_bytes),
      reserve_(reserve),
      segments_(space.memory().size() / segment_bytes_ + 1),
      starts_(space.memory().size() / segment_bytes_ + 1) {
  for (auto& start : starts_) start.store(kNoSegment, std::memory_order_relaxed);
}

uint32_t SegmentTable::add(uint64_t offset) noexcept {
  const uint32_t id = count_.load(std::memory_order_relaxed);
  segments_[id].offset = offset;
  starts_[offset / segment_bytes_].store(id, std::memory_order_release);
  count_.store(id + 1, std::memory_order_release);
  return id;
}

uint32_t SegmentTable::find(uint64_t offset) const noexcept {
  // Segments do not overlap, so at most two touch a window of one segment's size.
  const uint64_t window = offset / segment_bytes_;
  if (window >= starts_.size()) return kNoSegment;
  for (const uint64_t w : {window, window == 0 ? window : window - 1}) {
    const uint32_t id = starts_[w].load(std::memory_order_acquire);
    if (id == kNoSegment) continue;
    const uint64_t start = segments_[id].offset;
    if (offset >= start && offset - start < segment_bytes_) return id;
  }
  return kNoSegment;
}

std::vector<uint32_t> SegmentTable::load() {
  std::vector<uint32_t> damaged;
  for (const auto& object : space_.objects(pool::ObjectType::kSegment)) {
    if (object.bytes < segment_bytes_) continue;
    const uint32_t id = add(object.offset);
    SegmentHeader& h = header(id);
    if (!header_sound(id)) {
      // A grant makes the header durable before the state: torn in the middle of one is only what
      // is free, and nobody has written to that.
      if (h.state == static_cast<uint32_t>(SegmentState::kFree)) {
        reset_header(id);
      } else {
        damaged.push_back(id);
      }
    }
    if (header_sound(id) && h.kind == static_cast<uint16_t>(pool::SegmentKind::kCompacted) &&
        h.state == static_cast<uint32_t>(SegmentState::kOpen)) {
      set_state(id, SegmentState::kMerged);  // nobody goes on filling it
    }
    if (h.state != static_cast<uint32_t>(SegmentState::kOpen)) {
      segments_[id].live.store(kClosedBit, std::memory_order_relaxed);
    }
  }
  return damaged;
}

bool SegmentTable::header_sound(uint32_t id) noexcept {
  const SegmentHeader& h = header(id);
  return h.magic == pool::kSegmentMagic && h.checksum == header_checksum(h);
}

void SegmentTable::reset_header(uint32_t id) noexcept {
  SegmentHeader& h = header(id);
  SegmentHeader fresh{};
  fresh.magic = pool::kSegmentMagic;
  fresh.generation = (h.magic == pool::kSegmentMagic ? h.generation : 0) + 1;
  fresh.checksum = header_checksum(fresh);
  h = fresh;
  space_.persist().persist(&h, sizeof h);
  segments_[id].live.fetch_or(kClosedBit, std::memory_order_relaxed);
}

void SegmentTable::restore_header(uint32_t id, const Grant& grant, uint32_t generation) noexcept {
  SegmentHeader& h = header(id);
  SegmentHeader right = make_header(grant, pool::SegmentKind::kLog, generation);
  right.state = h.state;
  right.end_bytes = h.end_bytes;
  right.last_lsn = h.last_lsn;
  h = right;
  space_.persist().persist(&h, sizeof h);
}

void SegmentTable::reopen(uint32_t id) noexcept {
  segments_[id].live.fetch_and(~kClosedBit, std::memory_order_relaxed);
  set_state(id, SegmentState::kOpen);
}

void SegmentTable::settle(std::vector<uint64_t>* kept) {
  for (uint32_t id = 0; id < size(); ++id) {
    if (header(id).state == static_cast<uint32_t>(SegmentState::kOpen)) {
      open_.fetch_add(1, std::memory_order_relaxed);
    } else if (live(id) == 0) {
      if (header(id).state != static_cast<uint32_t>(SegmentState::kFree)) {
        set_state(id, SegmentState::kFree);
      }
      segments_[id].free = true;
      free_.push_back(id);
    } else if (header(id).state == static_cast<uint32_t>(SegmentState::kFree)) {
      set_state(id, SegmentState::kMerged);  // the index refers to it: keep it until it does not
      kept->push_back(offset(id));
    }
  }
  fill_free_list(reserved());
  free_count_.store(free_.size(), std::memory_order_relaxed);
}

void SegmentTable::fill_free_list(uint64_t wanted) noexcept {
  while (!heap_full_ && free_.size() < wanted && size() < segments_.size()) {
    const auto object = space_.allocate(pool::ObjectType::kSegment, segment_bytes_, prepare_header,
                                        sizeof(SegmentHeader));
    if (!object) {
      heap_full_ = true;
      return;
    }
    const uint32_t id = add(object->offset);
    segments_[id].live.store(kClosedBit, std::memory_order_relaxed);
    segments_[id].free = true;
    free_.push_back(id);
  }
}

void SegmentTable::set_state(uint32_t id, SegmentState state) noexcept {
  SegmentHeader& h = header(id);
  std::atomic_ref<uint32_t>(h.state).store(static_cast<uint32_t>(state), std::memory_order_release);
  space_.persist().persist(&h.state, sizeof h.state);
}

Result<uint32_t> SegmentTable::take_free(GrantFor purpose) noexcept {
  fill_free_list(reserved() + uint64_t{1});
  uint64_t kept = 0;
  switch (purpose) {
    case GrantFor::kPuts: kept = reserved(); break;
    case GrantFor::kDeletes: kept = kCompactionReserve; break;
    case GrantFor::kCompaction: kept = reserve_; break;
    case GrantFor::kLastResort: break;
  }
  const bool enough = free_.size() > kept;
  uint32_t id = kNoSegment;
  if (enough) {
    id = free_.front();
    free_.pop_front();
    segments_[id].free = false;
  }
  free_count_.store(free_.size(), std::memory_order_relaxed);
  if (!enough) return std::unexpected(Status::kNoSpace);
  return id;
}

void SegmentTable::open(uint32_t id, const Grant& grant, pool::SegmentKind kind) noexcept {
  SegmentHeader& h = header(id);
  // Line 1: free, no end, no last LSN.
  h = make_header(grant, kind, h.generation + (planted("generation-not-raised") ? 0 : 1));
  if (!planted("grant-not-flushed")) space_.persist().persist(&h, sizeof h);
  segments_[id].live.store(0, std::memory_order_release);
  open_.fetch_add(1, std::memory_order_relaxed);
  set_state(id, SegmentState::kOpen);
}

Result<uint32_t> SegmentTable::grant(const Grant& grant, bool urgent) noexcept {
  const auto id = take_free(urgent ? GrantFor::kDeletes : GrantFor::kPuts);
  if (!id) {
    const bool coming = reclaim_pending() || gain_expected_;
    return std::unexpected(coming ? Status::kBusy : id.error());
  }
  open(*id, grant, pool::SegmentKind::kLog);
  return id;
}

Result<uint32_t> SegmentTable::grant_compacted(uint64_t unix_ms, bool last_resort) noexcept {
  const auto id = take_free(last_resort ? GrantFor::kLastResort : GrantFor::kCompaction);
  if (!id) return id;
  open(*id, {kNoLog, 0, 0, unix_ms}, pool::SegmentKind::kCompacted);
  return id;
}

void SegmentTable::revoke_grant(uint32_t id) noexcept {
  set_state(id, SegmentState::kFree);
  reset_header(id);  // the log will give the sequence again
}

void SegmentTable::close(uint32_t id, uint64_t end_bytes, uint64_t last_lsn) noexcept {
  SegmentHeader& h = header(id);
  std::atomic_ref<uint64_t>(h.end_bytes).store(end_bytes, std::memory_order_relaxed);
  std::atomic_ref<uint64_t>(h.last_lsn).store(last_lsn, std::memory_order_relaxed);
  // One line, but it may be torn at 8 bytes: what is merged has an end.
  if (!planted("merged-before-its-end")) {
    space_.persist().persist(&h.end_bytes, 2 * sizeof(uint64_t));
  }
  set_state(id, SegmentState::kMerged);
  open_.fetch_sub(1, std::memory_order_relaxed);
  const bool empty = segments_[id].live.fetch_or(kClosedBit, std::memory_order_acq_rel) == 0;
  if (empty || planted("segment-reused-early")) hand_to_reclaim(id);
}

void SegmentTable::add_live(uint32_t id, uint64_t bytes) noexcept {
  segments_[id].live.fetch_add(bytes, std::memory_order_relaxed);
}

void SegmentTable::sub_live(uint32_t id, uint64_t bytes) noexcept {
  if (segments_[id].live.fetch_sub(bytes, std::memory_order_acq_rel) == (kClosedBit | bytes)) {
    hand_to_reclaim(id);
  }
}

bool SegmentTable::pin(uint32_t id) noexcept {
  uint64_t word = segments_[id].live.load(std::memory_order_acquire);
  do {
    if ((word & ~kBytesMask) != kClosedBit || word == kClosedBit) return false;
  } while (!segments_[id].live.compare_exchange_weak(word, word | kPinnedBit,
                                                     std::memory_order_acq_rel));
  return true;
}

void SegmentTable::unpin(uint32_t id) noexcept {
  const uint64_t before = segments_[id].live.fetch_and(~kPinnedBit, std::memory_order_acq_rel);
  if (before == (kClosedBit | kPinnedBit)) hand_to_reclaim(id);
}

void SegmentTable::hand_to_reclaim(uint32_t id) noexcept {
  const std::lock_guard lock(empties_mutex_);
  empties_.push_back({id, 0});
  pending_.fetch_add(1, std::memory_order_relaxed);
}

uint32_t SegmentTable::reclaim(uint64_t now_ns, uint64_t grace_ns) noexcept {
  if (!reclaim_pending()) return 0;
  std::vector<uint32_t> ripe;
  {
    const std::lock_guard lock(empties_mutex_);
    for (Empty& e : empties_) {
      if (e.since_ns == 0) e.since_ns = now_ns + 1;
    }
    while (!empties_.empty() && now_ns + 1 >= empties_.front().since_ns + grace_ns) {
      ripe.push_back(empties_.front().id);
      empties_.pop_front();
    }
  }
  for (const uint32_t id : ripe) {
    set_state(id, SegmentState::kFree);
    segments_[id].free = true;
    free_.push_back(id);
  }
  pending_.fetch_sub(ripe.size(), std::memory_order_relaxed);
  reclaimed_.fetch_add(ripe.size(), std::memory_order_relaxed);
  free_count_.store(free_.size(), std::memory_order_relaxed);
  return static_cast<uint32_t>(ripe.size());
}

uint64_t SegmentTable::allocatable() const noexcept {
  if (heap_full_) return 0;
  return std::min<uint64_t>(space_.segments_left(segment_bytes_), segments_.size() - size());
}

uint64_t SegmentTable::available() const noexcept {
  const uint64_t free = free_.size() + allocatable() + reclaimable();
  return free > reserved() ? free - reserved() : 0;
}

SegmentCounts SegmentTable::counts() noexcept {
  SegmentCounts c;
  c.allocatable = allocatable();
  c.total = size();
  c.free = free_count_.load(std::memory_order_relaxed);
  c.open = open_.load(std::memory_order_relaxed);
  c.merged = c.total - c.free - c.open;
  for (uint32_t id = 0; id < size(); ++id) c.live_bytes += live(id);
  c.reclaimed = reclaimed_.load(std::memory_order_relaxed);
  return c;
}

Result<Bytes> SegmentTable::key_at(pool::GlobalAddress address) noexcept {
  const uint32_t id = find(address.offset_bytes());
  if (id == kNoSegment) return std::unexpected(Status::kOutOfRange);
  const uint64_t inside = address.offset_bytes() - segments_[id].offset;
  if (inside < sizeof(SegmentHeader) || address.length_bytes() < log::kUnitBytes ||
      address.length_bytes() > segment_bytes_ - inside) {
    return std::unexpected(Status::kOutOfRange);
  }
  const std::byte* entry = space_.at(address.offset_bytes());
  const auto h = dinomo::load<log::EntryHeader>(entry);
  if (static_cast<uint8_t>(h.generation) != address.generation() ||
      h.op != static_cast<uint8_t>(log::Op::kPut) || h.key_bytes == 0 ||
      h.key_bytes > pool::kKeyBytesMax || log::entry_bytes(h) != address.length_bytes()) {
    return std::unexpected(Status::kCorrupt);
  }
  return Bytes{entry + sizeof h, h.key_bytes};
}

}  // namespace dinomo::dpm
