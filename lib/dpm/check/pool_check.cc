// SPDX-License-Identifier: BSD-3-Clause
#include "dpm/check/pool_check.h"

#include <algorithm>

#include "dpm/check/audit.h"
#include "dpm/check/words.h"
#include "pool/superblock.h"

namespace dinomo::dpm {

namespace {

constexpr uint32_t kHeartbeatsMs = 500;  // several of any KN's heartbeats
constexpr uint32_t kStopTurns = 10'000;

std::string words_of(const Damage& d) {
  const auto [first, second] = d.detail;
  switch (d.kind) {
    case DamageKind::kSlot: return "hash " + hex(first) + " refers to " + hex(second);
    case DamageKind::kLink: return "the link is " + hex(first);
    case DamageKind::kBucketHeader: return "the header is " + hex(first);
    case DamageKind::kSegmentHeader:
    case DamageKind::kGrant:
      return "segment " + std::to_string(second) + " of log " + std::to_string(first);
    case DamageKind::kSegmentLost:
    case DamageKind::kSegmentState: return "the state is " + std::to_string(first);
    case DamageKind::kPlace:
      return "log " + std::to_string(first) +
             (second != 0 ? " goes on behind them" : " goes on where its compute node writes next");
  }
  return {};
}

std::vector<uint64_t> heartbeats(pool::Space& space) {
  std::vector<uint64_t> all;
  const pool::Superblock& s = space.superblock();
  for (uint32_t slot = 0; slot < s.kn_slots; ++slot) {
    auto* k = space.record<pool::KnSlot>(pool::kn_slot_offset(s, slot));
    all.push_back(std::atomic_ref<uint64_t>(k->heartbeat).load(std::memory_order_relaxed));
  }
  return all;
}

class PoolCheck {
 public:
  PoolCheck(const CheckOptions& options, Clock& clock, Wait wait, CheckOutcome* outcome)
      : options_(options), clock_(clock), wait_(wait), out_(*outcome) {}

  int run() {
    const uint64_t start_ns = clock_.now_ns();
    const int status = look();
    out_.duration_ns = clock_.now_ns() - start_ns;
    return status;
  }

 private:
  int cannot(std::string why) {
    out_.why_not = std::move(why);
    return 2;
  }

  int look() {
    std::string why;
    const bool allocator_sound = ok(PoolFile::check_allocator(options_.path, &why));
    std::string why_not_open;
    if (!open(&why_not_open)) return cannot(why_not_open);
    if (!allocator_sound) {
      out_.found.add(Problem::kAllocator, 0, why);
      return 2;
    }
    if (in_use()) {
      return cannot(options_.path +
                    " is in use: a compute node writes heartbeats to it; stop it first");
    }
    if (!pass(options_.repair, &out_.found)) return 2;
    if (!options_.repair) return out_.found.exit_status();
    // The same again, which has to find nothing: counters are counted anew, too.
    CheckReport now;
    if (!pass(false, &now)) return 2;
    out_.left = now.of(Severity::kRepairable) + now.of(Severity::kFatal);
    pool_.reset();
    return out_.left == 0 ? 0 : 2;
  }

  bool open(std::string* why) {
    PoolOptions o;
    o.path = options_.path;
    o.copy_on_write = !options_.repair;
    auto pool = PoolFile::open(o, why);
    if (!pool) return false;
    pool_ = std::move(*pool);
    return true;
  }

  /// dinomo-dpm has the file locked; a KN that uses shared memory has not.
  bool in_use() {
    const std::vector<uint64_t> before = heartbeats(*pool_);
    wait_(kHeartbeatsMs);
    return heartbeats(*pool_) != before;
  }

  /// Recovers and audits. False: that is not possible, which the report says.
  bool pass(bool repair, CheckReport* report) {
    ServiceConfig config{.merge_workers = options_.workers, .validate_index = true};
    config.on_damage = [report](const Damage& d) {
      report->add(problem_of(d.kind), d.offset, words_of(d));
    };
    std::string why;
    auto service = Service::start(*pool_, clock_, config, nullptr, &why);
    if (!service) {
      report->add(Problem::kUnrecoverable, 0, why);
      return false;
    }
    strays(repair, report);
    audit_pool(*pool_, **service, repair, clock_.unix_ms(), report);
    for (uint32_t turn = 0; turn < kStopTurns && !(*service)->stop(); ++turn) wait_(1);
    return true;
  }

  void strays(bool repair, CheckReport* report) {
    for (const pool::SpaceObject& object : pool_->strays()) {
      report->add(Problem::kStray, object.offset,
                  "an object of " + std::to_string(object.bytes) + " bytes");
      if (repair) pool_->release(object.offset);
    }
  }

  const CheckOptions& options_;
  Clock& clock_;
  const Wait wait_;
  CheckOutcome& out_;
  std::unique_ptr<PoolFile> pool_;
};

}  // namespace

void audit_pool(pool::Space& space, Service& service, bool repair, uint64_t unix_ms,
                CheckReport* report) {
  Audit audit{space, service, *report, repair, unix_ms};
  const RecoveryReport& recovery = service.recovery();
  CheckTotals& totals = report->totals;
  totals.clean_stop = recovery.clean;
  totals.resize_under_way = recovery.resize_continued;
  totals.locks_cleared = recovery.locks_cleared;
  totals.entries_unmerged = recovery.entries_merged;
  report->count(Problem::kTornTail, recovery.torn_tails);
  audit_records(audit);
  audit_sessions(audit);
  audit_index(audit);
  audit_logs(audit);
}

int check_pool(const CheckOptions& options, Clock& clock, Wait wait, CheckOutcome* outcome) {
  return PoolCheck(options, clock, wait, outcome).run();
}

}  // namespace dinomo::dpm
