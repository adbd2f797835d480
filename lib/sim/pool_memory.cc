// SPDX-License-Identifier: BSD-3-Clause
#include "sim/pool_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>

#include "common/align.h"
#include "dpm/pool_shares.h"
#include "index/format.h"
#include "index/index_writer.h"

namespace dinomo::sim {

class PoolMemory::LinePersist final : public pool::Persist {
 public:
  LinePersist(PoolMemory* memory, std::byte* from, std::byte* to, uint64_t bytes)
      : memory_(memory), from_(from), to_(to), bytes_(bytes) {}

  void flush(const void* at, size_t bytes) noexcept override {
    const auto begin = static_cast<uint64_t>(static_cast<const std::byte*>(at) - from_);
    if (begin >= bytes_) std::abort();  // flushing what is no pool memory is a defect
    const uint64_t end = align_up<uint64_t>(begin + bytes, kCacheLineBytes);
    for (uint64_t o = begin / kCacheLineBytes * kCacheLineBytes; o < end; o += kCacheLineBytes) {
      Line line{o, {}};
      std::memcpy(line.content.data(), from_ + o, kCacheLineBytes);
      flushed_.push_back(line);
    }
  }
  void drain() noexcept override {
    memory_->drained();  // before it is one: the flushed lines are what a failure takes
    for (const Line& line : flushed_) write(line);
    flushed_.clear();
  }
  /// Each flushed line by a draw, to `durable`.
  void fail(client::Random* random, std::byte* durable) const noexcept {
    for (const Line& line : flushed_) {
      if (random->below(2) != 0) continue;
      std::memcpy(durable + line.offset, line.content.data(), kCacheLineBytes);
    }
  }
  /// What was flushed gets there without its processor, too.
  void complete(std::byte* durable) const noexcept {
    for (const Line& line : flushed_) {
      std::memcpy(durable + line.offset, line.content.data(), kCacheLineBytes);
    }
  }
  void forget() noexcept { flushed_.clear(); }

 private:
  struct Line {
    uint64_t offset;
    std::array<std::byte, kCacheLineBytes> content;
  };
  void write(const Line& line) noexcept {
    std::memcpy(to_ + line.offset, line.content.data(), kCacheLineBytes);
  }

  PoolMemory* memory_;
  std::byte* from_;
  std::byte* to_;
  uint64_t bytes_;
  std::vector<Line> flushed_;
};

namespace {

/// Pages that nothing touches cost nothing: a run uses little of its pool.
std::byte* zeroed(uint64_t bytes) noexcept {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) std::abort();
  return static_cast<std::byte*>(memory);
}

}  // namespace

PoolMemory::PoolMemory(uint64_t bytes, uint64_t seed)
    : volatile_(zeroed(bytes)), durable_(zeroed(bytes)), bytes_(bytes), random_(seed) {
  persist_ = std::make_unique<LinePersist>(this, volatile_, durable_, bytes);
}

PoolMemory::~PoolMemory() {
  munmap(volatile_, bytes_);
  munmap(durable_, bytes_);
}

pool::Persist& PoolMemory::persist() noexcept { return *persist_; }

Status PoolMemory::format(const pool::PoolGeometry& geometry, uint64_t index_buckets,
                          uint64_t hash_seed) {
  root_end_ = align_up<uint64_t>(kSuperblockOffset + pool::root_bytes(geometry), 4096);
  used_ = root_end_;
  const auto table =
      allocate(pool::ObjectType::kIndexTable, index_buckets * sizeof(index::Bucket), nullptr, 0);
  const auto overflow = allocate(pool::ObjectType::kOverflow,
                                 index_buckets * 3 / 16 * sizeof(index::Bucket), nullptr, 0);
  if (!table || !overflow) return Status::kNoSpace;
  constexpr uint16_t kTableVersion = 1;
  const pool::TableRef first(table->offset, static_cast<uint32_t>(std::countr_zero(index_buckets)),
                             kTableVersion);
  index::format_heads(memory(), first, 0, index_buckets, *persist_);
  const std::array<uint8_t, 16> uuid{1};
  const pool::Superblock s =
      pool::make_superblock(geometry, kSuperblockOffset, bytes_, uuid, hash_seed, 1);
  auto* root = record<pool::IndexRoot>(s.index_root_offset);
  root->current = first.word();
  root->buckets_min = index_buckets;
  record<pool::PoolState>(s.state_offset)->clean_shutdown = pool::kCleanShutdown;
  *record<pool::Superblock>(kSuperblockOffset) = s;
  persist_now(0, used_);
  return Status::kOk;
}

Result<pool::SpaceObject> PoolMemory::allocate(pool::ObjectType type, uint64_t bytes,
                                               Prepare prepare, uint64_t prepared) noexcept {
  bytes = align_up<uint64_t>(bytes, kCacheLineBytes);
  if (type == pool::ObjectType::kSegment && segments_left(bytes) == 0) {
    return std::unexpected(Status::kNoSpace);
  }
  const auto hole =
      std::ranges::find_if(holes_, [bytes](const auto& h) { return h.second >= bytes; });
  pool::SpaceObject object{used_, bytes};
  if (hole != holes_.end()) {
    object.offset = hole->first;
    const uint64_t rest = hole->second - bytes;
    holes_.erase(hole);
    if (rest != 0) holes_[object.offset + bytes] = rest;
  } else if (bytes <= bytes_ - used_) {
    used_ += bytes;
  } else {
    return std::unexpected(Status::kNoSpace);
  }
  if (prepare != nullptr) {
    prepare(volatile_ + object.offset);
    persist_now(object.offset, prepared);
  }
  objects_.emplace_back(type, object);
  return object;
}

