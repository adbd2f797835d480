// SPDX-License-Identifier: BSD-3-Clause
#include "dpm/compactor.h"

#include <algorithm>
#include <cstring>

#include "common/planted.h"

namespace dinomo::dpm {

using pool::GlobalAddress;

namespace {

constexpr uint64_t kLookAgainNs = 10'000'000;       // after there was nothing to gain
constexpr uint64_t kLookAgainNsPerSegment = 1'000;  // since a look costs some ns each
constexpr uint64_t kOutputIdleNs = 1'000'000'000;   // then what was begun is closed
constexpr auto kRelaxed = std::memory_order_relaxed;

/// Bytes of the entry that this header is of, 0 if it is none of that generation. The checksum is
/// left to those who use the entry.
uint64_t entry_bytes_at(Bytes rest, uint32_t generation) noexcept {
  if (rest.size() < sizeof(log::EntryHeader)) return 0;
  const auto h = load<log::EntryHeader>(rest.data());
  if (h.generation != generation || h.lsn == 0 || h.key_bytes > pool::kKeyBytesMax ||
      h.value_bytes > pool::kValueBytesMax || h.op == static_cast<uint8_t>(log::Op::kEnd)) {
    return 0;
  }
  const uint64_t bytes = log::entry_bytes(h);
  return bytes <= rest.size() ? bytes : 0;
}

}  // namespace

Compactor::Compactor(pool::Space& space, SegmentTable& segments, index::IndexWriter& index,
                     CellTable& cells, uint32_t below_percent)
    : space_(space),
      segments_(segments),
      index_(index),
      cells_(cells),
      segment_bytes_(space.superblock().segment_bytes),
      hash_seed_(space.superblock().hash_seed),
      node_id_(static_cast<uint8_t>(space.superblock().node_id)),
      plan_(segments, below_percent) {
  candidates_.reserve(kEntriesPerSlice);
  copies_.reserve(kEntriesPerSlice);
}

bool Compactor::poll(uint64_t now_ns, uint64_t unix_ms) {
  if (paused_.load(kRelaxed) || working_.load(std::memory_order_acquire) != 0) return false;
  if (output_.full) close_output();
  for (const uint32_t id : not_emptied_) plan_.not_emptied(id);
  not_emptied_.clear();
  std::erase_if(victims_, [this](uint32_t id) { return !segments_.compactable(id); });
  if (victim_.id == kNoSegment && victims_.empty() && !plan(now_ns)) {
    const bool unused = output_.id != kNoSegment &&
                        (segments_.live(output_.id) == 0 || now_ns - used_at_ns_ >= kOutputIdleNs);
    if (unused) close_output();
    return false;
  }
  used_at_ns_ = now_ns;
  return output_.id != kNoSegment || take_output(unix_ms);
}

bool Compactor::plan(uint64_t now_ns) {
  if (!plan_.wanted() || now_ns < look_again_ns_) return false;
  plan_.choose(output_.id != kNoSegment ? segment_bytes_ - output_.used : 0, &victims_);
  if (!victims_.empty()) return true;
  look_again_ns_ = now_ns + std::max(kLookAgainNs, segments_.size() * kLookAgainNsPerSegment);
  return false;
}

/// Beyond its own reserve it borrows only if nothing comes back by itself.
bool Compactor::take_output(uint64_t unix_ms) noexcept {
  auto id = segments_.grant_compacted(unix_ms, false);
  if (!id && !segments_.reclaim_pending()) id = segments_.grant_compacted(unix_ms, true);
  if (!id) return false;
  output_ = {*id, sizeof(pool::SegmentHeader), false};
  counters_.outputs.fetch_add(1, kRelaxed);
  return true;
}

void Compactor::close_output() noexcept {
  segments_.close(output_.id, output_.used, 0);
  output_ = {};
}

void Compactor::finish() noexcept {
  if (victim_.id != kNoSegment) segments_.unpin(victim_.id);
  victim_ = {};
  victims_.clear();
  if (output_.id != kNoSegment) close_output();
}

bool Compactor::work() noexcept {
  if (paused_.load(kRelaxed) || turn_.exchange(true, std::memory_order_acquire)) return false;
  const bool more = slice();
  turn_.store(false, std::memory_order_release);
  return more;
}

bool Compactor::slice() noexcept {
  if (output_.id == kNoSegment || output_.full) return false;
  if (victim_.id == kNoSegment && !next_victim()) return false;
  uint64_t next = collect();
  const uint64_t begin = output_.used;
  for (const Candidate& c : candidates_) {
    if (copy_if_live(c)) continue;
    output_.full = true;
    next = c.offset;
    break;
  }
  swing(begin);
  victim_.offset = next;
  if (victim_.offset >= victim_.end) end_victim();
  return !output_.full && (victim_.id != kNoSegment || !victims_.empty());
}

bool Compactor::next_victim() noexcept {
  while (!victims_.empty()) {
    const uint32_t id = victims_.back();
    victims_.pop_back();
    if (!segments_.pin(id)) continue;  // emptied meanwhile
    victim_ = {id, sizeof(pool::SegmentHeader), entries_end(segments_, id),
               segments_.header(id).generation};
    return true;
  }
  return false;
}

void Compactor::end_victim() noexcept {
  // What is left belongs to slots that moved to another table meanwhile, or is damaged.
  if (segments_.live(victim_.id) != 0) not_emptied_.push_back(victim_.id);
  segments_.unpin(victim_.id);
  victim_ = {};
  counters_.victims.fetch_add(1, kRelaxed);
}

/// Puts of the victim from its offset on, their buckets on the way to the cache. Returns where the
/// next slice begins, the victim's end if nothing follows.
uint64_t Compactor::collect() noexcept {
  candidates_.clear();
  const Bytes bytes = segments_.bytes(victim_.id).first(victim_.end);
  uint64_t at = victim_.offset;
  uint64_t sum = 0;
  for (uint32_t n = 0; n < kEntriesPerSlice && sum < kBytesPerSlice; ++n) {
    const uint64_t size = entry_bytes_at(bytes.subspan(at), victim_.generation);
    if (size == 0) return victim_.end;
    const auto h = load<log::EntryHeader>(bytes.data() + at);
    if (h.op == static_cast<uint8_t>(log::Op::kPut)) {
      const uint64_t hash =
          key_hash(bytes.subspan(at + sizeof(log::EntryHeader), h.key_bytes), hash_seed_);
      index_.prefetch_bucket(hash);
      candidates_.push_back({at, size, hash});
      sum += size;
    }
    at += size;
  }
  return at;
}

GlobalAddress Compactor::address(uint32_t id, uint64_t offset, uint64_t bytes,
                                 uint32_t generation) const noexcept {
  return GlobalAddress::direct(node_id_, segments_.offset(id) + offset,
                               static_cast<uint32_t>(bytes), generation);
}

/// False: there is no room for it.
bool Compactor::copy_if_live(const Candidate& c) noexcept {
  const GlobalAddress from = address(victim_.id, c.offset, c.bytes, victim_.generation);
  if (!index_.refers(c.hash, from)) return true;
  if (output_.used + c.bytes > segment_bytes_) return false;
  const Bytes bytes = segments_.bytes(victim_.id).subspan(c.offset, c.bytes);
  log::Entry entry;
  if (log::parse_entry(bytes, victim_.generation, &entry) != log::EntryCheck::kValid) {
    counters_.damaged.fetch_add(1, kRelaxed);
    return true;  // a copy would make damage look sound
  }
  const uint32_t generation = segments_.header(output_.id).generation;
  std::byte* to = space_.at(segments_.offset(output_.id) + output_.used);
  std::memcpy(to, bytes.data(), bytes.size());
  log::move_entry(to, generation);
  copies_.push_back({c.hash, from, address(output_.id, output_.used, c.bytes, generation)});
  output_.used += c.bytes;
  return true;
}

/// Makes the copies, which begin at `begin` of the output, durable and then the items.
void Compactor::swing(uint64_t begin) noexcept {
  if (copies_.empty()) return;
  const uint64_t bytes = output_.used - begin;
  segments_.add_live(output_.id, bytes);  // before anything may replace them
  pool::Persist& persist = space_.persist();
  if (!planted("copy-not-flushed")) {
    persist.persist(space_.at(segments_.offset(output_.id) + begin), bytes);
  }
  uint64_t moved = 0;
  uint64_t entries = 0;
  for (const Copy& copy : copies_) {
    const auto done = index_.relocate(copy.hash, copy.from, copy.to);
    if (!done || !*done) continue;
    cells_.relocate(copy.hash, copy.from, copy.to);
    moved += copy.to.length_bytes();
    ++entries;
  }
  persist.drain();
  // Only now: an empty victim is used again.
  segments_.sub_live(victim_.id, moved);
  if (moved != bytes) segments_.sub_live(output_.id, bytes - moved);
  counters_.entries.fetch_add(entries, kRelaxed);
  counters_.bytes.fetch_add(moved, kRelaxed);
  counters_.lost.fetch_add(copies_.size() - entries, kRelaxed);
  copies_.clear();
}

}  // namespace dinomo::dpm
