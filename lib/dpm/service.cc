// SPDX-License-Identifier: BSD-3-Clause
#include "dpm/service.h"

#include <sched.h>

#include "log/format.h"
#include "pool/superblock.h"

namespace dinomo::dpm {

namespace {

constexpr uint64_t kBeatNs = 10'000'000;
constexpr uint64_t kOverflowChunkBucketsMin = 1024;

/// Stands for the fabric until serve(): no KN is connected, so nobody has to be locked out.
class NobodyConnected final : public fabric::Target {
 public:
  uint32_t poll() noexcept override { return 0; }
  Status revoke(uint16_t) noexcept override { return Status::kOk; }
  bool connected(uint16_t) noexcept override { return false; }
};

}  // namespace

Service::Service(pool::Space& space, Clock& clock, const ServiceConfig& config, Log log)
    : space_(space),
      clock_(clock),
      config_(config),
      log_(std::move(log)),
      damage_(config.on_damage),
      segments_(space, config.reserve_segments),
      sessions_(space),
      cells_(space),
      pins_(space),
      nobody_(std::make_unique<NobodyConnected>()) {
  if (!log_) log_ = [](const std::string&) {};
  auto* root = space.record<pool::IndexRoot>(space.superblock().index_root_offset);
  const pool::TableRef table(root->current);
  overflow_ = std::make_unique<index::OverflowPool>(
      space, std::max(kOverflowChunkBucketsMin, table.buckets() / 32), root->buckets_min * 3 / 16);
  index_ = std::make_unique<index::IndexWriter>(space.memory(), *root, space.persist(), segments_,
                                                *overflow_);
  reclaimer_ = std::make_unique<index::Reclaimer>(space, *overflow_, index_->sections());
  merger_ = std::make_unique<Merger>(space, segments_, *index_, sessions_, clock);
  compactor_ =
      std::make_unique<Compactor>(space, segments_, *index_, cells_, config.compact_below_percent);
  expirer_ = std::make_unique<Expirer>(space, segments_, *index_, merger_->counters(),
                                       config.expiry_grace_ms);
  merges_ = std::make_unique<MergePool>(*merger_, config.merge_workers);
}

Service::~Service() {
  if (resizer_) resizer_->pause();
  compactor_->pause();
  expirer_->pause();
  merges_.reset();
}

pool::PoolState& Service::state() noexcept {
  return *space_.record<pool::PoolState>(space_.superblock().state_offset);
}

Result<std::unique_ptr<Service>> Service::start(pool::Space& space, Clock& clock,
                                                const ServiceConfig& config, Log log,
                                                std::string* why) {
  std::unique_ptr<Service> service(new Service(space, clock, config, std::move(log)));
  if (const Status s = service->recover(why); !ok(s)) return std::unexpected(s);
  return service;
}

void Service::begin_boot() noexcept {
  pool::PoolState& s = state();
  report_.clean = s.clean_shutdown == pool::kCleanShutdown;
  s.boot_count += 1;
  s.clean_shutdown = 0;
  s.persistence = static_cast<uint64_t>(space_.persistence());
  space_.persist().persist(&s, sizeof s);
}

Status Service::recover(std::string* why) {
  started_ns_ = clock_.now_ns();
  uint64_t lap_ns = started_ns_;
  const auto lap = [&](uint64_t* phase_ns) {
    *phase_ns = clock_.now_ns() - lap_ns;
    lap_ns += *phase_ns;
  };
  RecoveryPhases& phases = report_.phases;
  begin_boot();
  cells_.start();
  pins_.start();
  Recovery recovery{space_, segments_, *merges_, damage_, report_};
  const std::vector<uint32_t> damaged = segments_.load();
  rebuild_headers(recovery, damaged);
  revoke_unanswered_grants(recovery);
  lap(&phases.segments_ns);
  settle_resize(recovery, *index_);
  lap(&phases.resize_ns);
  recover_index(recovery, *index_, *overflow_, !report_.clean || config_.validate_index);
  resizer_ = std::make_unique<index::Resizer>(space_, *index_, *overflow_, *reclaimer_);
  std::vector<uint64_t> kept;
  segments_.settle(&kept);
  for (const uint64_t offset : kept) damage_.note(DamageKind::kSegmentState, offset);
  lap(&phases.index_ns);
  if (!report_.clean) sessions_.repair();
  lap(&phases.sessions_ns);
  logs_ = recover_logs(recovery);
  lap(&phases.logs_ns);
  merger_->counters().items.store(static_cast<int64_t>(report_.items));
  if (const Status s = merge_logs(why); !ok(s)) return s;
  lap(&phases.merge_ns);
  report_.slots_discarded = damage_.count(DamageKind::kSlot);
  report_.links_cut = damage_.count(DamageKind::kLink);
  report_.damage = damage_.total();
  report_.duration_ns = clock_.now_ns() - started_ns_;
  return Status::kOk;
}

Status Service::merge_logs(std::string* why) {
  directory_ = std::make_unique<Directory>(space_, segments_, *merges_, *nobody_, clock_, logs_);
  Status merged = Status::kInProgress;
  while ((merged = directory_->merge_everything()) == Status::kInProgress) {
    if (merges_->poll() == 0) sched_yield();
  }
  if (!ok(merged)) {
    if (why != nullptr) {
      *why = std::string("a log cannot be merged (") + status_name(merged) +
             "): the pool is full or its index is damaged";
    }
    return merged;
  }
  count_torn_tails();
  directory_->close_orphans();
  report_.entries_merged = merger_->counters().entries.load();
  return Status::kOk;
}

void Service::count_torn_tails() noexcept {
  for (auto& log : logs_) {
    if (log->sequence > log->granted.load()) continue;
    const uint32_t id = log->open_segment(log->sequence);
    if (id == kNoSegment || log->offset + log::kUnitBytes > segments_.bytes(id).size()) continue;
    const auto h = load<log::EntryHeader>(segments_.bytes(id).data() + log->offset);
    if (h.generation == segments_.header(id).generation) ++report_.torn_tails;
  }
}

void Service::serve(fabric::Target& target) {
  target_ = &target;
  directory_ = std::make_unique<Directory>(space_, segments_, *merges_, target, clock_, logs_);
  mailboxes_ =
      std::make_unique<MailboxServer>(space_, segments_, *directory_, cells_, clock_, log_);
}

void Service::beat() noexcept {
  const uint64_t now_ns = clock_.now_ns();
  if (now_ns < beat_at_ns_) return;
  beat_at_ns_ = now_ns + kBeatNs;
  std::atomic_ref<uint64_t>(state().heartbeat).fetch_add(1, std::memory_order_release);
}

/// Resizing and giving back; merges are served first.
uint32_t Service::poll_index() {
  const uint64_t now_ns = clock_.now_ns();
  const auto items = static_cast<uint64_t>(std::max<int64_t>(0, merger_->counters().items.load()));
  uint32_t events = reclaimer_->poll(now_ns, uint64_t{config_.index_grace_ms} * 1'000'000u);
  if (reclaimer_->given_back() != given_back_) segments_.forget_heap_full();
  given_back_ = reclaimer_->given_back();
  if (resizer_->poll(items, now_ns) && resizer_->working().load() == 0) {
    const auto slice = [](void* resizer) { return static_cast<index::Resizer*>(resizer)->work(); };
    merges_->work_in_background(slice, resizer_.get(), resizer_->working());
    ++events;
  }
  return events;
}

/// Compaction, expiry and reclaim. After merges, which feed them.
uint32_t Service::poll_space() {
  const uint64_t now_ns = clock_.now_ns();
  const uint64_t unix_ms = clock_.unix_ms();
  uint32_t events = 0;
  if (expirer_->poll(now_ns, unix_ms)) {
    const auto slice = [](void* expirer) { return static_cast<Expirer*>(expirer)->work(); };
    merges_->work_in_background(slice, expirer_.get(), expirer_->working());
    ++events;
  }
  if (compactor_->poll(now_ns, unix_ms)) {
    const auto slice = [](void* compactor) { return static_cast<Compactor*>(compactor)->work(); };
    merges_->work_in_background(slice, compactor_.get(), compactor_->working());
    ++events;
  }
  if (segments_.reclaim_pending()) {
    events += segments_.reclaim(now_ns, uint64_t{config_.reclaim_grace_ms} * 1'000'000u);
  }
  return events;
}

uint32_t Service::poll() {
  uint32_t events = target_->poll();
  events += mailboxes_->poll();
  events += directory_->follow_tails();
  events += merges_->poll();
  events += poll_space();
  events += poll_index();
  beat();
  return events;
}

bool Service::stop() {
  resizer_->pause();
  compactor_->pause();
  expirer_->pause();
  for (const auto* working : {&resizer_->working(), &compactor_->working(), &expirer_->working()}) {
    if (working->load(std::memory_order_acquire) != 0) return false;
  }
  compactor_->finish();
  const Status merged = directory_->merge_everything();
  merges_->poll();
  if (merged == Status::kInProgress) return false;
  if (!ok(merged)) {
    log_(std::string("a log could not be merged (") + status_name(merged) +
         "); the pool is left as after a crash, which is safe");
    return true;
  }
  state().clean_shutdown = pool::kCleanShutdown;
  space_.persist().persist(&state(), sizeof(pool::PoolState));
  return true;
}

void Service::add_space_stats(ServiceStats* s) {
  const uint64_t segment_bytes = space_.superblock().segment_bytes;
  s->segments = segments_.counts();
  s->free_bytes = (s->segments.free + s->segments.allocatable) * segment_bytes;
  s->capacity_bytes = (s->segments.total + s->segments.allocatable) * segment_bytes;
  const CompactionCounters& c = compactor_->counters();
  s->compaction_victims = c.victims.load();
  s->compaction_outputs = c.outputs.load();
  s->compacted_entries = c.entries.load();
  s->compacted_bytes = c.bytes.load();
  s->compaction_lost = c.lost.load();
  s->compaction_damaged = c.damaged.load();
  const ExpiryCounters& e = expirer_->counters();
  s->expiry_passes = e.passes.load();
  s->expired_items = e.items.load();
  s->expired_bytes = e.bytes.load();
}

ServiceStats Service::stats() {
  ServiceStats s;
  MergeCounters& c = merger_->counters();
  s.uptime_ms = (clock_.now_ns() - started_ns_) / 1'000'000u;
  s.boot_count = state().boot_count;
  s.items = static_cast<uint64_t>(std::max<int64_t>(0, c.items.load()));
  s.merged_entries = c.entries.load();
  s.merged_bytes = c.bytes.load();
  s.merged_puts = c.puts.load();
  s.merged_deletes = c.deletes.load();
  s.merge_batches = c.batches.load();
  s.merge_replayed = c.replayed.load();
  s.merge_stalls = c.stalls.load();
  s.lag_entries = directory_->lag_entries();
  add_space_stats(&s);
  s.overflow_used = overflow_->used();
  s.overflow_capacity = overflow_->capacity();
  s.index_buckets = index_->table().buckets();
  if (const pool::TableRef next = index_->next_table()) s.index_next_buckets = next.buckets();
  s.resize = resizer_->counters();
  s.replicated_keys = cells_.installed();
  s.session_evictions = sessions_.evictions();
  if (mailboxes_ != nullptr) s.mailbox = mailboxes_->counters();
  s.recovery = report_;
  return s;
}

}  // namespace dinomo::dpm