void PoolMemory::release(uint64_t offset) noexcept {
  const auto at =
      std::ranges::find_if(objects_, [=](const auto& o) { return o.second.offset == offset; });
  if (at == objects_.end()) return;
  uint64_t begin = offset;
  uint64_t bytes = at->second.bytes;
  objects_.erase(at);
  // Holes side by side become one.
  if (const auto next = holes_.find(begin + bytes); next != holes_.end()) {
    bytes += next->second;
    holes_.erase(next);
  }
  const auto after = holes_.lower_bound(begin);
  if (after != holes_.begin()) {
    const auto before = std::prev(after);
    if (before->first + before->second == begin) {
      begin = before->first;
      bytes += before->second;
    }
  }
  holes_[begin] = bytes;
}

uint64_t PoolMemory::free_bytes() const noexcept {
  uint64_t bytes = bytes_ - used_;
  for (const auto& [offset, hole] : holes_) bytes += hole;
  return bytes;
}

uint64_t PoolMemory::segments_left(uint64_t bytes) noexcept {
  uint64_t room = (bytes_ - used_) / bytes;
  for (const auto& [offset, hole] : holes_) room += hole / bytes;
  // The real pool's tables and headers, which take more than a small simulated pool has, are not
  // modelled: what segments leave alone is the index's share only.
  const uint64_t first = record<pool::IndexRoot>(superblock().index_root_offset)->buckets_min;
  const uint64_t kept =
      root_end_ + std::max(first * sizeof(index::Bucket) * 5 / 4, dpm::index_share_bytes(bytes_));
  const auto used = static_cast<uint64_t>(std::ranges::count(
      objects_, pool::ObjectType::kSegment, [](const auto& o) { return o.first; }));
  const uint64_t most = kept < bytes_ ? (bytes_ - kept) / bytes : 0;
  return std::min(room, most > used ? most - used : 0);
}

std::vector<pool::SpaceObject> PoolMemory::objects(pool::ObjectType type) {
  std::vector<pool::SpaceObject> found;
  for (const auto& [t, object] : objects_) {
    if (t == type) found.push_back(object);
  }
  return found;
}

void PoolMemory::persist_now(uint64_t offset, uint64_t bytes) noexcept {
  std::memcpy(durable_ + offset, volatile_ + offset, bytes);
}

/// Leaves in both what is in memory after a power failure.
PowerFailure PoolMemory::lose_lines(std::byte* seen, std::byte* durable, uint64_t bytes) noexcept {
  PowerFailure failure;
  persist_->fail(&random_, durable);
  for (uint64_t o = 0; o < bytes; o += kCacheLineBytes) {
    if (std::memcmp(seen + o, durable + o, kCacheLineBytes) == 0) continue;
    ++failure.lines_unsafe;
    if (random_.below(2) == 0) {
      std::memcpy(durable + o, seen + o, kCacheLineBytes);  // was evicted in time
    } else {
      ++failure.lines_lost;
    }
  }
  std::memcpy(seen, durable, bytes);
  return failure;
}

std::unique_ptr<PoolMemory> PoolMemory::image() const {
  auto copy = std::make_unique<PoolMemory>(bytes_, 0);
  copy->used_ = used_;
  copy->root_end_ = root_end_;
  copy->objects_ = objects_;
  copy->holes_ = holes_;
  std::memcpy(copy->volatile_, volatile_, used_);
  std::memcpy(copy->durable_, volatile_, used_);
  return copy;
}

PowerFailure PoolMemory::fail_power() noexcept {
  const PowerFailure failure = lose_lines(volatile_, durable_, used_);
  persist_->forget();
  return failure;
}

void PoolMemory::stop_at_drain(uint64_t drains, bool power) noexcept {
  drains_left_ = drains;
  power_fails_ = power;
}

void PoolMemory::drained() noexcept {
  if (drains_left_ == 0 || !running_) return;
  --drains_left_;
  if (drains_left_ != 0) return;
  kept_ = std::make_unique<Kept>();
  kept_->seen.assign(volatile_, volatile_ + used_);
  kept_->durable.assign(durable_, durable_ + used_);
  kept_->used = used_;
  kept_->objects = objects_;
  kept_->holes = holes_;
  if (power_fails_) {
    lose_lines(kept_->seen.data(), kept_->durable.data(), used_);
  } else {
    persist_->complete(kept_->durable.data());
  }
}

void PoolMemory::stop() noexcept {
  const Kept& k = *kept_;
  std::memcpy(volatile_, k.seen.data(), k.used);
  std::memcpy(durable_, k.durable.data(), k.used);
  used_ = k.used;
  objects_ = k.objects;
  holes_ = k.holes;
  kept_.reset();
  persist_->forget();
}

}  // namespace dinomo::sim
