// SPDX-License-Identifier: BSD-3-Clause
#include "cache/adaptive.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <new>

namespace dinomo::cache {
namespace {

constexpr uint64_t kBudgetBytesMin = uint64_t{16} << 10;
static_assert(kBudgetBytesMin > 2 * (sizeof(AdaptiveCache) + sizeof(PagePool)));
// Pages half used at any time: the end of the table, the head and the tail of the log.
constexpr uint32_t kReservePages = 3;
constexpr uint32_t kEpochMask = 0xffff;
constexpr double kMissRtWeight = 1.0 / 64;

bool is_storable(pool::GlobalAddress address) noexcept {
  return address.word() != 0 && (address.word() & kValueBit) == 0;
}

/// Policy kNone: holds nothing, counts misses.
class NoCache final : public Dac {
 public:
  explicit NoCache(const DacConfig& config) noexcept
      : budget_bytes_(config.budget_bytes), miss_rt_(std::max(1.0, config.initial_miss_rt)) {}
  void prefetch(uint64_t) const noexcept override {}
  Found find(uint64_t, Bytes) noexcept override {
    ++misses_;
    return {};
  }
  void fill_miss(uint64_t, Bytes, Bytes, const ItemMeta&, pool::GlobalAddress,
                 uint32_t miss_rt) noexcept override {
    miss_rt_ += (std::max(1.0, double{1} * miss_rt) - miss_rt_) * kMissRtWeight;
  }
  void fill_shortcut_hit(uint64_t, Bytes, Bytes, const ItemMeta&,
                         pool::GlobalAddress) noexcept override {}
  void update(uint64_t, Bytes, Bytes, const ItemMeta&, pool::GlobalAddress) noexcept override {}
  void remove(uint64_t, Bytes) noexcept override {}
  void drop_shortcut(uint64_t, pool::GlobalAddress) noexcept override {}
  void clear() noexcept override {}
  void decay() noexcept override {}
  bool resize_step(uint64_t) noexcept override { return true; }
  DacStats stats() const noexcept override {
    return {.misses = misses_, .budget_bytes = budget_bytes_, .average_miss_rt = miss_rt_};
  }

