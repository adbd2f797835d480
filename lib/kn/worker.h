// SPDX-License-Identifier: BSD-3-Clause
// The request engine of one worker lcore: serves the keys that the ring gives to it.
//
// One turn (poll()):
//   receive -> parse -> lease and ownership -> hits in place -> coroutines for the rest
//   -> group commit -> fabric completions -> replies
//
// Order per key: reads see durable state only. A read that was under way when a write became
// durable answers its waiters with the older value (it began earlier) and never fills the cache.
// An operation whose outcome depends on the item (all mutations but PUT: operation.h) holds the key
// from its look at the item until what it wrote is durable: later writes of the key wait.
//
// Files: worker.cc (turn, attach), ring_change.cc (hand-over), strangers.cc (who may ask), serve.cc
// (requests), read_path.cc, write_path.cc (the log), conditional.cc (mutations), session_lookup.cc,
// shared_path.cc (replicated keys: shared_keys.h). Other protocols on the lcore: front_end.h.
// Thread rule: everything but the constructor and the *_for_control functions runs on one lcore. No
// locks, no allocation after attach, no exceptions.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bitset>
#include <coroutine>
#include <memory>
#include <optional>
#include <vector>

#include "cache/dac.h"
#include "common/align.h"
#include "common/clock.h"
#include "fabric/fabric.h"
#include "index/format.h"
#include "ingress/network_list.h"
#include "kn/admission.h"
#include "kn/backlog.h"
#include "kn/cookies.h"
#include "kn/delay.h"
#include "kn/front_end.h"
#include "kn/key_locks.h"
#include "kn/operation.h"
#include "kn/replies.h"
#include "kn/sessions.h"
#include "kn/shared_keys.h"
#include "kn/stats.h"
#include "kn/task.h"
#include "log/log_writer.h"
#include "log/unmerged.h"
#include "pool/format.h"
#include "ring/ring.h"

struct rte_rcu_qsbr;

namespace dinomo::kn {

struct WorkerConfig {
  uint16_t worker = 0;
  uint16_t workers = 1;
  cache::DacConfig cache;
  CookieSecret cookie_secret{};
  uint32_t sessions_max = 1024;
  uint32_t session_window = 256;
  uint32_t session_idle_ms = 600'000;
  uint32_t cookie_period_ms = 600'000;
  uint32_t strangers_per_s = 1000;  // datagrams of one source without a valid cookie
  ingress::NetworkList clients{};   // that may have a session; empty: all
  uint32_t fetches_max = 128;       // remote lookups in flight
  uint32_t unmerged_log2 = 18;      // entries findable before their merge
  uint64_t staging_bytes = uint64_t{4} << 20;
  uint32_t unmerged_segments_max = 2;
  uint32_t write_wait_us = 20'000;  // a write waits so long for room, then BUSY
  uint32_t queue_wait_us = 2000;    // what would wait longer for its turn gets BUSY (admission.h)
  uint16_t datagram_bytes_max = wire::kDatagramBytesMax;
};

/// Read by all workers, written by the control lcore.
struct Shared {
  std::atomic<uint64_t> lease_deadline_ns{0};  // a worker serves only before it
  std::atomic<uint64_t> slow_ns{UINT64_MAX};   // an operation that took longer is kept in slow logs
  std::atomic<uint64_t> index_table{0};  // IndexRoot.current, looked at for every lease renewal
  std::atomic<const ring::Ring*> ring{nullptr};
  rte_rcu_qsbr* rcu = nullptr;            // workers are readers 0..workers-1
  std::vector<const WorkerStats*> stats;  // of all workers; fixed before the first turn
};

/// A worker's share of one registration with the DPM. Made by the control lcore.
struct Attachment {
  fabric::Fabric* fabric = nullptr;
  pool::Superblock superblock{};
  uint16_t kn_slot = 0;
  uint32_t incarnation = 0;
  uint16_t log_id = 0;
  uint64_t first_lsn = 1;
  uint64_t merged_sequence = 0;
  pool::TableRef table;
};

/// Something that a worker has begun and not answered, for a crash dump.
struct UnderWay {
  const char* what = "";
  uint16_t worker = 0;
  uint64_t key_hash = 0;
  uint64_t session = 0;
  uint64_t sequence = 0;
};

class Worker {
 public:
  /// Allocates everything. kInvalid: a limit or the cache configuration makes no sense.
  static Result<std::unique_ptr<Worker>> create(const WorkerConfig& config, ingress::Queue* queue,
                                                Clock* clock, Shared* shared) noexcept;
  ~Worker();

