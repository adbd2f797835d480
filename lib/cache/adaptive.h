// SPDX-License-Identifier: BSD-3-Clause
// The cache behind dac.h, for every policy that holds something: a table of slots (table.h), a log
// of values (value_log.h), and the rules that move memory between them.
//
// Room is counted in bytes: pool = table + span of the log + room + reserve. The reserve covers
// what is lost to half-used pages, so whoever has room also finds a page.
//
// Thread rule: the owning worker lcore.
#pragma once

#include <array>
#include <memory>

#include "cache/arena.h"
#include "cache/dac.h"
#include "cache/frequency.h"
#include "cache/ghosts.h"
#include "cache/table.h"
#include "cache/value_log.h"

namespace dinomo::cache {

// The table grows at 4.25 of 5 slots in use while there is room, and else fills to 4.75 and more,
// so this is what a shortcut costs all in when memory is short.
inline constexpr double kSlotBytes = sizeof(Bucket) / 4.75;
// How often hit counters are halved, in accesses per record held: slowly, unless the ghost list
// says that the load changes faster.
inline constexpr uint64_t kDecayAccessesSlow = 16;
inline constexpr uint64_t kDecayAccessesFast = 4;
inline constexpr uint32_t kPagesMin = 8;
// Work of one call is bounded: the rest is left to the calls that follow.
inline constexpr uint32_t kHandStepsMin = 64;

class AdaptiveCache final : public Dac {
 public:
  explicit AdaptiveCache(const DacConfig& config) noexcept;
  Status init() noexcept;

  void prefetch(uint64_t hash) const noexcept override;
  Found find(uint64_t hash, Bytes key) noexcept override;
  void fill_miss(uint64_t hash, Bytes key, Bytes value, const ItemMeta& meta,
                 pool::GlobalAddress address, uint32_t miss_rt) noexcept override;
  void fill_shortcut_hit(uint64_t hash, Bytes key, Bytes value, const ItemMeta& meta,
                         pool::GlobalAddress address) noexcept override;
  void update(uint64_t hash, Bytes key, Bytes value, const ItemMeta& meta,
              pool::GlobalAddress address) noexcept override;
  void remove(uint64_t hash, Bytes key) noexcept override;
  void drop_shortcut(uint64_t hash, pool::GlobalAddress address) noexcept override;
  void clear() noexcept override;
  void decay() noexcept override { next_epoch(); }
  bool resize_step(uint64_t budget_bytes) noexcept override;
  DacStats stats() const noexcept override;

 private:
  struct Record {
    uint64_t hash;
    Bytes key;
    Bytes value;
    const ItemMeta& meta;
    uint64_t address;
  };
  struct Matches {
    Slot value;     // of exactly this key
    Slot shortcut;  // of this key or one that collides with it
  };
  enum class Source : uint8_t { kNone, kRoom, kValues, kShortcuts };
  struct Pending {
    const Bucket* first;
    const Bucket* second;
    uint32_t tag;
  };

  // Lookup and bookkeeping (adaptive.cc)
  Matches lookup(Probe p, Bytes key) const noexcept;
  void prefetch_items() const noexcept;
  void prefetch_item(const Pending& pending) const noexcept;
  void tick() noexcept;
  void next_epoch() noexcept;
  void age(Bucket& b) const noexcept {
    if ((b.header >> 16) != epoch_) age_slots(b);
  }
  void age_slots(Bucket& b) const noexcept;
  void touch(Slot s) noexcept;
  void note_miss_rt(uint32_t miss_rt) noexcept;
  void note_sampled_read(uint64_t hash) noexcept;
  void note_item(uint64_t hash, Bytes key, Bytes value, bool used) noexcept;
  bool by_recency() const noexcept { return ghosts_.best_order() == Order::kRecency; }
  Item& item_of(Slot s) const noexcept { return *log_.item_at(s.bucket->word[s.i] & ~kValueBit); }
  void drop(Slot s) noexcept;
  void evict(Slot s) noexcept;
  bool cacheable(const Record& r) const noexcept;
  void place_new(Probe p, const Record& r, uint32_t code) noexcept;
  bool insert_value(Probe p, const Record& r, uint32_t code, bool referenced) noexcept;
  void insert_shortcut(Probe p, uint64_t address, uint32_t code) noexcept;
  void promote_if_worth(Probe p, Slot s, const Record& r) noexcept;

