// SPDX-License-Identifier: BSD-3-Clause
#include "dpm/pin_table.h"

#include <algorithm>
#include <atomic>
#include <cstring>

namespace dinomo::dpm {

namespace {

constexpr uint64_t kBytes = sizeof(pool::PinTable);

}  // namespace

void PinTable::start() {
  for (const pool::SpaceObject& object : space_.objects(pool::ObjectType::kPins)) {
    if (object.bytes < kBytes) continue;
    offset_ = object.offset;
    break;
  }
  if (offset_ == 0) return;
  for (uint16_t& target : table().target) {  // a slot that cannot be is damage, and no wish
    if (target > space_.superblock().kn_slots) target = 0;
  }
  space_.persist().persist(&table(), kBytes);
  space_.persist().drain();
  tell_change();
}

/// As of cells: versions of one boot follow those of all boots before, also if the last ones of
/// those were lost.
void PinTable::tell_change() noexcept {
  auto* const state = space_.record<pool::PoolState>(space_.superblock().state_offset);
  version_ = std::max(version_ + 1, state->boot_count << 32);
  std::atomic_ref<uint64_t>(state->pins_offset).store(offset_, std::memory_order_release);
  std::atomic_ref<uint64_t>(state->pins_version).store(version_, std::memory_order_release);
  space_.persist().persist(&state->pins_offset, 2 * sizeof(uint64_t));
  space_.persist().drain();
}

bool PinTable::make_room() {
  if (offset_ != 0) return true;
  const auto zero = [](std::byte* object) noexcept { std::memset(object, 0, kBytes); };
  const auto object = space_.allocate(pool::ObjectType::kPins, kBytes, zero, kBytes);
  if (!object) return false;
  offset_ = object->offset;
  return true;
}

Status PinTable::pin(uint64_t first, uint64_t count, uint64_t target) {
  if (count == 0 || first >= pool::kPartitionCount || count > pool::kPartitionCount - first) {
    return Status::kInvalid;
  }
  if (target > space_.superblock().kn_slots || target > pool::kRingSlotsMax) {
    return Status::kInvalid;
  }
  if (offset_ == 0 && target == 0) return Status::kOk;
  if (!make_room()) return Status::kNoSpace;
  uint16_t* const begin = table().target.data() + first;
  const auto wanted = static_cast<uint16_t>(target);
  if (std::all_of(begin, begin + count, [&](uint16_t t) { return t == wanted; })) {
    return Status::kOk;
  }
  for (uint64_t i = 0; i < count; ++i) {
    std::atomic_ref<uint16_t>(begin[i]).store(wanted, std::memory_order_release);
  }
  space_.persist().persist(begin, count * sizeof *begin);
  space_.persist().drain();
  tell_change();
  return Status::kOk;
}

std::vector<Pin> PinTable::pinned() const {
  std::vector<Pin> pins;
  if (offset_ == 0) return pins;
  for (uint32_t p = 0; p < pool::kPartitionCount; ++p) {
    const uint16_t target = table().target[p];
    if (target == 0) continue;
    const auto slot = static_cast<uint16_t>(target - 1);
    if (!pins.empty() && pins.back().kn_slot == slot &&
        pins.back().first + pins.back().count == p) {
      ++pins.back().count;
    } else {
      pins.push_back({p, 1, slot});
    }
  }
  return pins;
}

}  // namespace dinomo::dpm