  /// One bounded turn; returns work done (0: nothing was to do).
  uint32_t poll() noexcept;

  /// The next turn will find work: do not even pause.
  bool busy() const noexcept;
  /// Something is under way that only poll() can notice: block briefly at most.
  bool waiting() const noexcept;

  const WorkerStats& stats() const noexcept { return stats_; }

  /// Calls tell(UnderWay) for what is under way, at most kDumpedMax of each kind. For a process
  /// that is about to die: any thread, within a signal handler; reads what may be half changed.
  template <class Tell>
  void dump_for_crash(Tell&& tell) const noexcept;
  FramePool& frames() noexcept { return frames_; }

  /// Before the first turn. Not owned; outlives the worker's last turn. Gets the datagrams of the
  /// ingress's shared port `port`, if that is not 0.
  void set_front_end(FrontEnd* front_end, uint16_t port = 0) noexcept {
    front_end_ = front_end;
    front_end_port_ = port;
  }
  /// An operation of the front end (any on a key), from its receive(); contract: front_end.h.
  /// Answered BAD_REQUEST or TOO_LARGE if key or value are not within the limits.
  void submit(const Operation& operation, uint64_t tag) noexcept;
  /// Calendar time of this turn: what expiry is counted from and held against.
  uint64_t unix_ms() const noexcept { return unix_ms_; }

  // For the control lcore ------------------------------------------------------------------------

  /// Makes the worker serve under `attachment` (nullptr: serve nothing). The worker first ends what
  /// is under way under the old one. Takes effect when attached_for_control() returns the same.
  /// REQUIRES: attached_for_control() is nullptr if `attachment` is not.
  void attach_for_control(const Attachment* attachment) noexcept {
    // Whatever ended the last attachment says nothing of this one, even before the worker's turn.
    if (attachment != nullptr) log_status_.store(Status::kOk);
    wanted_.store(attachment);
  }
  const Attachment* attached_for_control() const noexcept { return attached_.load(); }
  /// What the cache is to grow or shrink to, a step a turn; only if it shares its memory.
  void set_cache_budget_for_control(uint64_t budget_bytes) noexcept {
    cache_budget_wanted_.store(budget_bytes, std::memory_order_relaxed);
  }
  /// The newest ring version beyond which this worker serves nothing, and whose lost partitions are
  /// merged and forgotten; 0: it has not seen any since it was attached.
  uint64_t settled_ring_for_control() const noexcept {
    return ring_settled_.load(std::memory_order_acquire);
  }
  /// What it serves as of its last turn, for tests that run on its thread.
  const std::bitset<kPartitions>& served() const noexcept { return served_; }
  /// kOk while the log can be written; otherwise the KN has to register again.
  Status log_status_for_control() const noexcept { return log_status_.load(); }

 private:
  friend class LookupAwaiter;

  static constexpr uint32_t kBurst = 32;       // datagrams a turn serves
  static constexpr uint32_t kAheadBursts = 8;  // and that it looks ahead, if there are more
  static constexpr uint32_t kChunk = 64;       // requests parsed ahead of serving
  static constexpr uint32_t kWaiters = 8192;
  static constexpr uint32_t kPendingMax = 16384;
  static constexpr uint32_t kDeferredMax = 1024;
  static constexpr uint32_t kRetainedMax = 256;
  static constexpr uint32_t kPendingKeys = 4096;
  static constexpr uint32_t kFetchBuckets = 256;
  static constexpr uint32_t kStrangerAnswersMax = 64;
  static constexpr uint32_t kFetchAttemptsMax = 16;
  static constexpr uint32_t kAnsweredMax = 64;
  static constexpr uint32_t kDumpedMax = 32;
  static constexpr uint64_t kMergeWatchNs = 1'000'000;  // between looks at the merge's progress
  static constexpr uint64_t kReadBufferBytes = uint64_t{64} * 1024;

  /// A datagram that outlives its turn because a request in it waits.
  struct Retained {
    ingress::Datagram datagram;
    uint32_t references = 0;
  };

