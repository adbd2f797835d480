// SPDX-License-Identifier: BSD-3-Clause
// DAC: disaggregated adaptive caching (DINOMO section 4; doc/design.md). One per worker, no locks.
//
// Holds, within a budget of real bytes, values (a hit costs 0 round trips) and shortcuts, i.e.
// global addresses of entries (1 round trip). A shortcut costs at most 24 bytes all in and does not
// keep its key: whoever reads through it checks the key in the entry.
//
// Thread rule: the owning worker lcore. No allocation after create().
#pragma once

#include <cstdint>
#include <memory>

#include "common/bytes.h"
#include "common/status.h"
#include "pool/address.h"

namespace dinomo::cache {

class PagePool;

/// Another hash for the key: a record that was filled under one epoch of a key is never found under
/// another. So whoever counts an epoch up forgets what may be thousands of records at no cost; they
/// are replaced as what is never used is. Epoch 0 is the hash itself.
inline constexpr uint32_t kEpochs = 1 << 16;
uint64_t hash_in_epoch(uint64_t hash, uint32_t epoch) noexcept;

enum class Policy : uint8_t {
  kDac,           // adaptive
  kValueOnly,     // values, LRU
  kShortcutOnly,  // shortcuts, LRU
  kStatic,        // a fixed fraction of the budget for values
  kNone,          // every find misses
};

struct DacConfig {
  uint64_t budget_bytes = uint64_t{64} << 20;
  Policy policy = Policy::kDac;
  double static_value_fraction = 0.5;  // kStatic only
  double initial_miss_rt = 2.0;        // until measured
  // kDac: the memory that several caches divide between them, from make_page_pool(), and which
  // share is this cache's. nullptr: memory of its own.
  PagePool* pages = nullptr;
  uint32_t share = 0;
};

/// The memory of `caches` caches of kDac that begin with `each.budget_bytes` each and may later
/// pass memory to each other. kInvalid if the budget is too small. Start-up code.
Result<std::unique_ptr<PagePool>> make_page_pool(const DacConfig& each, uint32_t caches) noexcept;

struct ItemMeta {
  uint64_t version = 0;
  uint64_t expiry_ms = 0;  // 0 never
  uint32_t item_flags = 0;
};

struct Found {
  enum class Kind : uint8_t { kMiss, kShortcut, kValue };
  Kind kind = Kind::kMiss;
  ItemMeta meta;  // kValue
  Bytes value;    // kValue; valid until the next call that is not find() or prefetch()
  pool::GlobalAddress address;  // kShortcut and kValue
};

/// Estimates, from a sample of the keys (ghosts.h), of the round trips a read costs.
struct WhatIf {
  bool known = false;  // false until there is enough to estimate from
  double half = 0;     // with half the memory
  double same = 0;     // with the memory at hand: measured
  double twice = 0;    // with twice the memory

  /// Thousandths of a round trip, as statistics show them: never 0, which stands for unknown.
  static uint32_t millirt(double rt) noexcept {
    return rt < 0.001 ? 1 : static_cast<uint32_t>(rt * 1000);
  }
};

struct DacStats {
  uint64_t value_hits = 0, shortcut_hits = 0, misses = 0;
  uint64_t promotions = 0, demotions = 0, evictions = 0;
  uint64_t values = 0, shortcuts = 0;        // held now
  uint64_t value_bytes = 0, used_bytes = 0;  // charged now, metadata included
  uint64_t budget_bytes = 0;                 // now
  uint64_t allocated_bytes = 0;              // mapped for this cache now; never above the budget
  double average_miss_rt = 0;
  bool by_recency = false;  // kDac: values are replaced by recency now, not by frequency
  bool ages_fast = false;   // kDac: hit counts are forgotten sooner than usual
  WhatIf what_if = {};      // kDac
};

class Dac {
 public:
  /// kInvalid if the budget is too small to hold anything under the policy.
  static Result<std::unique_ptr<Dac>> create(const DacConfig& config) noexcept;
  virtual ~Dac() = default;

  /// Starts loading what find() will touch.
  virtual void prefetch(uint64_t hash) const noexcept = 0;

  /// Looks up and counts the hit. `hash` is key_hash(key) everywhere.
  virtual Found find(uint64_t hash, Bytes key) noexcept = 0;

  /// After a miss was served from the pool at a cost of `miss_rt` round trips.
  virtual void fill_miss(uint64_t hash, Bytes key, Bytes value, const ItemMeta& meta,
                         pool::GlobalAddress address, uint32_t miss_rt) noexcept = 0;

  /// After a shortcut hit was served (and its key found right): may promote it to a value.
  virtual void fill_shortcut_hit(uint64_t hash, Bytes key, Bytes value, const ItemMeta& meta,
                                 pool::GlobalAddress address) noexcept = 0;

  /// After a write to the key became durable: value and shortcut are replaced together.
  virtual void update(uint64_t hash, Bytes key, Bytes value, const ItemMeta& meta,
                      pool::GlobalAddress address) noexcept = 0;

  /// After a delete became durable, or when an item was found expired.
  virtual void remove(uint64_t hash, Bytes key) noexcept = 0;

  /// The entry behind a shortcut was not this key's, or gone.
  virtual void drop_shortcut(uint64_t hash, pool::GlobalAddress address) noexcept = 0;

  virtual void clear() noexcept = 0;

  /// Goes one bounded step towards another budget: takes at most one page, or gives up at most 64
  /// records to make a page free for others. True when there is nothing left to do; until then to
  /// be called again. Only caches with `pages` have anywhere to get memory from; the budget is kept
  /// within a small minimum and 4 times the first one.
  virtual bool resize_step(uint64_t budget_bytes) noexcept = 0;

  /// Ages all hit counters once; the control lcore calls for it through the worker.
  virtual void decay() noexcept = 0;

  virtual DacStats stats() const noexcept = 0;
};

}  // namespace dinomo::cache
