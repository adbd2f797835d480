// SPDX-License-Identifier: BSD-3-Clause
#include "dpm/directory.h"

#include <algorithm>
#include <atomic>

#include "common/align.h"
#include "common/planted.h"
#include "pool/superblock.h"

namespace dinomo::dpm {

using pool::KnState;

namespace {

constexpr uint64_t kRetryNs = 5'000'000;  // after a run that stopped short of its target

template <class T>
T get(T& word) noexcept {
  return std::atomic_ref<T>(word).load(std::memory_order_acquire);
}
template <class T>
void put(T& word, T value) noexcept {
  std::atomic_ref<T>(word).store(value, std::memory_order_release);
}

bool nothing_left(MergeStop stop) noexcept {
  return stop == MergeStop::kNotValid || stop == MergeStop::kNoSegment;
}

}  // namespace

Directory::Directory(pool::Space& space, SegmentTable& segments, MergePool& merges,
                     fabric::Target& target, Clock& clock, LogStates& logs)
    : space_(space),
      segments_(segments),
      merges_(merges),
      target_(target),
      clock_(clock),
      logs_(logs),
      workers_per_kn_(space.superblock().workers_per_kn),
      slots_(space.superblock().kn_slots) {
  for (Slot& slot : slots_) slot.workers = workers_per_kn_;
}

pool::KnSlot& Directory::kn(uint32_t slot) noexcept {
  return *space_.record<pool::KnSlot>(pool::kn_slot_offset(space_.superblock(), slot));
}

pool::LogRecord& Directory::record(uint32_t log_id) noexcept {
  return *space_.record<pool::LogRecord>(pool::log_record_offset(space_.superblock(), log_id));
}

bool Directory::active(uint32_t slot) noexcept {
  const auto state = static_cast<KnState>(kn(slot).state);
  return state == KnState::kActive || state == KnState::kStandby;
}

bool Directory::taken(uint32_t slot) noexcept {
  return static_cast<KnState>(kn(slot).state) != KnState::kFree;
}

bool Directory::serves(uint32_t slot, uint32_t incarnation) noexcept {
  return active(slot) && kn(slot).incarnation == incarnation;
}

void Directory::set_state(uint32_t slot, KnState state) noexcept {
  put(kn(slot).state, static_cast<uint32_t>(state));
  space_.persist().persist(&kn(slot), kCacheLineBytes);
}

void Directory::start_merge(LogState& log, uint64_t target) noexcept {
  if (target > log.target_lsn.load(std::memory_order_relaxed)) {
    log.target_lsn.store(target, std::memory_order_release);
  }
  merges_.schedule(log);
}

Status Directory::drain(LogState& log) noexcept {
  if (log.busy.load(std::memory_order_acquire)) return Status::kInProgress;
  if (log.sequence > log.granted.load(std::memory_order_relaxed)) return Status::kOk;
  if (log.target_lsn.load(std::memory_order_relaxed) == kMergeAll) {
    const MergeStop stop = log.last_stop.load(std::memory_order_relaxed);
    if (nothing_left(stop)) return Status::kOk;
    if (stop == MergeStop::kStalled) {
      log.last_stop.store(MergeStop::kNever, std::memory_order_relaxed);  // try again next time
      return log.stall.load(std::memory_order_relaxed);
    }
  } else {
    log.last_stop.store(MergeStop::kNever, std::memory_order_relaxed);
  }
  start_merge(log, kMergeAll);
  return Status::kInProgress;
}

void Directory::close_log(LogState& log) noexcept {
  const uint64_t granted = log.granted.load(std::memory_order_relaxed);
  for (uint64_t seq = log.sequence; seq <= granted; ++seq) {
    const uint32_t id = log.open_segment(seq);
    if (id == kNoSegment) continue;
    const bool current = seq == log.sequence;
    segments_.close(id, current ? log.offset : sizeof(pool::SegmentHeader),
                    current ? log.next_lsn - 1 : 0);
    log.set_open_segment(seq, kNoSegment);
  }
  log.sequence = granted + 1;
  log.offset = sizeof(pool::SegmentHeader);
  log.target_lsn.store(0, std::memory_order_relaxed);
  log.hinted_lsn = 0;
  log.last_stop.store(MergeStop::kNever, std::memory_order_relaxed);
  log.merged_sequence.store(granted, std::memory_order_release);
  pool::LogRecord& r = record(log.id);
  put(r.merged_sequence, granted);
  put(r.sealed, 1u);
  space_.persist().persist(&r.merged_lsn, kCacheLineBytes);
}

Status Directory::revoke(uint32_t slot, Revoke from) noexcept {
  if (from == Revoke::kNobody || planted("fence-skipped")) return Status::kOk;
  const auto kn_slot = static_cast<uint16_t>(slot);
  return from == Revoke::kPresent ? target_.fence(kn_slot) : target_.revoke(kn_slot);
}

Status Directory::seal(uint32_t slot, KnState state, Revoke from) noexcept {
  Slot& s = slots_[slot];
  if (s.sealing == Sealing::kSealed) return Status::kOk;
  if (s.sealing == Sealing::kNone) {
    if (const Status status = revoke(slot, from); !ok(status)) return status;
    set_state(slot, state);
    s.sealing = Sealing::kMerging;
  }
  Status result = Status::kOk;
  for (uint32_t w = 0; w < workers_per_kn_; ++w) {
    if (planted("sealed-before-merged")) break;
    const Status status = drain(*logs_[slot * workers_per_kn_ + w]);
    if (!ok(status) && (ok(result) || result == Status::kInProgress)) result = status;
  }
  if (!ok(result)) return result;
  for (uint32_t w = 0; w < workers_per_kn_ && !planted("merged-after-seal"); ++w) {
    close_log(*logs_[slot * workers_per_kn_ + w]);
  }
  s.sealing = Sealing::kSealed;
  return Status::kOk;
}

uint32_t Directory::open_incarnation(uint32_t slot, uint32_t workers, bool standby) noexcept {
  pool::KnSlot& k = kn(slot);
  const uint32_t incarnation = k.incarnation + 1;
  for (uint32_t w = 0; w < workers_per_kn_; ++w) {
    LogState& log = *logs_[slot * workers_per_kn_ + w];
    log.incarnation = incarnation;
    pool::LogRecord& r = record(log.id);
    put(r.incarnation, incarnation);
    put(r.sealed, 0u);
    space_.persist().flush(&r.merged_lsn, kCacheLineBytes);
  }
  space_.persist().drain();
  put(k.registered_unix_ms, clock_.unix_ms());
  put(k.incarnation, incarnation);
  set_state(slot, standby ? KnState::kStandby : KnState::kActive);
  slots_[slot].workers = workers;
  slots_[slot].sealing = Sealing::kNone;
  return incarnation;
}

uint64_t Directory::hinted_lsn(uint32_t log_id) noexcept {
  LogState& log = *logs_[log_id];
  pool::LogRecord& r = record(log_id);
  const uint64_t tail = get(r.tail_lsn);
  if (get(r.tail_incarnation) == log.incarnation) log.hinted_lsn = std::max(log.hinted_lsn, tail);
  return log.hinted_lsn;
}

uint32_t Directory::follow_tails() noexcept {
  uint32_t started = 0;
  uint64_t now_ns = 0;
  for (uint32_t slot = 0; slot < slots_.size(); ++slot) {
    if (!active(slot) || slots_[slot].sealing != Sealing::kNone) continue;
    for (uint32_t w = 0; w < slots_[slot].workers; ++w) {
      LogState& log = *logs_[slot * workers_per_kn_ + w];
      const uint64_t before = log.hinted_lsn;
      const uint64_t hint = hinted_lsn(log.id);
      if (hint <= log.merged_lsn.load(std::memory_order_acquire)) continue;
      if (log.busy.load(std::memory_order_acquire)) continue;
      if (hint == before) {
        // The last run did not get there: look again a little later, not all the time.
        const MergeStop stop = log.last_stop.load(std::memory_order_relaxed);
        if (nothing_left(stop) || stop == MergeStop::kStalled) {
          if (now_ns == 0) now_ns = clock_.now_ns();
          if (now_ns < log.retry_at_ns) continue;
          log.retry_at_ns = now_ns + kRetryNs;
        }
      }
      start_merge(log, hint);
      ++started;
    }
  }
  return started;
}

Status Directory::merge_to(uint32_t log_id, uint64_t lsn, uint32_t* attempts) noexcept {
  LogState& log = *logs_[log_id];
  if (log.merged_lsn.load(std::memory_order_acquire) >= lsn) return Status::kOk;
  if (log.busy.load(std::memory_order_acquire)) return Status::kInProgress;
  const MergeStop stop = log.last_stop.load(std::memory_order_relaxed);
  // The first run may have begun before the entries were there; the second one cannot.
  if (*attempts >= 2 && nothing_left(stop)) return Status::kOutOfRange;
  if (*attempts >= 2 && stop == MergeStop::kStalled) return log.stall.load();
  if (*attempts < 2 || stop == MergeStop::kMore || stop == MergeStop::kReached) {
    ++*attempts;
  }
  start_merge(log, lsn);
  return Status::kInProgress;
}

Status Directory::merge_everything() noexcept {
  Status result = Status::kOk;
  for (auto& log : logs_) {
    const Status status = drain(*log);
    if (status == Status::kInProgress) result = status;
    if (!ok(status) && ok(result)) result = status;
  }
  if (result == Status::kInProgress) return result;
  for (auto& log : logs_) {
    if (log->target_lsn.load() != kMergeAll) continue;
    log->target_lsn.store(log->next_lsn - 1, std::memory_order_relaxed);
  }
  return result;
}

void Directory::close_orphans() noexcept {
  for (uint32_t slot = 0; slot < slots_.size(); ++slot) {
    if (active(slot)) continue;
    for (uint32_t w = 0; w < workers_per_kn_; ++w) {
      LogState& log = *logs_[slot * workers_per_kn_ + w];
      if (log.sequence <= log.granted.load()) close_log(log);
    }
  }
}

uint64_t Directory::lag_entries() noexcept {
  uint64_t lag = 0;
  for (uint32_t slot = 0; slot < slots_.size(); ++slot) {
    if (!active(slot)) continue;
    for (uint32_t w = 0; w < slots_[slot].workers; ++w) {
      LogState& log = *logs_[slot * workers_per_kn_ + w];
      const uint64_t merged = log.merged_lsn.load(std::memory_order_acquire);
      lag += log.hinted_lsn > merged ? log.hinted_lsn - merged : 0;
    }
  }
  return lag;
}

}  // namespace dinomo::dpm
