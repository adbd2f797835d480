// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>

#include "common/hash.h"
#include "dpm/check/audit.h"
#include "dpm/check/words.h"
#include "index/format.h"
#include "log/format.h"
#include "pool/superblock.h"

namespace dinomo::dpm {

using index::Bucket;
using index::Slot;
using pool::GlobalAddress;

namespace {

class IndexAudit {
 public:
  explicit IndexAudit(Audit& audit) : a_(audit), segments_(audit.service.segments()) {
    live_.resize(segments_.size());
  }

  void run() {
    index::IndexWriter& index = a_.service.index();
    const pool::TableRef next = index.next_table();
    for (const pool::TableRef table : {index.table(), next}) {
      if (!table) continue;
      a_.report.totals.buckets += table.buckets();
      for (uint64_t head = 0; head < table.buckets(); ++head) chain(table, head);
    }
    counters();
  }

 private:
  struct Found {
    Slot* slot;
    log::Entry entry;
  };

  uint64_t offset_of(const void* of) {
    return static_cast<uint64_t>(static_cast<const std::byte*>(of) - a_.space.memory().data());
  }

  void chain(pool::TableRef table, uint64_t head) {
    auto* bucket = a_.space.record<Bucket>(table.offset_bytes() + head * sizeof(Bucket));
    if ((bucket->header & index::kMigratedBit) != 0) return;
    found_.clear();
    uint64_t length = 0;
    // Recovery has made all links good.
    for (;; bucket = a_.space.record<Bucket>(bucket->next)) {
      ++length;
      for (Slot& slot : bucket->slots) {
        if (slot.hash != 0) look_at(slot);
      }
      if (bucket->next == 0) break;
    }
    CheckTotals& totals = a_.report.totals;
    totals.chain_buckets_max = std::max(totals.chain_buckets_max, length);
    ++totals.chains[std::min<uint64_t>(length, totals.chains.size()) - 1];
    for (size_t i = 1; i < found_.size(); ++i) look_for_duplicate(i);
  }

  void look_at(Slot& slot) {
    const GlobalAddress address(slot.address);
    const uint32_t id = segments_.find(address.offset_bytes());
    log::Entry entry;
    if (id == kNoSegment || !segments_.key_at(address) ||
        log::parse_entry_low8({a_.space.at(address.offset_bytes()), address.length_bytes()},
                              address.generation(), &entry) != log::EntryCheck::kValid ||
        key_hash(entry.key, a_.space.superblock().hash_seed) != slot.hash) {
      a_.report.add(Problem::kSlotInvalid, offset_of(&slot),
                    "hash " + hex(slot.hash) + " refers to " + hex(slot.address));
      discard(slot);
      return;
    }
    live_[id] += address.length_bytes();
    a_.report.totals.live_bytes += address.length_bytes();
    ++a_.report.totals.items;
    found_.push_back({&slot, entry});
  }

  void look_for_duplicate(size_t i) {
    for (size_t earlier = 0; earlier < i; ++earlier) {
      Found& first = found_[earlier];
      Found& second = found_[i];
      if (first.slot->hash == 0 || second.slot->hash == 0 ||
          first.slot->hash != second.slot->hash || !equal(first.entry.key, second.entry.key)) {
        continue;
      }
      // Lookups find the first; of one log's versions the newer one is right.
      const bool first_is_older = first.entry.header.log_id == second.entry.header.log_id &&
                                  first.entry.header.lsn < second.entry.header.lsn;
      Slot& wrong = first_is_older ? *first.slot : *second.slot;
      a_.report.add(
          Problem::kSlotDuplicate, offset_of(&wrong),
          "key " + quoted(second.entry.key) + " has a second slot, for " + hex(wrong.address));
      discard(wrong);
    }
  }

  void discard(Slot& slot) {
    if (!a_.repair) return;
    std::atomic_ref<uint64_t>(slot.hash).store(0, std::memory_order_release);
    a_.space.persist().persist(&slot.hash, sizeof slot.hash);
  }

  void counters() {
    const ServiceStats s = a_.service.stats();
    if (s.items != a_.report.totals.items) {
      a_.report.add(Problem::kCounters, 0,
                    "the service counts " + std::to_string(s.items) + " items, there are " +
                        std::to_string(a_.report.totals.items));
    }
    for (uint32_t id = 0; id < live_.size(); ++id) {
      if (segments_.live(id) == live_[id]) continue;
      a_.report.add(Problem::kCounters, segments_.offset(id),
                    "the service counts " + std::to_string(segments_.live(id)) +
                        " live bytes, there are " + std::to_string(live_[id]));
    }
    a_.report.totals.overflow_used = s.overflow_used;
    a_.report.totals.overflow_capacity = s.overflow_capacity;
  }

  Audit& a_;
  SegmentTable& segments_;
  std::vector<uint64_t> live_;
  std::vector<Found> found_;
};

}  // namespace

void audit_index(Audit& a) { IndexAudit(a).run(); }

}  // namespace dinomo::dpm
