// SPDX-License-Identifier: BSD-3-Clause
// The turn, and attaching to and detaching from a DPM.
#include "kn/worker.h"

#include <rte_rcu_qsbr.h>

#include <cstdlib>
#include <cstring>

#include "common/planted.h"
#include "kn/awaiters.h"

namespace dinomo::kn {

namespace {

constexpr uint64_t kMailboxBytes = 2 * sizeof(pool::MailboxLine) + sizeof(pool::LogRecord);
constexpr uint32_t kFrames = 512;
constexpr uint64_t kPublishTurns = 4096;

bool sensible(const WorkerConfig& c) noexcept {
  return c.workers != 0 && c.worker < c.workers && c.fetches_max != 0 && c.fetches_max <= 4096 &&
         c.unmerged_log2 >= 10 && c.unmerged_log2 <= 26 && is_power_of_two(c.sessions_max) &&
         is_power_of_two(c.session_window) && c.strangers_per_s != 0 && c.queue_wait_us != 0 &&
         c.staging_bytes % kCacheLineBytes == 0 && c.staging_bytes >= 8 * log::kEntryBytesMax;
}

}  // namespace

Result<std::unique_ptr<Worker>> Worker::create(const WorkerConfig& config, ingress::Queue* queue,
                                               Clock* clock, Shared* shared) noexcept {
  if (!sensible(config)) return std::unexpected(Status::kInvalid);
  auto dac = cache::Dac::create(config.cache);
  if (!dac) return std::unexpected(dac.error());
  std::unique_ptr<Worker> worker(new Worker(config, queue, clock, shared, std::move(*dac)));
  if (worker->arena_ == nullptr) return std::unexpected(Status::kNoResource);
  return worker;
}

Worker::Worker(const WorkerConfig& config, ingress::Queue* queue, Clock* clock, Shared* shared,
               std::unique_ptr<cache::Dac> dac) noexcept
    : config_(config),
      ingress_(queue),
      clock_(clock),
      shared_(shared),
      unmerged_(config.unmerged_log2),
      partitions_(kPartitions),
      admission_(config.queue_wait_us),
      replies_(queue),
      cookies_(config.cookie_secret, uint64_t{config.cookie_period_ms} * 1'000'000),
      strangers_(config.cookie_secret, config.strangers_per_s),
      sessions_(config.sessions_max, config.session_window),
      dac_(std::move(dac)),
      cache_budget_wanted_(config.cache.budget_bytes),
      cache_budget_reached_bytes_(config.cache.budget_bytes),
      frames_(kFrames),
      arena_(nullptr, [](std::byte* p) { std::free(p); }),
      fetches_(config.fetches_max),
      waiters_(kWaiters),
      pending_(kPendingMax),
      scratch_(pool::kValueBytesMax),
      deferred_(kDeferredMax),
      retained_(kRetainedMax) {
  const uint64_t read_bytes = config.fetches_max * (kReadBufferBytes + kCacheLineBytes);
  const uint64_t bytes =
      align_up<uint64_t>(config.staging_bytes + read_bytes + kMailboxBytes, 4096);
  auto* memory = static_cast<std::byte*>(std::aligned_alloc(4096, bytes));
  if (memory == nullptr) return;
  std::memset(memory, 0, bytes);  // touched now, not under load
  arena_.reset(memory);
  arena_bytes_ = {memory, bytes};
  staging_ = arena_bytes_.first(config.staging_bytes);
  mailbox_ = arena_bytes_.subspan(config.staging_bytes, kMailboxBytes);
  std::byte* at = mailbox_.data() + mailbox_.size();
  for (Fetch& f : fetches_) {
    f.bucket = {at, kCacheLineBytes};
    at += kCacheLineBytes;
    f.next = free_fetches_;
    free_fetches_ = &f;
  }
  for (Fetch& f : fetches_) {
    f.buffer = {at, kReadBufferBytes};
    at += kReadBufferBytes;
  }
  for (Waiter& w : waiters_) {
    w.next = free_waiters_;
    free_waiters_ = &w;
  }
  free_retained_.reserve(kRetainedMax);
  for (Retained& r : retained_) free_retained_.push_back(&r);
}

Worker::~Worker() = default;

bool Worker::serving() const noexcept { return attachment_ != nullptr && !detaching_; }

bool Worker::busy() const noexcept {
  return backlog_.size() != 0 ||
         (fabric_ && (fabric_->in_flight() != 0 || log_->uncommitted() ||
                      (shown_lsn_ < log_->durable_lsn() && pending_head_ != pending_tail_)));
}

bool Worker::waiting() const noexcept {
  return tasks_ != 0 || leaving_.any() || (front_end_ != nullptr && front_end_->waiting()) ||
         deferred_head_ != deferred_tail_ || (log_ && !log_->idle()) ||
         wanted_.load(std::memory_order_relaxed) != attachment_ ||
         cache_budget_wanted_.load(std::memory_order_relaxed) != cache_budget_reached_bytes_;
}

uint32_t Worker::poll() noexcept {
  const uint64_t began_ns = clock_->now_ns();
  now_ns_ = began_ns;
  uint32_t work = 0;
  if (wanted_.load(std::memory_order_acquire) != attachment_) work += switch_attachment();
  rte_rcu_qsbr_quiescent(shared_->rcu, config_.worker);  // holds no ring between turns
  ring_ = shared_->ring.load(std::memory_order_acquire);
  replies_.set_ring_version(ring_ != nullptr ? static_cast<uint32_t>(ring_->version) : 0);
  lease_valid_ = now_ns_ < shared_->lease_deadline_ns.load(std::memory_order_acquire);
  admission_.begin_turn(now_ns_);
  cookies_.follow(now_ns_);
  sessions_.follow(now_ns_, log_ ? log_->durable_lsn() : 0);
  follow_index_root();
  follow_ring();
  follow_cache_budget();

  read_calendar();
  // Those that wait have come before those that come now.
  if (deferred_head_ != deferred_tail_) work += retry_deferred();
  work += receive();
  if (front_end_ != nullptr) {
    work += front_end_->receive();
    serve_chunk();
  }
  if (fabric_) {
    log_->commit();
    fabric_->flush();
    work += fabric_->poll(kChunk * 4);
    settle_durable();
    work += delays_.resume(now_ns_, false);
    watch_log();
  }
  replies_.flush();
  if (front_end_ != nullptr) front_end_->flush();
  ingress_->flush();
  stats_.turns.add();
  if (work != 0) {
    const uint64_t ended_ns = clock_->now_ns();
    stats_.busy_turns.add();
    stats_.busy_ns.add(ended_ns - began_ns);
    stats_.lookups_in_flight.set(fetches_live_);
    record_answered(ended_ns);
    stats_unpublished_ = true;
    // A worker that is never idle has figures to show, too.
    if (stats_.busy_turns.get() % kPublishTurns == 0) publish_stats();
  } else if (stats_unpublished_) {
    publish_stats();
  }
  return work;
}

/// Asks for segments ahead of need and follows the merge.
void Worker::watch_log() noexcept {
  if (!serving()) return;
  if (!ok(log_->failure())) {
    log_status_.store(log_->failure());
    return;
  }
  const bool wanted = log_->wants_segment() || (deletes_only_ && log_->has_room_for_spare());
  if (!segment_requested_ && wanted && now_ns_ >= segment_retry_ns_) {
    segment_requested_ = true;
    const Task task = run_segment_request();
    if (!task.started) segment_requested_ = false;
  }
  const bool unmerged = merged_lsn_ < log_->durable_lsn() || log_->unmerged_segments() != 0;
  if (!merge_watch_running_ && unmerged && now_ns_ >= merge_watch_ns_) {
    merge_watch_running_ = true;
    const Task task = run_merge_watch();
    if (!task.started) merge_watch_running_ = false;
  }
}

uint32_t Worker::switch_attachment() noexcept {
  if (attachment_ != nullptr) {
    detaching_ = true;
    if (!detach_step()) return 1;
    detaching_ = false;
  }
  attach(wanted_.load(std::memory_order_acquire));
  return 1;
}

/// Ends what is under way; true when nothing is.
bool Worker::detach_step() noexcept {
  while (deferred_head_ != deferred_tail_) {
    Deferred& d = deferred_[deferred_head_++ % kDeferredMax];
    refuse(d.request, wire::Status::kBusy, 10'000);
    drop_reference(d.request.retained);
  }
  fabric_->poll(kChunk * 4);
  settle_durable();
  delays_.resume(now_ns_, true);
  while (lsn_waiters_ != nullptr) {
    LsnWaiter* w = lsn_waiters_;
    lsn_waiters_ = w->next;
    if (lsn_waiters_ == nullptr) lsn_waiters_end_ = &lsn_waiters_;
    w->handle.resume();
  }
  drop_pending();
  return fabric_->in_flight() == 0 && fetches_live_ == 0 && tasks_ == 0;
}

void Worker::attach(const Attachment* attachment) noexcept {
  publish_stats();
  keep_counts();
  log_.reset();
  fabric_.reset();
  unmerged_.clear();
  if (!planted("cache-kept-over-attach")) dac_->clear();
  ring_version_ = 0;
  ring_settled_.store(0, std::memory_order_release);
  for (Partition& p : partitions_) p.busy = 0;
  served_.reset();
  leaving_.reset();
  leaving_lsn_ = 0;
  shared_keys_.clear();
  locks_.clear();
  pending_keys_.fill(0);
  segment_requested_ = merge_watch_running_ = false;
  pool_full_ = puts_refused_ = delete_waits_ = deletes_only_ = false;
  segment_retry_ns_ = merge_watch_ns_ = 0;
  attachment_ = attachment;
  if (attachment != nullptr) {
    auto queue = attachment->fabric->open_queue({.depth = config_.fetches_max + 128});
    if (queue && ok(attachment->fabric->register_memory(arena_bytes_))) {
      fabric_ = std::move(*queue);
      const pool::Superblock& s = attachment->superblock;
      log_.emplace(
          log::LogWriterConfig{
              .node_id = static_cast<uint8_t>(s.node_id),
              .log_id = attachment->log_id,
              .incarnation = attachment->incarnation,
              .first_lsn = attachment->first_lsn,
              .segment_bytes = s.segment_bytes,
              .log_record_offset = s.logs_offset + attachment->log_id * sizeof(pool::LogRecord),
              .unmerged_segments_max = config_.unmerged_segments_max,
          },
          fabric_.get(), staging_);
      log_->note_merged(attachment->merged_sequence);
      merged_lsn_ = shown_lsn_ = attachment->first_lsn - 1;
      show_head_ = pending_head_;
      // Before the first one there is nothing that this worker could have forgotten.
      if (was_attached_) sessions_.start_over(clock_->unix_ms());
      was_attached_ = true;
      table_ = attachment->table;
      next_table_ = {};
      tokens_.set_pool(s.hash_seed, s.uuid);
      kn_slot_ = attachment->kn_slot;
      incarnation_ = attachment->incarnation;
      log_status_.store(Status::kOk);
    } else {
      log_status_.store(Status::kUnreachable);
      attachment_ = nullptr;
      wanted_.store(nullptr);
    }
  }
  attached_.store(attachment_, std::memory_order_release);
}

/// Whatever goes on in this turn sees one time of day; a turn without requests needs none.
void Worker::read_calendar() noexcept {
  unix_ms_fresh_ = front_end_ != nullptr || fetches_live_ != 0 || tasks_ != 0 ||
                   deferred_head_ != deferred_tail_;
  if (unix_ms_fresh_) unix_ms_ = clock_->unix_ms();
}

/// Before anything of this turn refers to what the cache holds.
void Worker::follow_cache_budget() noexcept {
  const uint64_t wanted = cache_budget_wanted_.load(std::memory_order_relaxed);
  if (wanted == cache_budget_reached_bytes_) return;
  if (dac_->resize_step(wanted)) cache_budget_reached_bytes_ = wanted;
  stats_unpublished_ = true;
}

/// A table that the root does not name is freed once no lease is left that was renewed before.
void Worker::follow_index_root() noexcept {
  const uint64_t told = shared_->index_table.load(std::memory_order_relaxed);
  if (told == table_told_) return;
  table_told_ = told;
  table_ = pool::TableRef(told);
  next_table_ = {};
}

/// The log and the queue of an attachment count from 0; what they had is kept here.
void Worker::keep_counts() noexcept {
  if (!fabric_) return;
  const log::LogWriterCounters& l = log_->counters();
  log_before_.commits += l.commits;
  log_before_.entries += l.entries;
  log_before_.bytes += l.bytes;
  log_before_.segments += l.segments;
  for (size_t p = 0; p < fabric::kPurposes; ++p) {
    fabric::PurposeCounters& kept = fabric_before_[p];
    const fabric::PurposeCounters& c = fabric_->counters().by_purpose[p];
    kept.round_trips += c.round_trips;
    kept.verbs += c.verbs;
    kept.bytes += c.bytes;
  }
}

void Worker::record_answered(uint64_t now_ns) noexcept {
  for (uint32_t i = 0; i < answered_size_; ++i) {
    const Answered& a = answered_[i];
    const uint64_t took_ns = now_ns - a.received_ns;
    stats_.latency[static_cast<size_t>(a.kind)].record_many(took_ns, a.count);
    if (took_ns > shared_->slow_ns.load(std::memory_order_relaxed)) [[unlikely]] {
      stats_.slow.add({.unix_ms = clock_->unix_ms(),
                       .took_ns = took_ns,
                       .key_hash = a.hash,
                       .operations = a.count,
                       .kind = a.kind});
    }
  }
  answered_size_ = 0;
}

void Worker::publish_stats() noexcept {
  stats_unpublished_ = false;
  stats_.sessions.set(sessions_.size());
  const cache::DacStats c = dac_->stats();
  stats_.cache_values.set(c.values);
  stats_.cache_shortcuts.set(c.shortcuts);
  stats_.cache_value_bytes.set(c.value_bytes);
  stats_.cache_used_bytes.set(c.used_bytes);
  stats_.cache_budget_bytes.set(c.budget_bytes);
  stats_.promotions.set(c.promotions);
  stats_.demotions.set(c.demotions);
  stats_.evictions.set(c.evictions);
  stats_.average_miss_millirt.set(static_cast<uint64_t>(c.average_miss_rt * 1000));
  if (c.what_if.known) {
    stats_.half_cache_millirt.set(cache::WhatIf::millirt(c.what_if.half));
    stats_.same_cache_millirt.set(cache::WhatIf::millirt(c.what_if.same));
    stats_.twice_cache_millirt.set(cache::WhatIf::millirt(c.what_if.twice));
  }
  const ingress::QueueCounters& i = ingress_->counters();
  stats_.datagrams_in.set(i.datagrams_in);
  stats_.datagrams_out.set(i.datagrams_out);
  stats_.handed_over.set(i.handed_over_in);
  stats_.dropped.set(i.dropped_malformed + i.dropped_not_ours + i.dropped_checksum +
                     i.dropped_fragment + i.dropped_full + i.no_buffer);
  if (!fabric_) return;
  const log::LogWriterCounters& l = log_->counters();
  stats_.commits.set(log_before_.commits + l.commits);
  stats_.entries.set(log_before_.entries + l.entries);
  stats_.log_bytes.set(log_before_.bytes + l.bytes);
  stats_.segments.set(log_before_.segments + l.segments);
  stats_.unmerged_entries.set(unmerged_.size());
  stats_.unmerged_segments.set(log_->unmerged_segments());
  const fabric::QueueCounters& f = fabric_->counters();
  for (size_t p = 0; p < fabric::kPurposes; ++p) {
    stats_.round_trips[p].set(fabric_before_[p].round_trips + f.by_purpose[p].round_trips);
    stats_.verbs[p].set(fabric_before_[p].verbs + f.by_purpose[p].verbs);
    stats_.bytes[p].set(fabric_before_[p].bytes + f.by_purpose[p].bytes);
  }
}

}  // namespace dinomo::kn