  /// What the port gave, in all and without the front end's; `more`: as much as was asked for.
  struct Arrived {
    uint32_t all = 0;
    uint32_t native = 0;
    bool more = false;
  };

  struct Request {
    Operation operation;  // key and value lie in the datagram, or belong to the front end
    Bytes extras;         // of HELLO and RING
    const ingress::Datagram* datagram = nullptr;  // nullptr: of the front end
    Retained* retained = nullptr;                 // set if it waited
    uint64_t session = 0;
    uint64_t sequence = 0;    // of the front end: its tag
    uint64_t hash = 0;        // key hash
    uint64_t cache_hash = 0;  // that, under its partition's epoch
    uint64_t routing = 0;
    uint64_t received_ns = 0;  // the turn
    uint32_t stamp = 0;
    uint32_t burst_index = 0;  // of the datagram, if it came this turn
    bool waited = false;       // was deferred before
  };

  struct Deferred {
    Request request;
    uint64_t deadline_ns = 0;
  };

  /// A GET that waits for a fetch.
  struct Waiter {
    ReplyTo to;
    Waiter* next = nullptr;
  };

  enum class Outcome : uint8_t {
    kFound,
    kAbsent,
    kFailed,
    kElsewhere,  // the writer of the replicated key knows
  };

  /// One remote lookup of a key; concurrent reads of the key share it.
  struct Fetch {
    uint64_t hash = 0;
    uint64_t cache_hash = 0;
    std::array<std::byte, pool::kKeyBytesMax> key;
    uint8_t key_bytes = 0;
    bool stale = false;  // a write became durable since: do not fill, do not join
    bool kept = false;   // its parent frees it
    Outcome outcome = Outcome::kFailed;
    LatencyClass from = LatencyClass::kGetMiss;  // where it was answered from
    Status status = Status::kOk;                 // why it failed
    uint64_t routing = 0;
    uint32_t round_trips = 0;
    MutableBytes buffer;  // registered; holds an entry
    MutableBytes bucket;  // registered; holds an index bucket
    log::Entry entry{};
    pool::GlobalAddress address;
    Waiter* waiters = nullptr;
    std::coroutine_handle<> parent;  // a coroutine that waits, if any
    Fetch* next = nullptr;           // in its hash chain, or in the free list

    Bytes key_view() const noexcept { return Bytes(key).first(key_bytes); }
  };
  static cache::ItemMeta meta_of(const Fetch& fetch) noexcept {
    const log::EntryHeader& h = fetch.entry.header;
    return {fetch.entry.version(), h.expiry_ms, h.item_flags};
  }

  /// An appended mutation that waits for its commit.
  struct Pending {
    uint64_t lsn = 0;
    uint64_t hash = 0;
    uint64_t routing = 0;
    pool::GlobalAddress address;
    const std::byte* entry = nullptr;  // in the log's staging
    ReplyTo to;
    uint32_t session_cell = 0;
    uint16_t partition = 0;
    bool holds_key = false;
    bool changes = false;  // the item; else it is an outcome only
    bool removes = false;  // the item
  };

  /// What of one partition concerns its being handed over.
  struct Partition {
    uint16_t busy = 0;   // mutations that have begun and are not durable yet
    uint16_t epoch = 0;  // of what the cache holds of it
  };

  /// What a conditional operation found.
  struct Looked {
    Outcome outcome = Outcome::kFailed;
    bool started = false;  // false: there was no room for a fetch
    Item item;             // kFound; until the coroutine waits again
  };

  struct LsnWaiter {
    uint64_t lsn = 0;
    std::coroutine_handle<> handle;
    LsnWaiter* next = nullptr;
  };

  /// Operations of one kind that were received in one turn and answered in this one.
  struct Answered {
    uint64_t received_ns = 0;
    uint64_t hash = 0;  // of the last one's key
    uint32_t count = 0;
    LatencyClass kind = LatencyClass::kGetValue;
  };

  class DurableAwaiter;
  class LookupAwaiter;
  class FetchAwaiter;

  Worker(const WorkerConfig& config, ingress::Queue* queue, Clock* clock, Shared* shared,
         std::unique_ptr<cache::Dac> dac) noexcept;

