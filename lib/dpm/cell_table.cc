// SPDX-License-Identifier: BSD-3-Clause
#include "dpm/cell_table.h"

#include <algorithm>
#include <cstring>

#include "common/planted.h"

namespace dinomo::dpm {

using pool::GlobalAddress;
using pool::IndirectionCell;

namespace {

constexpr uint64_t kBytes = pool::kCellCount * sizeof(IndirectionCell);

void store_address(IndirectionCell& cell, uint64_t word) noexcept {
  std::atomic_ref<uint64_t>(cell.address).store(word, std::memory_order_release);
}

}  // namespace

CellTable::CellTable(pool::Space& space) noexcept : space_(space) {}

IndirectionCell& CellTable::cell(uint32_t number) noexcept {
  return *space_.record<IndirectionCell>(offset_ + number * sizeof(IndirectionCell));
}

GlobalAddress CellTable::address_of(uint32_t number) noexcept {
  return GlobalAddress::indirect(static_cast<uint8_t>(space_.superblock().node_id),
                                 offset_ + number * sizeof(IndirectionCell),
                                 static_cast<uint32_t>(cell(number).generation));
}

uint32_t CellTable::find(uint64_t key_hash) const noexcept {
  for (uint32_t n = 0; n < pool::kCellCount; ++n) {
    if (key_hashes_[n].load(std::memory_order_acquire) == key_hash) return n;
  }
  return kNone;
}

void CellTable::start() {
  for (const pool::SpaceObject& object : space_.objects(pool::ObjectType::kCells)) {
    if (object.bytes < kBytes) continue;
    offset_ = object.offset;
    break;
  }
  if (offset_ == 0) return;
  uint32_t installed = 0;
  for (uint32_t n = 0; n < pool::kCellCount; ++n) {
    IndirectionCell& c = cell(n);
    if (!planted("cells-kept-over-boot")) store_address(c, 0);
    const bool never_used = c.key_hash == 0 && c.generation == 0 && c.checksum == 0;
    if (never_used) continue;
    if (c.checksum != pool::cell_checksum(c)) give(n, 0);
    if (c.key_hash == 0) continue;
    key_hashes_[n].store(c.key_hash, std::memory_order_release);
    ++installed;
  }
  space_.persist().persist(&cell(0), kBytes);
  space_.persist().drain();
  installed_.store(installed);
  tell_change();
}

/// Whoever reads the new version finds what was changed before. Versions of one boot follow those
/// of all boots before, also if the last ones of those were lost.
void CellTable::tell_change() noexcept {
  auto* const state = space_.record<pool::PoolState>(space_.superblock().state_offset);
  version_ = std::max(version_ + 1, state->boot_count << 32);
  std::atomic_ref<uint64_t>(state->cells_offset).store(offset_, std::memory_order_release);
  std::atomic_ref<uint64_t>(state->cells_version).store(version_, std::memory_order_release);
  space_.persist().persist(&state->cells_offset, 2 * sizeof(uint64_t));
  space_.persist().drain();
}

bool CellTable::make_room() {
  if (offset_ != 0) return true;
  const auto zero = [](std::byte* object) noexcept { std::memset(object, 0, kBytes); };
  const auto object = space_.allocate(pool::ObjectType::kCells, kBytes, zero, kBytes);
  if (!object) return false;
  offset_ = object->offset;
  return true;
}

/// A new generation, also for a cell that becomes free. The address goes first: whoever reads the
/// new generation finds nothing of the old one.
void CellTable::give(uint32_t number, uint64_t key_hash, uint64_t routing_hash,
                     uint64_t kns_wanted) noexcept {
  IndirectionCell& c = cell(number);
  key_hashes_[number].store(0, std::memory_order_release);
  if (!planted("removed-cell-believed")) store_address(c, 0);
  std::atomic_ref<uint64_t>(c.checksum).store(0, std::memory_order_release);
  const IndirectionCell next{.address = 0,
                             .key_hash = key_hash,
                             .generation = c.generation + 1,
                             .routing_hash = routing_hash,
                             .kns_wanted = kns_wanted,
                             .reserved = {},
                             .checksum = 0};
  std::atomic_ref<uint64_t>(c.key_hash).store(key_hash, std::memory_order_release);
  std::atomic_ref<uint64_t>(c.generation).store(next.generation, std::memory_order_release);
  std::atomic_ref<uint64_t>(c.routing_hash).store(routing_hash, std::memory_order_release);
  std::atomic_ref<uint64_t>(c.kns_wanted).store(kns_wanted, std::memory_order_release);
  std::atomic_ref<uint64_t>(c.checksum).store(pool::cell_checksum(next), std::memory_order_release);
  space_.persist().persist(&c, sizeof c);
  space_.persist().drain();
  key_hashes_[number].store(key_hash, std::memory_order_release);
}

Result<GlobalAddress> CellTable::install(uint64_t key_hash, uint64_t routing_hash,
                                         uint64_t kns_wanted) {
  if (key_hash == 0) return std::unexpected(Status::kInvalid);
  if (!make_room()) return std::unexpected(Status::kNoSpace);
  if (const uint32_t had = find(key_hash); had != kNone) {
    want_kns(had, kns_wanted);
    return address_of(had);
  }
  if (is_routed(routing_hash)) return std::unexpected(Status::kInvalid);
  if (installed() >= pool::kReplicatedKeysMax) return std::unexpected(Status::kNoResource);
  for (uint32_t tried = 0; tried < pool::kCellCount; ++tried) {
    const uint32_t n = next_;
    next_ = (next_ + 1) % pool::kCellCount;
    if (key_hashes_[n].load(std::memory_order_relaxed) != 0) continue;
    give(n, key_hash, routing_hash, kns_wanted);
    installed_.fetch_add(1, std::memory_order_release);
    tell_change();
    return address_of(n);
  }
  return std::unexpected(Status::kNoResource);
}

std::vector<IndirectionCell> CellTable::given() noexcept {
  std::vector<IndirectionCell> cells;
  for (uint32_t n = 0; n < pool::kCellCount; ++n) {
    if (key_hashes_[n].load(std::memory_order_relaxed) != 0) cells.push_back(cell(n));
  }
  return cells;
}

bool CellTable::is_routed(uint64_t routing_hash) noexcept {
  for (uint32_t n = 0; n < pool::kCellCount; ++n) {
    const bool given = key_hashes_[n].load(std::memory_order_relaxed) != 0;
    if (given && cell(n).routing_hash == routing_hash) return true;
  }
  return false;
}

void CellTable::want_kns(uint32_t number, uint64_t kns_wanted) noexcept {
  IndirectionCell& c = cell(number);
  if (c.kns_wanted == kns_wanted) return;
  std::atomic_ref<uint64_t>(c.kns_wanted).store(kns_wanted, std::memory_order_release);
  space_.persist().persist(&c.kns_wanted, sizeof c.kns_wanted);
  tell_change();
}

Status CellTable::remove(uint64_t key_hash, GlobalAddress address) noexcept {
  if (key_hash == 0) return Status::kInvalid;
  const uint32_t n = find(key_hash);
  if (n == kNone || (address && address != address_of(n))) return Status::kOk;
  give(n, 0);
  installed_.fetch_sub(1, std::memory_order_release);
  tell_change();
  return Status::kOk;
}

void CellTable::relocate(uint64_t key_hash, GlobalAddress from, GlobalAddress to) noexcept {
  if (installed_.load(std::memory_order_acquire) == 0) return;
  const uint32_t n = find(key_hash);
  if (n == kNone) return;
  uint64_t expected = from.word();
  std::atomic_ref<uint64_t>(cell(n).address)
      .compare_exchange_strong(expected, to.word(), std::memory_order_acq_rel);
}

}  // namespace dinomo::dpm
