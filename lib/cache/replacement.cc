// SPDX-License-Identifier: BSD-3-Clause
// Where room comes from: the clock hand over the values, least-used shortcuts, and the table
// itself.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "cache/adaptive.h"

namespace dinomo::cache {
namespace {

constexpr double kInfinite = std::numeric_limits<double>::infinity();
constexpr uint32_t kShrinksMax = 1024;  // buckets: room for the largest value
constexpr uint32_t kGrowthsMax = 32;    // buckets
constexpr uint32_t kWindowBuckets = 3;
constexpr uint32_t kWindowsMax = 32;
constexpr uint32_t kSamples = 4;
// A value gives way only to a key used clearly more: in a loop all are used alike, and each would
// push out the one that comes next.
constexpr double kRivalMargin = 1.25;
// What a shortcut is worth whose hits have all been forgotten: less than one hit, but not nothing.
constexpr double kHitsUnseen = 0.25;

}  // namespace

int64_t AdaptiveCache::room_bytes() const noexcept {
  return static_cast<int64_t>(arena_.pages_bytes()) -
         static_cast<int64_t>(reserve_bytes_ + table_.bytes() + log_.span_bytes());
}

double AdaptiveCache::shortcut_hits(double counted) const noexcept {
  return std::max(counted, kHitsUnseen);
}

int64_t AdaptiveCache::value_room_bytes() const noexcept {
  const int64_t room = room_bytes();
  if (config_.policy != Policy::kStatic) return room;
  const auto slots_bytes = static_cast<int64_t>(kSlotBytes * static_cast<double>(values_));
  return std::min(room,
                  static_value_bytes_ - slots_bytes - static_cast<int64_t>(log_.span_bytes()));
}

// --- slots ---

void AdaptiveCache::mark(Slot s, Probe p) const noexcept {
  const bool second = s.bucket != &table_.bucket(table_.first_of(p));
  age(*s.bucket);
  s.bucket->meta[s.i] = p.tag << kTagShift | (second ? kSecondBit : 0);
}

Slot AdaptiveCache::free_slot(Probe p) const noexcept {
  for (const uint32_t index : {table_.first_of(p), table_.second_of(p)}) {
    Bucket& b = table_.bucket(index);
    for (uint32_t i = 0; i < kSlots; ++i) {
      if (b.empty(i)) return {&b, i};
    }
  }
  return {};
}

Slot AdaptiveCache::least_shortcut(Probe p) const noexcept {
  Slot least;
  for (const uint32_t index : {table_.first_of(p), table_.second_of(p)}) {
    Bucket& b = table_.bucket(index);
    age(b);
    for (uint32_t i = 0; i < kSlots; ++i) {
      if (!b.is_shortcut(i)) continue;
      if (!least || b.counter(i) < least.bucket->counter(least.i)) least = {&b, i};
    }
  }
  return least;
}

Slot AdaptiveCache::least_value(Probe p) const noexcept {
  Slot least;
  for (const uint32_t index : {table_.first_of(p), table_.second_of(p)}) {
    Bucket& b = table_.bucket(index);
    age(b);
    for (uint32_t i = 0; i < kSlots; ++i) {
      if (!b.is_value(i)) continue;
      if (!least || b.counter(i) < least.bucket->counter(least.i)) least = {&b, i};
    }
  }
  return least;
}

// A free slot, if need be by moving a record of these buckets to its other bucket. Buckets not yet
// split draw twice the keys of the others; this is what evens them out.
Slot AdaptiveCache::open_slot(Probe p) noexcept {
  if (const Slot s = free_slot(p)) return s;
  // The fuller the table the longer and the vainer the search.
  const uint64_t records = values_ + shortcuts_;
  const uint64_t buckets = table_.buckets();
  if (records * 4 > buckets * 19) return {};
  const uint32_t depth_max = records * 10 > buckets * 43 ? 2 : 3;
  for (uint32_t depth = 1; depth <= depth_max; ++depth) {
    if (const Slot s = displace(table_.first_of(p), depth)) return s;
    if (const Slot s = displace(table_.second_of(p), depth)) return s;
  }
  return {};
}

Slot AdaptiveCache::displace(uint32_t index, uint32_t depth) noexcept {
  Bucket& from = table_.bucket(index);
  age(from);
  for (uint32_t i = 0; i < kSlots; ++i) {
    const Probe p = table_.probe_at(index, from, i);
    const uint32_t other = table_.first_of(p) == index ? table_.second_of(p) : table_.first_of(p);
    if (other == index) continue;
    const Slot to = depth == 1 ? free_slot(p) : displace(other, depth - 1);
    if (!to) continue;
    mark(to, p);
    to.bucket->word[to.i] = from.word[i];
    to.bucket->set_counter(to.i, from.counter(i));
    if (from.referenced(i)) to.bucket->set_referenced(to.i);
    from.clear(i);
    return {&from, i};
  }
  return {};
}

Slot AdaptiveCache::take_slot(Probe p) noexcept {
  if (const Slot s = open_slot(p)) return s;
  Slot victim = least_shortcut(p);
  if (!victim) victim = least_value(p);
  evict(victim);
  return victim;
}

Slot AdaptiveCache::sample_least() noexcept {
  for (uint32_t window = 0; window < kWindowsMax; ++window) {
    Slot least;
    for (uint32_t k = 0; k < kWindowBuckets; ++k) {
      if (++sample_hand_ >= table_.buckets()) sample_hand_ = 0;
      Bucket& b = table_.bucket(sample_hand_);
      age(b);
      for (uint32_t i = 0; i < kSlots; ++i) {
        if (!b.is_shortcut(i)) continue;
        if (!least || b.counter(i) < least.bucket->counter(least.i)) least = {&b, i};
      }
    }
    if (least) {
      note_victim(frequency_of(least.bucket->counter(least.i)));
      return least;
    }
  }
  return {};
}

bool AdaptiveCache::has_free_load() noexcept {
  const auto crowded = [&] {
    return (values_ + shortcuts_ + 1) * 4 > table_.buckets() * uint64_t{17};
  };
  while (crowded()) {
    if (room_bytes() < static_cast<int64_t>(sizeof(Bucket)) || !table_.grow()) return false;
  }
  return true;
}

void AdaptiveCache::make_slot(Probe p) noexcept {
  if (config_.policy == Policy::kStatic && shortcuts_ >= static_shortcuts_max_) {
    Slot victim = least_shortcut(p);
    if (!victim) victim = sample_least();
    if (victim) evict(victim);
  }
  if (has_free_load() || open_slot(p)) return;
  Slot victim = least_shortcut(p);
  if (adaptive() && values_ > 0) {
    // Room for the slot comes from the values or from another shortcut, whichever loses less.
    const double lost_by_eviction =
        victim ? average_miss_rt_ * shortcut_hits(frequency_of(victim.bucket->counter(victim.i)))
               : kInfinite;
    if (value_density_ * kSlotBytes <= lost_by_eviction) {
      demote_for_table(lost_by_eviction / kSlotBytes);
      if (has_free_load()) return;
      victim = least_shortcut(p);  // the table may have changed
    }
  }
  if (!victim) victim = sample_least();
  if (!victim) return;
  note_victim(frequency_of(victim.bucket->counter(victim.i)));
  evict(victim);
}

// --- values ---

Slot AdaptiveCache::slot_of(const Item& item, Probe p) const noexcept {
  const uint64_t word = kValueBit | log_.offset_of(item);
  for (const uint32_t index : {table_.first_of(p), table_.second_of(p)}) {
    Bucket& b = table_.bucket(index);
    for (uint32_t i = 0; i < kSlots; ++i) {
      if (b.word[i] == word) return {&b, i};
    }
  }
  return {};
}

// Low quantile of what the hand meets: falls fast, rises slowly.
void AdaptiveCache::note_density(double density) noexcept {
  if (density < value_density_) {
    value_density_ = std::max(density, value_density_ * 0.8);
  } else {
    value_density_ = std::min(density, value_density_ * 1.05 + 1e-5);
  }
}

void AdaptiveCache::demote(Slot s) noexcept {
  Item& item = item_of(s);
  const Probe p = table_.probe(item.hash);
  const bool collides = static_cast<bool>(lookup(p, {}).shortcut);
  if (!keeps_shortcuts() || collides) {
    evict(s);
    return;
  }
  log_.kill(item);
  s.bucket->word[s.i] = item.address;
  s.bucket->clear_referenced(s.i);
  --values_;
  ++shortcuts_;
  ++demotions_;
  if (config_.policy != Policy::kStatic || shortcuts_ <= static_shortcuts_max_) return;
  if (const Slot victim = least_shortcut(p)) evict(victim);
}

bool AdaptiveCache::worth_keeping(Slot s, const Item& item, double density) noexcept {
  const bool referenced = s.bucket->referenced(s.i);
  if (!adaptive()) return referenced;
  const double hits = frequency_of(s.bucket->counter(s.i));
  const double bytes = item.bytes();
  note_density(hits / bytes);
  if (by_recency()) return referenced;
  const double rival_hits = density * bytes;
  return hits > (referenced ? (rival_hits - 1) / kRivalMargin : rival_hits);
}

// Moves the item from the tail to the head, if the page for it is there.
bool AdaptiveCache::keep_item(Slot s, Item& item, int64_t& copies_bytes) noexcept {
  const uint32_t bytes = item.bytes();
  if (copies_bytes < bytes) return false;
  Item* copy = log_.append(bytes);
  if (copy == nullptr) return false;
  std::memcpy(static_cast<void*>(copy), &item, bytes);
  copies_bytes -= bytes;
  log_.kill(item);
  s.bucket->word[s.i] = kValueBit | log_.offset_of(*copy);
  s.bucket->clear_referenced(s.i);
  return true;
}

// The hand's next item is kept or demoted. `density`: hits a byte of what the room is for. False
// when the log is empty, or when giving up would be better than going on.
bool AdaptiveCache::clear_one(double density, int64_t& copies_bytes) noexcept {
  Item* item = log_.at_hand();
  if (item == nullptr) return !log_.empty();
  const Slot s = slot_of(*item, table_.probe(item->hash));
  age(*s.bucket);
  if (!worth_keeping(s, *item, density)) {
    demote(s);
  } else if (!keep_item(s, *item, copies_bytes)) {
    if (adaptive()) return false;
    demote(s);
  }
  log_.pass_hand();
  return true;
}

bool AdaptiveCache::clear_tail(uint32_t item_bytes, double density) noexcept {
  int64_t copies_bytes = 4 * int64_t{item_bytes} + 512;
  const uint32_t steps_max = kHandStepsMin + item_bytes / 16;
  for (uint32_t steps = 0; steps < steps_max; ++steps) {
    if (value_room_bytes() >= static_cast<int64_t>(log_.cost_bytes(item_bytes))) return true;
    if (!clear_one(density, copies_bytes)) break;
  }
  return value_room_bytes() >= static_cast<int64_t>(log_.cost_bytes(item_bytes));
}

void AdaptiveCache::demote_for_table(double density) noexcept {
  int64_t copies_bytes = 2048;
  const auto bucket_bytes = static_cast<int64_t>(sizeof(Bucket));
  for (uint32_t steps = 0; steps < kHandStepsMin && room_bytes() < bucket_bytes; ++steps) {
    if (!clear_one(density, copies_bytes)) break;
  }
  // At once, or the next misses would put values where a value was just given up for shortcuts.
  for (uint32_t k = 0; k < kGrowthsMax && room_bytes() >= bucket_bytes; ++k) {
    if (!table_.grow()) break;
  }
}

// --- promotion ---

AdaptiveCache::Source AdaptiveCache::source_for(uint32_t code, uint32_t item_bytes) noexcept {
  const auto cost_bytes = static_cast<int64_t>(log_.cost_bytes(item_bytes));
  const int64_t room = value_room_bytes();
  if (room >= cost_bytes) return Source::kRoom;
  if (!adaptive()) return Source::kValues;

  const double hits = frequency_of(code);
  const double by_values = values_ > 0 ? value_density_ * item_bytes * kRivalMargin + 1 : kInfinite;
  const double taken = std::ceil(static_cast<double>(item_bytes) / kSlotBytes);
  const bool enough = table_.can_shrink() && static_cast<double>(shortcuts_) > taken;
  double by_shortcuts = enough ? average_miss_rt_ * taken * shortcut_hits(least_hits_) : kInfinite;
  if (by_shortcuts < by_values && hits > by_shortcuts / 2) {
    // Close enough to look at the shortcuts themselves instead of the moving average.
    double sum = 0;
    for (uint32_t k = 0; k < kSamples; ++k) {
      const Slot s = sample_least();
      if (!s) return Source::kNone;
      sum += shortcut_hits(frequency_of(s.bucket->counter(s.i)));
    }
    by_shortcuts = average_miss_rt_ * taken * sum / kSamples;
  }
  if (by_shortcuts < by_values && hits > by_shortcuts) return Source::kShortcuts;
  if (values_ > 0 && by_recency()) return Source::kValues;
  return hits > by_values ? Source::kValues : Source::kNone;
}

bool AdaptiveCache::obtain(Source source, uint32_t code, uint32_t item_bytes) noexcept {
  switch (source) {
    case Source::kRoom: return true;
    case Source::kValues:
      return clear_tail(item_bytes, static_cast<double>(frequency_of(code)) / item_bytes);
    case Source::kShortcuts: return shrink_table(item_bytes);
    case Source::kNone: break;
  }
  return false;
}

bool AdaptiveCache::shrink_table(uint32_t item_bytes) noexcept {
  const auto fits = [&] {
    return value_room_bytes() >= static_cast<int64_t>(log_.cost_bytes(item_bytes));
  };
  for (uint32_t k = 0; k < kShrinksMax && !fits(); ++k) {
    if (!retire_bucket()) return false;
  }
  return fits();
}

// False if the table is as small as it gets, or full of values.
bool AdaptiveCache::retire_bucket() noexcept {
  if (!table_.can_shrink()) return false;
  // One bucket less holds 4.75 slots less.
  while ((values_ + shortcuts_ + 1) * 4 > (table_.buckets() - 1) * uint64_t{19}) {
    const Slot victim = sample_least();
    if (!victim) return false;
    evict(victim);
  }
  shrink_one();
  return true;
}

void AdaptiveCache::shrink_one() noexcept {
  Bucket last;
  uint32_t index = 0;
  table_.shrink(last, index);
  if (sample_hand_ >= table_.buckets()) sample_hand_ = 0;
  age(last);
  for (uint32_t i = 0; i < kSlots; ++i) {
    if (!last.empty(i)) resettle(last, i, table_.probe_at(index, last, i));
  }
}

void AdaptiveCache::resettle(const Bucket& last, uint32_t i, Probe p) noexcept {
  Slot s = open_slot(p);
  if (!s) {
    s = least_shortcut(p);
    const bool worth = s && (last.is_value(i) || s.bucket->counter(s.i) < last.counter(i));
    if (!worth) {  // the one that moves is the one to go
      ++evictions_;
      if (last.is_value(i)) {
        log_.kill(*log_.item_at(last.word[i] & ~kValueBit));
        --values_;
      } else {
        --shortcuts_;
      }
      return;
    }
    evict(s);
  }
  mark(s, p);
  s.bucket->word[s.i] = last.word[i];
  s.bucket->set_counter(s.i, last.counter(i));
  if (last.referenced(i)) s.bucket->set_referenced(s.i);
}

}  // namespace dinomo::cache