  // worker.cc
  uint32_t switch_attachment() noexcept;
  void attach(const Attachment* attachment) noexcept;
  bool detach_step() noexcept;
  void watch_log() noexcept;
  void keep_counts() noexcept;
  void follow_cache_budget() noexcept;
  void read_calendar() noexcept;
  void follow_index_root() noexcept;

  // ring_change.cc
  void follow_ring() noexcept;
  void take_ring() noexcept;
  bool lost_are_merged() noexcept;
  void settle_ring() noexcept;
  void forget_cached(uint32_t partition) noexcept;
  bool ring_allows(uint64_t routing) const noexcept {
    return ring_->serves(attachment_->kn_slot, partition_of(routing));
  }
  Partition& partition(uint64_t routing) noexcept { return partitions_[partition_of(routing)]; }
  uint64_t cache_hash(uint64_t hash, uint64_t routing) const noexcept {
    const uint16_t epoch = partitions_[partition_of(routing)].epoch;
    return epoch == 0 ? hash : cache::hash_in_epoch(hash, epoch);
  }
  void publish_stats() noexcept;
  void note_answered(LatencyClass kind, uint64_t received_ns, uint64_t hash) noexcept {
    Answered* last = answered_size_ == 0 ? nullptr : &answered_[answered_size_ - 1];
    if (last == nullptr || last->kind != kind || last->received_ns != received_ns) {
      if (answered_size_ == kAnsweredMax) record_answered(clock_->now_ns());
      last = &answered_[answered_size_++];
      *last = {received_ns, 0, 0, kind};
    }
    last->hash = hash;
    ++last->count;
  }
  void record_answered(uint64_t now_ns) noexcept;

  // serve.cc
  uint32_t receive() noexcept;
  Arrived take_from_port(std::span<ingress::Datagram> out) noexcept;
  uint32_t give_to_front_end(std::span<ingress::Datagram> received) noexcept;
  void serve_burst(uint32_t datagrams) noexcept;
  uint32_t look_ahead() noexcept;
  void shed(std::span<ingress::Datagram> datagrams) noexcept;
  void parse_datagram(const ingress::Datagram& datagram, uint32_t index) noexcept;
  void locate(Request* request) noexcept;
  void serve_chunk() noexcept;
  void serve(Request& request) noexcept;
  bool admit(Request& request) noexcept;
  bool is_own(Request& request) noexcept;
  void serve_get(Request& request) noexcept;
  void serve_ring(const Request& request) noexcept;
  void serve_stats(const Request& request) noexcept;
  void defer(Request& request) noexcept;
  uint32_t retry_deferred() noexcept;
  Retained* keep_datagram(const Request& request) noexcept;
  bool retain(Request* request) noexcept;
  void drop_reference(Retained* kept) noexcept;
  void refuse(const Request& request, wire::Status status, uint32_t retry_us = 0) noexcept;
  void refuse_moving(const Request& request) noexcept;
  ReplyTo reply_to(const Request& request) const noexcept;

  // strangers.cc
  bool admit_stranger(const ingress::Datagram& datagram) noexcept;
  void answer_version(const ingress::Datagram& datagram, const wire::DatagramHeader& h) noexcept;
  void serve_hello(const Request& request) noexcept;

  // read_path.cc
  bool fetch_for(const Request& request, pool::GlobalAddress shortcut) noexcept;
  Fetch* find_fetch(uint64_t hash, Bytes key) noexcept;
  Fetch* new_fetch(uint64_t hash, uint64_t cache_hash, Bytes key) noexcept;
  Task run_fetch(Fetch* fetch, pool::GlobalAddress shortcut) noexcept;
  bool accept_entry(Fetch* fetch, pool::GlobalAddress address, bool* retry) noexcept;
  void finish_fetch(Fetch* fetch, bool by_shortcut) noexcept;
  bool adopt_root(const pool::IndexRoot& root, pool::TableRef table) noexcept;
  void fail_fetch(Fetch* fetch, Status status) noexcept;
  void reply_failed(const ReplyTo& to, Status status) noexcept;
  void reply_elsewhere(const ReplyTo& to, uint64_t routing) noexcept;
  void free_fetch(Fetch* fetch) noexcept;
  void mark_stale(uint64_t hash) noexcept;
  void reply_value(const ReplyTo& to, Bytes value, const cache::ItemMeta& meta) noexcept;

