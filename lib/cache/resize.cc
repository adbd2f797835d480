// SPDX-License-Identifier: BSD-3-Clause
// A budget that changes while the cache serves: page by page, a bounded step a turn.
#include <algorithm>
#include <limits>

#include "cache/adaptive.h"

namespace dinomo::cache {
namespace {

constexpr double kInfinite = std::numeric_limits<double>::infinity();
// What a step may spend on moving values worth keeping out of the way.
constexpr int64_t kStepCopiesBytes = 68 << 10;  // at least one of the largest

}  // namespace

uint64_t AdaptiveCache::budget_bytes() const noexcept {
  const int64_t pages = int64_t{arena_.pages_held()} - arena_.pages_first();
  return config_.budget_bytes + static_cast<uint64_t>(pages * int64_t{arena_.page_bytes()});
}

// Rounded down, so that the budgets of all caches together stay within what they were.
uint32_t AdaptiveCache::pages_for(uint64_t budget_bytes) const noexcept {
  const auto more = static_cast<int64_t>(budget_bytes) - static_cast<int64_t>(config_.budget_bytes);
  const int64_t pages = arena_.pages_first() + (more >> arena_.page_shift());
  // The table's first pages, and what the log needs to go round.
  const int64_t least = int64_t{table_.pages_min()} + kPagesMin - 1;
  const int64_t most = arena_.pages_max();
  return static_cast<uint32_t>(std::clamp(pages, std::min(least, most), most));
}

bool AdaptiveCache::resize_step(uint64_t budget_bytes) noexcept {
  const uint32_t wanted = pages_for(budget_bytes);
  if (!arena_.owes()) {
    if (wanted == arena_.pages()) return true;
    if (wanted > arena_.pages()) {
      arena_.grow();
      return wanted == arena_.pages();
    }
    arena_.owe();
  }
  // These point to buckets that may lie in the page given away.
  pending_count_ = 0;
  give_up_room();
  if (room_bytes() >= 0 && arena_.pages_free() != 0) arena_.pay();
  return false;
}

// Values or shortcuts, whichever lose fewer round trips a byte.
void AdaptiveCache::give_up_room() noexcept {
  int64_t copies_bytes = kStepCopiesBytes;
  for (uint32_t steps = 0; steps < kHandStepsMin && room_bytes() < 0; ++steps) {
    const double shortcut_density = table_.can_shrink() && shortcuts_ != 0
                                        ? average_miss_rt_ * shortcut_hits(least_hits_) / kSlotBytes
                                        : kInfinite;
    const bool from_values = !log_.empty() && value_density_ <= shortcut_density;
    if (from_values && clear_one(shortcut_density, copies_bytes)) continue;
    if (retire_bucket()) continue;
    if (!clear_one(kInfinite, copies_bytes)) return;
  }
}

}  // namespace dinomo::cache
