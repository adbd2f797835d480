// SPDX-License-Identifier: BSD-3-Clause
// The memory node: recovers a pool, then serves mailboxes, merges logs and reclaims segments, until
// it is stopped. Everything happens in poll() and, if there are workers, in merge tasks; the
// service reads time only from its Clock, so the simulator runs it as it is with merge_workers = 0.
//
// Thread rule: all calls from one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "common/clock.h"
#include "dpm/compactor.h"
#include "dpm/expirer.h"
#include "dpm/mailbox_server.h"
#include "dpm/pin_table.h"
#include "dpm/recovery.h"
#include "fabric/driver.h"
#include "index/resizer.h"
#include "pool/space.h"

namespace dinomo::dpm {

struct ServiceConfig {
  uint32_t merge_workers = 1;      // 0: merge inside of poll()
  uint32_t reclaim_grace_ms = 50;  // an emptied segment is not granted again for so long
  uint32_t reserve_segments = 2;   // only for urgent grants: deletes go on when the pool is full
  uint32_t index_grace_ms = 3000;  // as for reclaim, but of the index; longer than any KN's lease
  uint32_t compact_below_percent = 8;  // compaction begins when less of the pool is free
  uint32_t expiry_grace_ms = 1000;     // an expired item stays for so long: clocks differ
  bool validate_index = false;         // at start, also after a clean stop
  DamageLog::Sink on_damage = {};      // hears of what recovery mends; from any thread
};

struct ServiceStats {
  uint64_t uptime_ms = 0;
  uint64_t boot_count = 0;
  uint64_t items = 0;
  uint64_t merged_entries = 0;
  uint64_t merged_bytes = 0;
  uint64_t merged_puts = 0;
  uint64_t merged_deletes = 0;
  uint64_t merge_batches = 0;
  uint64_t merge_replayed = 0;
  uint64_t merge_stalls = 0;
  uint64_t lag_entries = 0;
  SegmentCounts segments;
  uint64_t free_bytes = 0;      // for entries: free segments, and those that can still be allocated
  uint64_t capacity_bytes = 0;  // all segments that the pool can have
  uint64_t compaction_victims = 0;
  uint64_t compaction_outputs = 0;
  uint64_t compacted_entries = 0;
  uint64_t compacted_bytes = 0;
  uint64_t compaction_lost = 0;     // copies in vain, the item changed meanwhile
  uint64_t compaction_damaged = 0;  // live entries that are not valid; see dinomo-dpm --check
  uint64_t expiry_passes = 0;
  uint64_t expired_items = 0;
  uint64_t expired_bytes = 0;
  uint64_t overflow_used = 0;
  uint64_t overflow_capacity = 0;
  uint64_t index_buckets = 0;
  uint64_t index_next_buckets = 0;  // of the table that a resize fills, 0 none
  index::ResizeCounters resize;
  uint64_t replicated_keys = 0;  // that have a cell
  uint64_t session_evictions = 0;
  MailboxCounters mailbox;
  RecoveryReport recovery;
};

class Service {
 public:
  using Log = std::function<void(const std::string&)>;

  /// Recovers the pool; may take a while. `log` gets sentences for people, from poll() only.
  static Result<std::unique_ptr<Service>> start(pool::Space& space, Clock& clock,
                                                const ServiceConfig& config, Log log,
                                                std::string* why);
  ~Service();

  /// KNs reach the pool through it from now on. Must outlive the service. Once, before poll().
  void serve(fabric::Target& target);

  /// One turn; never blocks. Returns the events handled, 0 if there was nothing to do.
  uint32_t poll();

  /// Orderly end: merges what is in the logs and marks the pool as cleanly shut down. True when
  /// done; call again (instead of poll) until then, or give up: the pool is sound at any time.
  bool stop();

  /// Cheap enough for every second.
  ServiceStats stats();

  const RecoveryReport& recovery() const noexcept { return report_; }
  const DamageLog& damage() const noexcept { return damage_; }
  index::IndexWriter& index() noexcept { return *index_; }
  index::Resizer& resizer() noexcept { return *resizer_; }
  SegmentTable& segments() noexcept { return segments_; }
  CellTable& cells() noexcept { return cells_; }
  PinTable& pins() noexcept { return pins_; }

 private:
  Service(pool::Space& space, Clock& clock, const ServiceConfig& config, Log log);
  void begin_boot() noexcept;
  Status recover(std::string* why);
  Status merge_logs(std::string* why);
  void count_torn_tails() noexcept;
  uint32_t poll_index();
  uint32_t poll_space();
  void add_space_stats(ServiceStats* stats);
  void beat() noexcept;
  pool::PoolState& state() noexcept;

  pool::Space& space_;
  Clock& clock_;
  const ServiceConfig config_;
  Log log_;
  RecoveryReport report_;
  DamageLog damage_;
  SegmentTable segments_;
  std::unique_ptr<index::OverflowPool> overflow_;
  std::unique_ptr<index::IndexWriter> index_;
  std::unique_ptr<index::Reclaimer> reclaimer_;
  std::unique_ptr<index::Resizer> resizer_;  // after recovery
  SessionTable sessions_;
  CellTable cells_;
  PinTable pins_;
  std::unique_ptr<Merger> merger_;
  std::unique_ptr<Compactor> compactor_;
  std::unique_ptr<Expirer> expirer_;
  LogStates logs_;
  std::unique_ptr<MergePool> merges_;  // its tasks use all of the above: destroyed first
  std::unique_ptr<Directory> directory_;
  std::unique_ptr<MailboxServer> mailboxes_;
  fabric::Target* target_ = nullptr;
  std::unique_ptr<fabric::Target> nobody_;  // before serve()
  uint64_t started_ns_ = 0;
  uint64_t beat_at_ns_ = 0;
  uint64_t given_back_ = 0;  // as of reclaimer_
};

}  // namespace dinomo::dpm
