// SPDX-License-Identifier: BSD-3-Clause
#include "cache/ghosts.h"

#include <algorithm>
#include <bit>
#include <new>

#include "cache/adaptive.h"

namespace dinomo::cache {
namespace {

constexpr uint64_t kBytesPerRecord = 512;  // of the budget
constexpr uint32_t kSetsMin = 8;
constexpr uint32_t kSetsMax = 256;
constexpr uint32_t kSampleBitsMin = 4;  // what bounds the cost: one read in 16
constexpr uint32_t kSampleBitsMax = 16;
constexpr uint32_t kHit = 16;  // counts are in sixteenths
constexpr float kUnitBytes = 16;
constexpr std::array<double, 3> kScaleOf = {0.5, 1, 2};
constexpr double kMemoryReads = 512;  // about so many sampled reads count for a choice
constexpr double kMargin = 0.03;      // of the cost: what another choice has to save
constexpr double kMarginBack = 0.01;  // and what it has to go on saving
constexpr double kReadsMin = 64;

}  // namespace

uint64_t Ghosts::bytes_for(uint64_t budget_bytes) noexcept {
  const uint64_t records = std::bit_floor(std::max<uint64_t>(budget_bytes / kBytesPerRecord, 1));
  return std::clamp<uint64_t>(records / kWays, kSetsMin, kSetsMax) * sizeof(Set);
}

bool Ghosts::init(uint64_t budget_bytes) noexcept {
  sets_ = static_cast<uint32_t>(bytes_for(budget_bytes) / sizeof(Set));
  table_.reset(new (std::nothrow) Set[sets_]);
  clear();
  return table_ != nullptr;
}

void Ghosts::clear() noexcept {
  if (table_ == nullptr) return;
  std::fill_n(table_.get(), sets_, Set{});
  sample_bits_ = kSampleBitsMin;
  sample_mask_ = (uint64_t{1} << sample_bits_) - 1;
  now_ = hand_ = live_ = lost_ = 0;
  ageing_now_ = {};
  aged_at_ = {};
  by_density_ = {};
  by_age_ = {};
  ready_ = false;
  costs_ = {};
  order_ = Order::kFrequency;
  ageing_ = Ageing::kSlow;
}

// --- records ---

Ghosts::Record* Ghosts::find(uint64_t mixed) const noexcept {
  const uint32_t tag = tag_of(mixed);
  for (Record& r : set_of(mixed).record) {
    if (r.tag == tag) return &r;
  }
  return nullptr;
}

Ghosts::Record* Ghosts::place(uint64_t mixed) noexcept {
  // An empty record is worth nothing.
  const auto worth = [](const Record& x) {
    return x.tag == 0 ? 0 : 1 + (uint64_t{x.count[0]} << 32 | x.last);
  };
  Record* victim = &*std::ranges::min_element(set_of(mixed).record, {}, worth);
  if (victim->tag != 0) {
    const float density = shortcut_density(victim->count[0]);
    if (ready_ && held(density_above_[0][2], density) > 0) ++lost_;
    if (!ready_) ++lost_;
  }
  *victim = {.tag = tag_of(mixed),
             .last = now_,
             .count = {},
             .units = 0,
             .sample_bits = static_cast<uint16_t>(mixed >> 48)};
  return victim;
}

void Ghosts::use(Record& r) const noexcept {
  for (uint16_t& count : r.count) {
    count = static_cast<uint16_t>(std::min<uint32_t>(count + kHit, UINT16_MAX));
  }
  r.last = now_;
}

void Ghosts::note_item(uint64_t hash, uint32_t item_bytes, bool used) noexcept {
  const uint64_t mixed = mix(hash);
  Record* r = find(mixed);
  if (r == nullptr) {
    r = place(mixed);
    use(*r);
  } else if (used) {
    use(*r);
  }
  r->units = static_cast<uint16_t>(item_bytes / 16);
}

void Ghosts::forget(uint64_t hash) noexcept {
  if (Record* r = find(mix(hash))) *r = {};
}

void Ghosts::note_read(uint64_t hash, const GhostView& view) noexcept {
  ++now_;
  miss_rt_ = static_cast<float>(view.miss_rt);
  Record* r = find(mix(hash));
  judge(r != nullptr ? *r : Record{});
  if (r != nullptr) use(*r);
  sweep(view);
}

// --- what a read would have cost ---

// Logarithm by the bits of a float: exponent and two bits of mantissa.
uint32_t Ghosts::bucket_of(float x) noexcept {
  if (!(x > 0)) return 0;
  const auto bits = static_cast<int32_t>(std::bit_cast<uint32_t>(x) >> 21);
  constexpr int32_t kBase = (127 - 12) * 4;  // from 2^-12 on
  return static_cast<uint32_t>(std::clamp(bits - kBase, 0, static_cast<int32_t>(kBuckets) - 1));
}

float Ghosts::held(const Threshold& t, float x) noexcept {
  const uint32_t b = bucket_of(x);
  if (b != t.bucket) return b > t.bucket ? 1.0F : 0.0F;
  return t.share;
}

// From the top bucket down until the capacity is used up.
Ghosts::Threshold Ghosts::threshold(const Histogram& bytes, double capacity_bytes) noexcept {
  double left = capacity_bytes;
  for (uint32_t b = kBuckets; b-- > 0;) {
    const double here = bytes[b];
    if (here > left) return {.bucket = b, .share = static_cast<float>(std::max(left, 0.0) / here)};
    left -= here;
  }
  return {.bucket = 0, .share = 1};
}

float Ghosts::shortcut_density(float count) const noexcept {
  return count * (miss_rt_ - 1) / static_cast<float>(kSlotBytes);
}

double Ghosts::cost(const Record& r, Ageing ageing, uint32_t scale, Order order) const noexcept {
  if (r.tag == 0) return miss_rt_;
  const float item_bytes = static_cast<float>(std::max<uint16_t>(r.units, 1)) * kUnitBytes;
  const Threshold& t = density_above_[static_cast<uint32_t>(ageing)][scale];
  const auto count = static_cast<float>(r.count[static_cast<uint32_t>(ageing)]);
  const float value = order == Order::kFrequency ? held(t, count / item_bytes)
                                                 : held(age_below_[scale], recency(r));
  const float shortcut = std::max(held(t, shortcut_density(count)), value);
  return miss_rt_ - (miss_rt_ - 1) * shortcut - value;
}

void Ghosts::judge(const Record& r) noexcept {
  if (!ready_) return;
  costs_.reads += 1;
  for (uint32_t s = 0; s < kScales; ++s) costs_.scaled[s] += cost(r, ageing_, s, order_);
  costs_.frequency.add(cost(r, ageing_, 1, Order::kFrequency) -
                       cost(r, ageing_, 1, Order::kRecency));
  costs_.slow.add(cost(r, Ageing::kSlow, 1, Order::kFrequency) -
                  cost(r, Ageing::kFast, 1, Order::kFrequency));
}

WhatIf Ghosts::curve(double actual_rt) const noexcept {
  if (costs_.reads < kReadsMin) return {};
  const auto at = [&](uint32_t s) {
    const double more = (costs_.scaled[s] - costs_.scaled[1]) / costs_.reads;
    return std::clamp(actual_rt + more, 0.0, static_cast<double>(miss_rt_));
  };
  return {.known = true, .half = at(0), .same = actual_rt, .twice = at(2)};
}

// --- sweep: histograms, ageing ---

void Ghosts::sweep_record(Record& r) noexcept {
  if (r.tag == 0) return;
  if ((r.sample_bits & sample_mask_) != 0) {  // the sample has shrunk
    r = {};
    return;
  }
  ++live_;
  const float bytes = static_cast<float>(std::max<uint16_t>(r.units, 1)) * kUnitBytes;
  for (uint32_t a = 0; a < kAgeings; ++a) {
    if (ageing_now_[a]) r.count[a] /= 2;
    const auto count = static_cast<float>(r.count[a]);
    by_density_[a][bucket_of(count / bytes)] += bytes;
    by_density_[a][bucket_of(shortcut_density(count))] += static_cast<float>(kSlotBytes);
  }
  by_age_[bucket_of(recency(r))] += bytes;
}

void Ghosts::sweep(const GhostView& view) noexcept {
  // Half a set a read, so a sweep takes a quarter as many reads as there are records.
  Set& set = table_[hand_ / 2];
  for (uint32_t i = 0; i < kWays / 2; ++i) sweep_record(set.record[hand_ % 2 * (kWays / 2) + i]);
  if (++hand_ == sets_ * 2) finish_sweep(view);
}

void Ghosts::finish_sweep(const GhostView& view) noexcept {
  hand_ = 0;
  const double rate = 1.0 / static_cast<double>(sample_mask_ + 1);
  const double budget = static_cast<double>(view.budget_bytes) * rate;
  const double values = static_cast<double>(view.value_bytes) * rate;
  for (uint32_t s = 0; s < kScales; ++s) {
    for (uint32_t a = 0; a < kAgeings; ++a) {
      density_above_[a][s] = threshold(by_density_[a], budget * kScaleOf[s]);
    }
    // The shortcuts keep their room; memory more or less is the values'.
    const double room = std::max(values + budget * (kScaleOf[s] - 1), values * kScaleOf[s] / 2);
    age_below_[s] = threshold(by_age_, room);
  }
  choose();
  ready_ = true;
  by_density_ = {};
  by_age_ = {};
  const double records = static_cast<double>(view.records) * rate;
  for (uint32_t a = 0; a < kAgeings; ++a) {
    const double accesses =
        records * static_cast<double>(a == 0 ? kDecayAccessesSlow : kDecayAccessesFast);
    ageing_now_[a] = now_ - aged_at_[a] > static_cast<uint64_t>(accesses);
    if (ageing_now_[a]) aged_at_[a] = now_;
  }
  resize_sample();
  live_ = lost_ = 0;
}

// Slow ageing and frequency serve most loads best, so another choice needs evidence, and goes when
// the evidence does.
void Ghosts::choose() noexcept {
  if (costs_.reads < kReadsMin) return;
  const double least = costs_.scaled[1] * kMargin;
  const double least_back = costs_.scaled[1] * kMarginBack;
  if (ageing_ == Ageing::kSlow) {
    if (costs_.slow.certain(least)) ageing_ = Ageing::kFast;
  } else if (costs_.slow.sum <= least_back) {
    ageing_ = Ageing::kSlow;
  }
  if (order_ == Order::kFrequency) {
    if (costs_.frequency.certain(least)) order_ = Order::kRecency;
  } else if (costs_.frequency.sum <= least_back) {
    order_ = Order::kFrequency;
  }
  const double keep = std::max(0.5, 1 - 2.0 * sets_ / kMemoryReads);
  costs_.slow.forget(keep);
  costs_.frequency.forget(keep);
  for (double& cost : costs_.scaled) cost *= keep;
  costs_.reads *= keep;
}

void Ghosts::resize_sample() noexcept {
  const uint32_t records = sets_ * kWays;
  if (lost_ > std::max(records / 64, kWays) && sample_bits_ < kSampleBitsMax) {
    ++sample_bits_;
  } else if (live_ < records / 8 && sample_bits_ > kSampleBitsMin && now_ > records) {
    --sample_bits_;
  }
  sample_mask_ = (uint64_t{1} << sample_bits_) - 1;
}

}  // namespace dinomo::cache
