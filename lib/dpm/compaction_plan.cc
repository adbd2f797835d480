// SPDX-License-Identifier: BSD-3-Clause
#include "dpm/compaction_plan.h"

#include <algorithm>
#include <utility>

#include "log/format.h"

namespace dinomo::dpm {

namespace {

constexpr uint64_t kAvailableMin = 2;  // segments; fewer free ones are always too few
constexpr uint64_t kUrgentPart = 4;    // of what is wanted: fewer are urgent
constexpr uint64_t kGainPart = 4;      // of a segment, for a victim
constexpr uint64_t kUrgentGainPart = 20;
constexpr size_t kVictimsMax = 16;  // of one plan

}  // namespace

uint64_t entries_end(SegmentTable& segments, uint32_t id) noexcept {
  const uint64_t size = segments.bytes(id).size();
  const uint64_t end = std::atomic_ref<uint64_t>(segments.header(id).end_bytes).load();
  return end >= sizeof(pool::SegmentHeader) && end <= size ? end : size;
}

CompactionPlan::CompactionPlan(SegmentTable& segments, uint32_t below_percent)
    : segments_(segments), below_percent_(below_percent) {}

bool CompactionPlan::wanted() noexcept {
  const uint64_t total = segments_.capacity();
  const uint64_t available = segments_.available();
  const uint64_t begin = std::max(kAvailableMin, total * below_percent_ / 100);
  const uint64_t end = begin + std::max(kAvailableMin, total / 64);
  running_ = available < (running_ ? end : begin);
  urgent_ = available < std::max(kAvailableMin, begin / kUrgentPart);
  if (!running_) segments_.expect_gain(false);
  return running_;
}

uint64_t CompactionPlan::gain(uint32_t id) noexcept {
  const uint64_t size = segments_.bytes(id).size();
  const uint64_t rest = std::min(size - entries_end(segments_, id), log::kEntryBytesMax);
  const uint64_t kept = sizeof(pool::SegmentHeader) + segments_.live(id) + rest;
  return kept < size ? size - kept : 0;
}

bool CompactionPlan::given_up(uint32_t id) noexcept {
  return id < tries_.size() && tries_[id].count >= kTriesMax &&
         tries_[id].generation == segments_.header(id).generation;
}

void CompactionPlan::not_emptied(uint32_t id) noexcept {
  if (id >= tries_.size()) tries_.resize(id + 1);
  Tries& t = tries_[id];
  const uint32_t generation = segments_.header(id).generation;
  if (t.generation != generation) t = {generation, 0};
  ++t.count;
}

void CompactionPlan::choose(uint64_t room, std::vector<uint32_t>* victims) {
  victims->clear();
  std::vector<std::pair<uint64_t, uint32_t>> sparse;  // live bytes, id
  uint64_t size = 0;
  uint64_t count = 0;
  uint64_t live = 0;
  uint64_t rests = 0;
  for (uint32_t id = 0; id < segments_.size(); ++id) {
    if (!segments_.compactable(id) || given_up(id)) continue;
    size = segments_.bytes(id).size();
    const uint64_t bytes = gain(id);
    if (bytes * kUrgentGainPart < size) continue;
    ++count;
    live += segments_.live(id);
    rests += std::min(size - entries_end(segments_, id), log::kEntryBytesMax);
    if (bytes * (urgent_ ? kUrgentGainPart : kGainPart) >= size) {
      sparse.emplace_back(segments_.live(id), id);
    }
  }
  if (count != 0) {
    const uint64_t usable = size - sizeof(pool::SegmentHeader) - rests / count;
    const uint64_t beyond = live > room ? live - room : 0;
    const uint64_t outputs = (beyond + usable - 1) / usable;
    segments_.expect_gain(count > outputs);
    if (count <= outputs) return;
  } else {
    segments_.expect_gain(false);
    return;
  }
  const size_t taken = std::min(sparse.size(), kVictimsMax);
  std::ranges::partial_sort(sparse, sparse.begin() + static_cast<ptrdiff_t>(taken));
  for (size_t i = taken; i > 0; --i) victims->push_back(sparse[i - 1].second);
}

}  // namespace dinomo::dpm