  // write_path.cc
  bool can_append() const noexcept;
  Status append(const Request& request, const Decision& decision, uint32_t session_cell,
                bool holds_key) noexcept;
  void settle_durable() noexcept;
  void settle(const Pending& pending) noexcept;
  void acknowledge(const Pending& pending, const log::EntryHeader& entry, Bytes value) noexcept;
  void drop_pending() noexcept;
  uint16_t& pending_of(uint64_t hash) noexcept { return pending_keys_[hash % kPendingKeys]; }
  Task run_segment_request() noexcept;
  Task run_merge_watch() noexcept;

  // conditional.cc
  void serve_mutation(Request& request) noexcept;
  void serve_duplicate(Request& request, const MutationClaim& claim) noexcept;
  Status start_conditional(Request& request, uint32_t session_cell) noexcept;
  Task run_conditional(Request request, uint32_t session_cell) noexcept;
  bool conclude(const Request& request, const Decision& decision, uint32_t session_cell) noexcept;
  Task run_repeated_read(Request request, uint64_t version) noexcept;

  // shared_path.cc
  bool may_show(Request& request, SharedKey* key) noexcept;
  void begin_cell_task(uint64_t routing) noexcept;
  void end_cell_task(uint64_t routing) noexcept;
  void take_over(const Request& request, SharedKey* key) noexcept;
  Task run_take_over(Fetch* fetch, pool::GlobalAddress cell) noexcept;
  uint64_t show_up_to(uint64_t durable) noexcept;
  void write_cell(SharedKey* key) noexcept;
  Task run_write_cell(Fetch* buffers, uint64_t routing, pool::GlobalAddress cell,
                      pool::GlobalAddress target) noexcept;
  void serve_shared_read(Request& request, const SharedKey& key) noexcept;
  Task run_shared_fetch(Fetch* fetch, pool::GlobalAddress cell) noexcept;
  bool may_expire_soon(const log::EntryHeader& header) const noexcept;
  bool is_shown(const Fetch& fetch) noexcept;

  // session_lookup.cc
  void look_up_session(uint64_t session) noexcept;
  Task run_session_lookup(Fetch* buffers, uint64_t session) noexcept;

  bool serving() const noexcept;

  WorkerConfig config_;
  ingress::Queue* ingress_;
  FrontEnd* front_end_ = nullptr;
  uint16_t front_end_port_ = 0;
  Clock* clock_;
  Shared* shared_;
  WorkerStats stats_;
  bool stats_unpublished_ = false;
  log::LogWriterCounters log_before_;  // of earlier attachments
  std::array<fabric::PurposeCounters, fabric::kPurposes> fabric_before_{};

  // attachment
  std::atomic<const Attachment*> wanted_{nullptr};
  std::atomic<const Attachment*> attached_{nullptr};
  std::atomic<Status> log_status_{Status::kOk};
  const Attachment* attachment_ = nullptr;  // the lcore's own copy of attached_
  bool detaching_ = false;
  bool was_attached_ = false;
  std::unique_ptr<fabric::Queue> fabric_;
  std::optional<log::LogWriter> log_;
  log::Unmerged unmerged_;
  pool::TableRef table_;
  pool::TableRef next_table_;  // a resize fills it; 0 none
  uint64_t table_told_ = 0;    // Shared::index_table when it was last taken over
  uint64_t root_read_ns_ = 0;

  // the turn
  uint64_t now_ns_ = 0;
  uint64_t unix_ms_ = 0;
  bool unix_ms_fresh_ = false;  // read in this turn
  const ring::Ring* ring_ = nullptr;
  uint64_t ring_version_ = 0;  // that was taken over; 0 none
  std::atomic<uint64_t> ring_settled_{0};
  std::vector<Partition> partitions_;
  std::bitset<kPartitions> served_;   // under ring_version_
  std::bitset<kPartitions> leaving_;  // served before, and not settled yet
  uint64_t leaving_lsn_ = 0;          // when it is merged the leaving ones are; 0: some are busy
  bool declined_ = false;             // requests, before there was a ring
  bool lease_valid_ = false;
  std::array<ingress::Datagram, kBurst> burst_;
  std::array<Retained*, kBurst> burst_retained_{};
  std::array<ingress::Datagram, kBurst> ahead_;
  Backlog<Admission::kQueuedMax> backlog_;
  Admission admission_;
  uint32_t shed_retry_us_ = 0;  // what is parsed now is refused, with this hint
  std::array<Request, kChunk> chunk_;
  uint32_t chunk_size_ = 0;
  std::array<Answered, kAnsweredMax> answered_;  // in this turn: how long they took, its end tells
  uint32_t answered_size_ = 0;