 private:
  uint64_t budget_bytes_;
  uint64_t misses_ = 0;
  double miss_rt_;
};

}  // namespace

Result<std::unique_ptr<Dac>> Dac::create(const DacConfig& config) noexcept {
  if (config.policy == Policy::kNone) {
    std::unique_ptr<Dac> none(new (std::nothrow) NoCache(config));
    if (none == nullptr) return std::unexpected(Status::kNoResource);
    return none;
  }
  const bool fraction_ok = config.static_value_fraction >= 0 && config.static_value_fraction <= 1;
  if (config.policy == Policy::kStatic && !fraction_ok) return std::unexpected(Status::kInvalid);
  std::unique_ptr<AdaptiveCache> cache(new (std::nothrow) AdaptiveCache(config));
  if (cache == nullptr) return std::unexpected(Status::kNoResource);
  if (const Status s = cache->init(); !ok(s)) return std::unexpected(s);
  return cache;
}

Result<std::unique_ptr<PagePool>> make_page_pool(const DacConfig& each, uint32_t caches) noexcept {
  if (each.policy != Policy::kDac || each.budget_bytes < kBudgetBytesMin) {
    return std::unexpected(Status::kInvalid);
  }
  const uint64_t fixed_bytes =
      sizeof(AdaptiveCache) + sizeof(PagePool) + Ghosts::bytes_for(each.budget_bytes);
  return PagePool::create(each.budget_bytes - fixed_bytes, caches, kPagesMin);
}

AdaptiveCache::AdaptiveCache(const DacConfig& config) noexcept
    : average_miss_rt_(config.initial_miss_rt >= 1 ? config.initial_miss_rt : 1.0),
      config_(config) {
  if (config_.policy != Policy::kStatic) return;
  if (config_.static_value_fraction <= 0) config_.policy = Policy::kShortcutOnly;
  if (config_.static_value_fraction >= 1) config_.policy = Policy::kValueOnly;
}

Status AdaptiveCache::init() noexcept {
  if (config_.budget_bytes < kBudgetBytesMin) return Status::kInvalid;
  if (adaptive() && !ghosts_.init(config_.budget_bytes)) return Status::kNoResource;
  if (config_.pages != nullptr) {
    if (!adaptive() || config_.share >= config_.pages->shares()) return Status::kInvalid;
    arena_.init(*config_.pages, config_.share);
  } else {
    auto pages = PagePool::create(
        config_.budget_bytes - sizeof(*this) - sizeof(PagePool) - ghosts_.bytes(), 1, kPagesMin);
    if (!pages) return pages.error();
    own_pages_ = std::move(*pages);
    arena_.init(*own_pages_, 0);
  }
  if (!table_.init(arena_)) return Status::kInvalid;
  log_.init(arena_);
  reserve_bytes_ = keeps_values() ? uint64_t{kReservePages} * arena_.page_bytes() : 0;
  if (config_.policy == Policy::kStatic) {
    const double usable = static_cast<double>(arena_.pages_bytes() - reserve_bytes_);
    static_value_bytes_ = static_cast<int64_t>(usable * config_.static_value_fraction);
    static_shortcuts_max_ =
        static_cast<uint64_t>(usable * (1 - config_.static_value_fraction) / kSlotBytes);
  }
  return Status::kOk;
}

void AdaptiveCache::clear() noexcept {
  table_.reset();
  log_.reset();
  values_ = shortcuts_ = 0;
  least_hits_ = value_density_ = 0;
  sample_hand_ = 0;
  accesses_left_ = 1;
  pending_count_ = 0;
  ghosts_.clear();
}

DacStats AdaptiveCache::stats() const noexcept {
  return {
      .value_hits = value_hits_,
      .shortcut_hits = shortcut_hits_,
      .misses = misses_,
      .promotions = promotions_,
      .demotions = demotions_,
      .evictions = evictions_,
      .values = values_,
      .shortcuts = shortcuts_,
      .value_bytes = log_.live_bytes(),
      .used_bytes = sizeof(*this) + sizeof(PagePool) + ghosts_.bytes() + arena_.overhead_bytes() +
                    table_.paged_bytes() + log_.paged_bytes(),
      .budget_bytes = budget_bytes(),
      .allocated_bytes = sizeof(*this) + sizeof(PagePool) + ghosts_.bytes() + arena_.held_bytes(),
      .average_miss_rt = average_miss_rt_,
      .by_recency = by_recency(),
      .ages_fast = ghosts_.best_ageing() == Ageing::kFast,
      .what_if = ghosts_.curve(recent_rt_)};
}

void AdaptiveCache::note_miss_rt(uint32_t miss_rt) noexcept {
  const double cost = miss_rt < 1 ? 1.0 : miss_rt;
  average_miss_rt_ += (cost - average_miss_rt_) * kMissRtWeight;
}

void AdaptiveCache::note_sampled_read(uint64_t hash) noexcept {
  constexpr uint64_t kReads = 4096;
  const Ageing before = ghosts_.best_ageing();
  ghosts_.note_read(hash, {.budget_bytes = arena_.pages_bytes() - reserve_bytes_,
                           .value_bytes = log_.span_bytes(),
                           .records = values_ + shortcuts_,
                           .miss_rt = average_miss_rt_});
  if (before == Ageing::kSlow && ghosts_.best_ageing() == Ageing::kFast) next_epoch();
  const uint64_t reads = value_hits_ + shortcut_hits_ + misses_;
  if (reads - recent_reads_ < kReads) return;
  const double cost = average_miss_rt_ * static_cast<double>(misses_ - recent_misses_) +
                      static_cast<double>(shortcut_hits_ - recent_shortcut_hits_);
  const double rt = cost / static_cast<double>(reads - recent_reads_);
  recent_rt_ = recent_reads_ == 0 ? rt : (recent_rt_ + rt) / 2;
  recent_reads_ = reads;
  recent_misses_ = misses_;
  recent_shortcut_hits_ = shortcut_hits_;
}

void AdaptiveCache::note_item(uint64_t hash, Bytes key, Bytes value, bool used) noexcept {
  if (!adaptive() || !ghosts_.sampled(hash)) return;
  ghosts_.note_item(hash, Item::bytes_for(key.size(), value.size()), used);
}

// --- ageing ---

void AdaptiveCache::tick() noexcept {
  if (--accesses_left_ == 0) next_epoch();
}

void AdaptiveCache::next_epoch() noexcept {
  const uint64_t records = values_ + shortcuts_;
  epoch_ = (epoch_ + 1) & kEpochMask;
  if (adaptive()) {
    const bool fast = ghosts_.best_ageing() == Ageing::kFast;
    accesses_left_ = (fast ? kDecayAccessesFast : kDecayAccessesSlow) * records + 1024;
    least_hits_ /= 2;
    value_density_ /= 2;
  } else {
    accesses_left_ = records / 32 + 1;  // the counter tells 512 steps of age
  }
}

void AdaptiveCache::age_slots(Bucket& b) const noexcept {
  const uint32_t steps = (epoch_ - (b.header >> 16)) & kEpochMask;
  for (uint32_t i = 0; i < kSlots; ++i) {
    uint32_t code = b.counter(i);
    if (adaptive()) {
      for (uint32_t k = 0; k < steps && code != 0; ++k) code = frequency_halved(code);
    } else {
      code -= std::min(code, steps);
    }
    b.set_counter(i, code);
  }
  b.header = (b.header & kEpochMask) | epoch_ << 16;
}

void AdaptiveCache::touch(Slot s) noexcept {
  Bucket& b = *s.bucket;
  age(b);
  b.set_counter(s.i, adaptive() ? frequency_incremented(b.counter(s.i), dice_) : kCounterMask);
  b.set_referenced(s.i);
}

// --- lookup ---

void AdaptiveCache::prefetch(uint64_t hash) const noexcept {
  const Probe p = table_.probe(hash);
  const Bucket* first = &table_.bucket(table_.first_of(p));
  const Bucket* second = &table_.bucket(table_.second_of(p));
  __builtin_prefetch(first, 1);
  __builtin_prefetch(second, 1);
  // Second stage: by now the oldest buckets asked for have arrived, and name their values.
  if (pending_count_ == pending_.size()) {
    prefetch_item(pending_[pending_first_ % pending_.size()]);
    ++pending_first_;
    --pending_count_;
  }
  pending_[(pending_first_ + pending_count_++) % pending_.size()] = {first, second, p.tag};
}

void AdaptiveCache::prefetch_item(const Pending& pending) const noexcept {
  // The buckets may have moved meanwhile: what is read then is stale but mapped, a hint at worst.
  const uint32_t want = pending.tag << kTagShift;
  const Bucket* b = pending.first;
  uint32_t matches = Table::match(*b, want);
  if (matches == 0) {
    b = pending.second;
    matches = Table::match(*b, want | kSecondBit);
    if (matches == 0) return;
  }
  const uint64_t word = b->word[static_cast<uint32_t>(std::countr_zero(matches))];
  if ((word & kValueBit) == 0) return;
  const std::byte* item = arena_.at(word & ~kValueBit);
  __builtin_prefetch(item);
  __builtin_prefetch(item + kCacheLineBytes);
}

void AdaptiveCache::prefetch_items() const noexcept {
  while (pending_count_ > 0) {
    prefetch_item(pending_[pending_first_++ % pending_.size()]);
    --pending_count_;
  }
}

AdaptiveCache::Matches AdaptiveCache::lookup(Probe p, Bytes key) const noexcept {
  Matches found;
  for (uint32_t which = 0; which < 2; ++which) {
    Bucket& b = table_.bucket(which == 0 ? table_.first_of(p) : table_.second_of(p));
    uint32_t mask = Table::match(b, p.tag << kTagShift | (which == 0 ? 0 : kSecondBit));
    for (; mask != 0; mask &= mask - 1) {
      const Slot s{&b, static_cast<uint32_t>(std::countr_zero(mask))};
      if (b.is_shortcut(s.i)) {
        found.shortcut = s;
      } else if (item_of(s).has_key(key)) {
        found.value = s;
      }
    }
  }
  return found;
}

Found AdaptiveCache::find(uint64_t hash, Bytes key) noexcept {
  tick();
  if (pending_count_ != 0) prefetch_items();
  const bool sampled = adaptive() && ghosts_.sampled(hash);
  if (sampled) note_sampled_read(hash);
  const Probe p = table_.probe(hash);
  for (uint32_t which = 0; which < 2; ++which) {
    Bucket& b = table_.bucket(which == 0 ? table_.first_of(p) : table_.second_of(p));
    uint32_t mask = Table::match(b, p.tag << kTagShift | (which == 0 ? 0 : kSecondBit));
    for (; mask != 0; mask &= mask - 1) {
      const Slot s{&b, static_cast<uint32_t>(std::countr_zero(mask))};
      if (b.is_shortcut(s.i)) {
        touch(s);
        ++shortcut_hits_;
        return {.kind = Found::Kind::kShortcut,
                .meta = {},
                .value = {},
                .address = pool::GlobalAddress(b.word[s.i])};
      }
      const Item& item = item_of(s);
      if (!item.has_key(key)) continue;
      touch(s);
      ++value_hits_;
      if (sampled) ghosts_.note_item(hash, item.bytes(), false);
      return {.kind = Found::Kind::kValue,
              .meta = {.version = item.version,
                       .expiry_ms = item.expiry_ms,
                       .item_flags = item.item_flags},
              .value = item.value(),
              .address = pool::GlobalAddress(item.address)};
    }
  }
  ++misses_;
  return {};
}

// --- changes ---

void AdaptiveCache::drop(Slot s) noexcept {
  if (s.bucket->is_value(s.i)) {
    log_.kill(item_of(s));
    --values_;
  } else {
    --shortcuts_;
  }
  s.bucket->clear(s.i);
}

void AdaptiveCache::evict(Slot s) noexcept {
  ++evictions_;
  drop(s);
}

bool AdaptiveCache::cacheable(const Record& r) const noexcept {
  // A caller that hands back a value it got from find() would have it overwritten while it is
  // moved.
  return keeps_values() && r.key.size() <= Item::kKeyBytesMax &&
         r.value.size() <= Item::kValueBytesMax &&
         Item::bytes_for(r.key.size(), r.value.size()) <= arena_.page_bytes() &&
         !arena_.contains(r.value.data());
}

void AdaptiveCache::fill_miss(uint64_t hash, Bytes key, Bytes value, const ItemMeta& meta,
                              pool::GlobalAddress address, uint32_t miss_rt) noexcept {
  note_miss_rt(miss_rt);
  note_item(hash, key, value, false);
  if (!is_storable(address)) return;
  const Probe p = table_.probe(hash);
  const Matches found = lookup(p, key);
  if (found.value) drop(found.value);
  if (found.shortcut) drop(found.shortcut);
  place_new(p, {hash, key, value, meta, address.word()}, fresh_code());
}

void AdaptiveCache::fill_shortcut_hit(uint64_t hash, Bytes key, Bytes value, const ItemMeta& meta,
                                      pool::GlobalAddress address) noexcept {
  note_item(hash, key, value, false);
  const Probe p = table_.probe(hash);
  const Matches found = lookup(p, key);
  // Replaced or evicted while the entry was read: what was read may be old.
  if (!found.shortcut || found.shortcut.bucket->word[found.shortcut.i] != address.word()) return;
  promote_if_worth(p, found.shortcut, {hash, key, value, meta, address.word()});
}

void AdaptiveCache::update(uint64_t hash, Bytes key, Bytes value, const ItemMeta& meta,
                           pool::GlobalAddress address) noexcept {
  tick();
  if (!is_storable(address)) {
    remove(hash, key);  // nothing newer to hold; what is held is older
    return;
  }
  note_item(hash, key, value, true);
  const Probe p = table_.probe(hash);
  const Record r{hash, key, value, meta, address.word()};
  Matches found = lookup(p, key);
  if (!found.value && !found.shortcut) {
    place_new(p, r, fresh_code());
    return;
  }
  if (found.value) {
    touch(found.value);
    Item& item = item_of(found.value);
    if (item.bytes() == Item::bytes_for(key.size(), value.size())) {
      log_.rewrite(item, value, meta, r.address);
      return;
    }
    // Another size needs another place; until it is found the key is held by its new shortcut.
    if (found.shortcut) drop(found.shortcut);
    log_.kill(item);
    --values_;
    ++shortcuts_;
    found.shortcut = found.value;
  } else {
    touch(found.shortcut);
  }
  found.shortcut.bucket->word[found.shortcut.i] = r.address;
  promote_if_worth(p, found.shortcut, r);
}

void AdaptiveCache::remove(uint64_t hash, Bytes key) noexcept {
  if (adaptive() && ghosts_.sampled(hash)) ghosts_.forget(hash);
  const Matches found = lookup(table_.probe(hash), key);
  if (found.value) drop(found.value);
  if (found.shortcut) drop(found.shortcut);
}

void AdaptiveCache::drop_shortcut(uint64_t hash, pool::GlobalAddress address) noexcept {
  const Matches found = lookup(table_.probe(hash), {});
  if (found.shortcut && found.shortcut.bucket->word[found.shortcut.i] == address.word()) {
    drop(found.shortcut);
  }
}

void AdaptiveCache::place_new(Probe p, const Record& r, uint32_t code) noexcept {
  if (cacheable(r)) {
    const uint32_t bytes = Item::bytes_for(r.key.size(), r.value.size());
    bool room = value_room_bytes() >= static_cast<int64_t>(log_.cost_bytes(bytes));
    if (!room && !adaptive()) room = clear_tail(bytes, 0);
    if (room && insert_value(p, r, code, false)) return;
  }
  if (keeps_shortcuts()) insert_shortcut(p, r.address, code);
}

bool AdaptiveCache::insert_value(Probe p, const Record& r, uint32_t code,
                                 bool referenced) noexcept {
  Item* item = log_.append(Item::bytes_for(r.key.size(), r.value.size()));
  if (item == nullptr) return false;
  *item = {.hash = r.hash,
           .address = r.address,
           .version = r.meta.version,
           .expiry_ms = r.meta.expiry_ms,
           .item_flags = r.meta.item_flags,
           .value_bytes = static_cast<uint16_t>(r.value.size()),
           .key_bytes = static_cast<uint8_t>(r.key.size()),
           .dead = 0};
  if (!r.key.empty()) std::memcpy(item->body(), r.key.data(), r.key.size());
  if (!r.value.empty()) {
    std::memcpy(item->body() + r.key.size(), r.value.data(), r.value.size());
  }
  has_free_load();  // grows the table if there is room; values may also crowd it
  const Slot s = take_slot(p);
  mark(s, p);
  s.bucket->word[s.i] = kValueBit | log_.offset_of(*item);
  s.bucket->set_counter(s.i, code);
  if (referenced) s.bucket->set_referenced(s.i);
  ++values_;
  return true;
}

void AdaptiveCache::insert_shortcut(Probe p, uint64_t address, uint32_t code) noexcept {
  make_slot(p);
  // Making room may have demoted a value of a key that collides with this one.
  if (const Slot other = lookup(p, {}).shortcut) evict(other);
  const Slot s = take_slot(p);
  mark(s, p);
  s.bucket->word[s.i] = address;
  s.bucket->set_counter(s.i, code);
  ++shortcuts_;
}

void AdaptiveCache::promote_if_worth(Probe p, Slot s, const Record& r) noexcept {
  if (!cacheable(r)) {
    if (!keeps_shortcuts()) drop(s);
    return;
  }
  const uint32_t code = s.bucket->counter(s.i);
  const uint32_t bytes = Item::bytes_for(r.key.size(), r.value.size());
  const Source source = source_for(code, bytes);
  if (source == Source::kNone) return;
  // Taken out first, so that making room cannot pick the very shortcut it is made for.
  drop(s);
  if (obtain(source, code, bytes) && insert_value(p, r, code, true)) {
    ++promotions_;
  } else if (keeps_shortcuts()) {
    insert_shortcut(p, r.address, code);
  }
}

}  // namespace dinomo::cache
