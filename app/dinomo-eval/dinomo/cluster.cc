// SPDX-License-Identifier: BSD-3-Clause
#include "app/dinomo-eval/dinomo/cluster.h"

#include <algorithm>
#include <bit>

#include "app/dinomo-bench/zipf.h"
#include "common/hash.h"

namespace dinomo::eval {

namespace {

constexpr uint64_t kMib = uint64_t{1} << 20;
constexpr uint32_t kLeaseUs = 1'000'000;
// A quarter and a half of the product's. What the logs hold beyond the scaled pool is added to it.
constexpr uint64_t kLogBytes = 2 * kMib;
constexpr uint32_t kKnsOfPaper = 16;
constexpr uint64_t kSegmentsOfLog = 4;         // two unmerged, the next, one that is being emptied
constexpr uint64_t kCacheBytesMin = 48 << 10;  // of a thread: some dozens of values
constexpr uint32_t kSeeds = 8;                 // the ring tells of the other KNs
constexpr uint32_t kUnmergedLog2 = 14;
// The product's 50 ms are nothing to the published pool, in which writing takes 20 s to come round,
// and all of a scaled one.
constexpr uint32_t kReclaimGraceMs = 1;
constexpr uint32_t kRetryMinMs = 20;  // the product's default, for requests to KNs that are gone

/// Of a segment, and of a worker's staging memory. With more KNs than the paper has their logs
/// together stay as large as those of 16.
uint64_t segment_bytes(uint32_t kns) noexcept {
  return kLogBytes * kKnsOfPaper / std::bit_ceil(std::max(kns, kKnsOfPaper));
}

std::string ip_of_kn(uint32_t kn) { return "10.0.1." + std::to_string(1 + kn); }
std::string ip_of_client(uint32_t client) { return "10.0.2." + std::to_string(1 + client); }

KnCounts counts_of(const kn::WorkerStats& s) noexcept {
  KnCounts c;
  c.gets = s.gets.get();
  c.puts = s.puts.get();
  c.value_hits = s.value_hits.get();
  c.shortcut_hits = s.shortcut_hits.get();
  c.unmerged_hits = s.unmerged_hits.get();
  c.misses = s.misses.get();
  c.absent = s.absent.get();
  c.joined = s.joined.get();
  c.shared = s.shared_reads.get();
  c.elsewhere = s.shared_elsewhere.get();
  c.read_rts = s.shortcut_rts.get() + s.unmerged_rts.get() + s.miss_rts.get() + s.absent_rts.get() +
               s.shared_rts.get() + c.elsewhere;
  c.commits = s.commits.get();
  c.cell_writes = s.cell_writes.get();
  c.refused = s.shed.get() + s.refused_busy.get() + s.refused_owner.get();
  for (const auto& b : s.bytes) c.bytes += b.get();
  return c;
}

}  // namespace

DinomoCluster::DinomoCluster(world::Environment* environment, const Calibration& calibration,
                             const DinomoConfig& config)
    : environment_(environment), calibration_(calibration), config_(config) {
  const uint64_t cache_bytes = calibration.cache_mib * kMib / calibration.scale;
  if (cache_bytes / calibration.kn_threads < kCacheBytesMin) {
    broken_ = "a KN's cache is too small: a smaller scale, or a larger cache_mib";
    return;
  }
  make_dpm();
  if (broken_.empty()) install_cells();
  if (!broken_.empty()) return;
  if (config.ownership == Ownership::kFixed) make_ring();
  for (uint32_t k = 0; k < config.kns; ++k) make_kn(static_cast<uint16_t>(k));
}

void DinomoCluster::add_clients(Source* source) {
  const auto depth =
      static_cast<uint32_t>(std::max<uint64_t>(calibration_.depth / kClientNodes, 1));
  for (uint32_t n = 0; n < kClientNodes; ++n) add_client(depth, source);
}

void DinomoCluster::add_client(uint32_t depth, Source* source) {
  const auto number = static_cast<uint32_t>(clients_.size());
  ClientConfig c;
  c.ip = ip_of_client(number);
  for (uint32_t k = 0; k < std::min(config_.kns, kSeeds); ++k)
    c.seeds.push_back(ip_of_kn((k + number) % config_.kns));
  c.depth = depth;
  c.value_bytes = calibration_.value_bytes;
  if (config_.ownership == Ownership::kElastic) c.retry_min_ms = kRetryMinMs;
  c.seed = config_.seed * kClientNodes + number;
  clients_.push_back(std::make_unique<ClientNode>(environment_, c, source));
}

void DinomoCluster::make_dpm() {
  const Calibration& c = calibration_;
  const uint32_t kns = std::max(config_.kns, config_.kns_max);
  world::DpmOptions o;
  o.geometry.segment_bytes = segment_bytes(kns);
  o.pool_bytes =
      c.pool_mib * kMib / c.scale + kns * c.kn_threads * kSegmentsOfLog * o.geometry.segment_bytes;
  o.index_buckets = std::bit_ceil(c.scaled_keys() / 2);  // three slots each: below half full
  o.geometry.kn_slots = static_cast<uint16_t>(std::max<uint32_t>(o.geometry.kn_slots, kns));
  o.geometry.session_count = 64;
  o.service.merge_workers = 0;
  o.service.reclaim_grace_ms = kReclaimGraceMs;
  o.costs = {.turn_ns = c.cpu(c.turn_ns),
             .work_ns = std::max<uint64_t>(c.cpu(c.merge_ns) / c.dpm_threads, 1)};
  o.seed = config_.seed;
  dpm_ = std::make_unique<world::DpmNode>(environment_, o);
  if (!ok(dpm_->start())) broken_ = "the memory node does not start: " + dpm_->why();
}

/// As an operator asks for it. A leader would list these keys by itself.
void DinomoCluster::install_cells() {
  const uint64_t keys = calibration_.scaled_keys();
  const bench::Scramble scramble(keys);
  const uint64_t seed = dpm_->memory().superblock().hash_seed;
  for (uint64_t rank = 0; rank < std::min(calibration_.replicated, keys); ++rank) {
    const uint64_t key = scramble(rank);
    const uint64_t routing = routing_hash(object_bytes(key));
    const uint64_t hash = key_hash(object_bytes(key), seed);
    const auto cell = dpm_->service().cells().install(hash, routing, 0);
    if (!cell) {
      broken_ = "there is no cell for a replicated key: a smaller scale, or a larger pool_mib";
      return;
    }
    replicated_.push_back({.routing_hash = routing, .cell = cell->word(), .kns_wanted = 0});
  }
  std::ranges::sort(replicated_, {}, &cluster::WantedKey::routing_hash);
}

void DinomoCluster::make_ring() {
  ring::Ring ring;
  ring.version = 1;
  std::vector<ring::Member> members;
  for (uint32_t p = 0; p < ring.owner.size(); ++p)
    ring.owner[p] = static_cast<uint16_t>(p % config_.kns);
  for (uint32_t kn = 0; kn < config_.kns; ++kn) {
    const auto slot = static_cast<uint16_t>(kn);
    members_.push_back({ingress::parse_address(ip_of_kn(slot))->address, slot, wire::kDefaultPort,
                        static_cast<uint16_t>(calibration_.kn_threads),
                        static_cast<uint16_t>(pool::KnState::kActive)});
    members.push_back({.kn_slot = slot});
  }
  ring.replicated = cluster::list_replicated(replicated_, ring, members);
  sim::PoolMemory& memory = dpm_->memory();
  const uint64_t at = memory.superblock().ring_offset + sizeof(pool::RingRecord);
  store(memory.memory().data() + at, ring::to_record(ring));  // odd versions: the second place
  memory.persist_now(at, sizeof(pool::RingRecord));
}

ring::Ring DinomoCluster::ring() const {
  sim::PoolMemory& memory = dpm_->memory();
  return ring::newest_of(
      Bytes(memory.memory())
          .subspan(memory.superblock().ring_offset, 2 * sizeof(pool::RingRecord)));
}

uint16_t DinomoCluster::add_kn() {
  const auto slot = static_cast<uint16_t>(kns_.size());
  make_kn(slot);
  return slot;
}

void DinomoCluster::kill_kn(uint16_t slot) {
  for (const auto& w : kns_[slot]->workers()) charged_.erase(w.get());
  kns_[slot]->retire();
}

void DinomoCluster::make_kn(uint16_t slot) {
  const Calibration& c = calibration_;
  world::KnOptions o;
  o.name = "kn" + std::to_string(slot);
  o.kn_slot = slot;
  o.ip = ip_of_kn(slot);
  o.number = static_cast<uint8_t>(slot);
  o.members = members_;
  o.workers = static_cast<uint16_t>(c.kn_threads);
  o.worker.cache.policy = config_.policy;
  o.worker.cache.budget_bytes = c.cache_mib * kMib / c.scale / c.kn_threads;
  o.worker.staging_bytes = segment_bytes(std::max(config_.kns, config_.kns_max));
  o.worker.unmerged_log2 = kUnmergedLog2;
  o.worker.sessions_max = 64;
  o.lease_us = kLeaseUs;
  o.heartbeat_us = kLeaseUs / 10;
  o.costs = {.turn_ns = c.cpu(c.turn_ns), .work_ns = 1};  // turn() answers nanoseconds
  o.turn = [this](kn::Worker* worker) { return turn(worker); };
  kns_.push_back(std::make_unique<world::KnNode>(environment_, o));
  kns_.back()->start();
}

/// What the turn has answered is charged by its kind; the rest of a turn is in turn_ns.
uint32_t DinomoCluster::turn(kn::Worker* worker) {
  const uint32_t work = worker->poll();
  Charged& charged = charged_[worker];
  const kn::WorkerStats& stats = worker->stats();
  const KnCounts now = counts_of(stats);
  const KnCounts& was = charged.before;
  const Calibration& c = calibration_;
  const uint64_t hits = now.value_hits + now.joined - was.value_hits - was.joined;
  const uint64_t shortcuts =
      now.shortcut_hits + now.unmerged_hits - was.shortcut_hits - was.unmerged_hits;
  // Through a cell it takes two reads, as a miss.
  const uint64_t misses = now.misses + now.absent + now.shared + now.elsewhere - was.misses -
                          was.absent - was.shared - was.elsewhere;
  const uint64_t requests = stats.requests.get();
  const uint64_t ns = (requests - charged.requests) * c.datagram_ns + hits * c.get_value_ns +
                      shortcuts * c.get_shortcut_ns + misses * c.get_miss_ns +
                      (now.puts - was.puts) * c.put_ns;
  charged.before = now;
  charged.requests = requests;
  const uint64_t scaled_ns = c.cpu(ns);
  charged.busy_ns += scaled_ns;
  return work == 0 ? 0 : static_cast<uint32_t>(std::max<uint64_t>(scaled_ns, 1));
}

KnCounts DinomoCluster::counts() const noexcept {
  KnCounts all;
  for (const auto& kn : kns_) {
    for (const auto& w : kn->workers()) {
      const KnCounts c = counts_of(w->stats());
      all.gets += c.gets;
      all.puts += c.puts;
      all.value_hits += c.value_hits;
      all.shortcut_hits += c.shortcut_hits;
      all.unmerged_hits += c.unmerged_hits;
      all.misses += c.misses;
      all.absent += c.absent;
      all.joined += c.joined;
      all.shared += c.shared;
      all.elsewhere += c.elsewhere;
      all.read_rts += c.read_rts;
      all.commits += c.commits;
      all.cell_writes += c.cell_writes;
      all.refused += c.refused;
      all.bytes += c.bytes;
    }
  }
  return all;
}

std::vector<uint64_t> DinomoCluster::busy_ns() const {
  std::vector<uint64_t> busy;
  for (const auto& kn : kns_) {
    for (const auto& w : kn->workers()) busy.push_back(charged_.at(w.get()).busy_ns);
  }
  return busy;
}

}  // namespace dinomo::eval