  Replies replies_;
  Cookies cookies_;
  SessionTokens tokens_;
  SourceBudget strangers_;
  SessionIssuer issuer_;
  uint16_t kn_slot_ = 0;      // of the attachment, or of the last one
  uint32_t incarnation_ = 0;  // likewise
  Sessions sessions_;
  std::unique_ptr<cache::Dac> dac_;
  std::atomic<uint64_t> cache_budget_wanted_;
  uint64_t cache_budget_reached_bytes_;
  FramePool frames_;

  // registered memory: staging, read buffers, mailbox lines
  std::unique_ptr<std::byte, void (*)(std::byte*)> arena_;
  MutableBytes arena_bytes_;
  MutableBytes staging_;
  MutableBytes mailbox_;

  // reads
  std::vector<Fetch> fetches_;
  Fetch* free_fetches_ = nullptr;
  uint32_t fetches_live_ = 0;
  std::array<Fetch*, kFetchBuckets> fetch_buckets_{};
  std::vector<Waiter> waiters_;
  Waiter* free_waiters_ = nullptr;

  // writes
  std::vector<Pending> pending_;  // ring
  uint64_t pending_head_ = 0;
  uint64_t pending_tail_ = 0;
  std::array<uint16_t, kPendingKeys> pending_keys_{};  // how many in pending_, by low bits of hash
  uint64_t show_head_ = 0;  // in pending_: first one whose cell, if it has any, nobody writes yet
  uint64_t shown_lsn_ = 0;  // what was settled: read by whoever asks, and acknowledged
  SharedKeys shared_keys_;
  KeyLocks locks_;
  std::vector<std::byte> scratch_;  // where decide() makes values
  std::vector<Deferred> deferred_;  // ring
  uint64_t deferred_head_ = 0;
  uint64_t deferred_tail_ = 0;
  std::vector<Retained> retained_;
  std::vector<Retained*> free_retained_;
  LsnWaiter* lsn_waiters_ = nullptr;  // ascending
  LsnWaiter** lsn_waiters_end_ = &lsn_waiters_;
  DelayList delays_;
  uint32_t tasks_ = 0;  // conditional operations, mailbox and merge-watch coroutines under way

  bool segment_requested_ = false;
  uint64_t segment_retry_ns_ = 0;
  uint64_t mailbox_sequence_ = 0;
  bool merge_watch_running_ = false;
  uint64_t merge_watch_ns_ = 0;
  uint64_t merged_lsn_ = 0;  // of the log, as of the last look
  // A pool without room for puts keeps some segments back for deletes.
  bool pool_full_ = false;     // the last answer to a request for puts was NO_SPACE
  bool puts_refused_ = false;  // it was that, or BUSY
  bool delete_waits_ = false;  // one found no room in the log
  bool deletes_only_ = false;  // the log has a segment that was granted for deletes
};

template <class Tell>
void Worker::dump_for_crash(Tell&& tell) const noexcept {
  const auto of = [this](const char* what, uint64_t hash, const ReplyTo& to) {
    return UnderWay{what, config_.worker, hash, to.session, to.sequence};
  };
  uint32_t told = 0;
  for (const Fetch& f : fetches_) {
    if (f.waiters == nullptr || told++ >= kDumpedMax) continue;
    tell(of("GET", f.hash, f.waiters->to));
  }
  const uint64_t pending = std::min<uint64_t>(pending_tail_ - pending_head_, kDumpedMax);
  for (uint64_t i = 0; i < pending; ++i) {
    const Pending& p = pending_[(pending_head_ + i) % kPendingMax];
    tell(of("mutation", p.hash, p.to));
  }
  const uint64_t deferred = std::min<uint64_t>(deferred_tail_ - deferred_head_, kDumpedMax);
  for (uint64_t i = 0; i < deferred; ++i) {
    const Request& r = deferred_[(deferred_head_ + i) % kDeferredMax].request;
    tell(UnderWay{"deferred", config_.worker, r.hash, r.session, r.sequence});
  }
}

}  // namespace dinomo::kn