  // Room (replacement.cc)
  int64_t room_bytes() const noexcept;
  int64_t value_room_bytes() const noexcept;
  double shortcut_hits(double counted) const noexcept;
  bool adaptive() const noexcept { return config_.policy == Policy::kDac; }
  bool keeps_values() const noexcept { return config_.policy != Policy::kShortcutOnly; }
  bool keeps_shortcuts() const noexcept { return config_.policy != Policy::kValueOnly; }
  uint32_t fresh_code() const noexcept { return adaptive() ? 1 : kCounterMask; }
  Source source_for(uint32_t code, uint32_t item_bytes) noexcept;
  bool obtain(Source source, uint32_t code, uint32_t item_bytes) noexcept;
  bool clear_tail(uint32_t item_bytes, double density) noexcept;
  bool clear_one(double density, int64_t& copies_bytes) noexcept;
  bool worth_keeping(Slot s, const Item& item, double density) noexcept;
  bool keep_item(Slot s, Item& item, int64_t& copies_bytes) noexcept;
  void demote(Slot s) noexcept;
  bool shrink_table(uint32_t item_bytes) noexcept;
  void shrink_one() noexcept;
  void resettle(const Bucket& last, uint32_t i, Probe p) noexcept;
  bool has_free_load() noexcept;
  void make_slot(Probe p) noexcept;
  void demote_for_table(double density) noexcept;
  Slot take_slot(Probe p) noexcept;
  Slot free_slot(Probe p) const noexcept;
  Slot open_slot(Probe p) noexcept;
  Slot displace(uint32_t index, uint32_t depth) noexcept;
  Slot least_shortcut(Probe p) const noexcept;
  Slot least_value(Probe p) const noexcept;
  Slot sample_least() noexcept;
  void mark(Slot s, Probe p) const noexcept;
  Slot slot_of(const Item& item, Probe p) const noexcept;
  void note_victim(uint32_t hits) noexcept { least_hits_ += (hits - least_hits_) / 8; }
  void note_density(double density) noexcept;
  bool retire_bucket() noexcept;

  // Budget (resize.cc)
  uint64_t budget_bytes() const noexcept;
  uint32_t pages_for(uint64_t budget_bytes) const noexcept;
  void give_up_room() noexcept;

  // First line: what a hit touches.
  Table table_;
  ValueLog log_;
  uint64_t accesses_left_ = 1;  // until the next ageing epoch
  uint32_t epoch_ = 0;          // 16 bits
  Dice dice_;
  uint64_t value_hits_ = 0, shortcut_hits_ = 0, misses_ = 0;

  uint64_t values_ = 0, shortcuts_ = 0;
  uint64_t reserve_bytes_ = 0;
  int64_t static_value_bytes_ = 0;     // kStatic: for items and their slots
  uint64_t static_shortcuts_max_ = 0;  // kStatic
  double average_miss_rt_ = 2;
  double least_hits_ = 0;     // moving average over shortcuts evicted or sampled for eviction
  double value_density_ = 0;  // hits a byte of the least-used values, a low quantile
  uint32_t sample_hand_ = 0;  // bucket
  uint64_t promotions_ = 0, demotions_ = 0, evictions_ = 0;

  Ghosts ghosts_;         // of the adaptive policy only
  double recent_rt_ = 0;  // round trips a read, lately
  uint64_t recent_reads_ = 0, recent_shortcut_hits_ = 0, recent_misses_ = 0;

  mutable std::array<Pending, 8> pending_{};  // buckets on their way, whose values are to be loaded
  mutable uint32_t pending_first_ = 0;
  mutable uint32_t pending_count_ = 0;

  DacConfig config_;
  std::unique_ptr<PagePool> own_pages_;  // unless they are shared
  Arena arena_;
};

}  // namespace dinomo::cache
