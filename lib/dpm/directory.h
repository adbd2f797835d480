// SPDX-License-Identifier: BSD-3-Clause
// The DPM's view of its KNs: who may append to which logs, following their tails, and sealing,
// which ends an incarnation: revoke its access, merge everything valid that it wrote, close its
// segments.
//
// Sealing takes many polls; seal() is called again until it says something else than kInProgress.
//
// Thread rule: service thread.
#pragma once

#include <cstdint>
#include <vector>

#include "common/clock.h"
#include "dpm/merge_pool.h"
#include "dpm/recovery.h"
#include "fabric/driver.h"
#include "pool/space.h"

namespace dinomo::dpm {

/// MailboxOpcode::kRegister, args[1].
inline constexpr uint64_t kRegisterStandby = 1;

class Directory {
 public:
  Directory(pool::Space& space, SegmentTable& segments, MergePool& merges, fabric::Target& target,
            Clock& clock, LogStates& logs);

  /// May this incarnation of the KN ask for anything?
  bool serves(uint32_t slot, uint32_t incarnation) noexcept;
  bool active(uint32_t slot) noexcept;
  /// Some incarnation registered and did not leave in an orderly way.
  bool taken(uint32_t slot) noexcept;
  uint32_t incarnation(uint32_t slot) noexcept { return kn(slot).incarnation; }

  /// Ends the slot's incarnation; its state becomes `state`. Takes access away first from those
  /// that `from` names, which may be kBusy (nothing was changed then). kOk when all its logs are
  /// merged and closed; a merge that cannot go on gives its status, and seal() may be called again
  /// later.
  enum class Revoke : uint8_t {
    kNobody,
    kEarlier,  // processes that held the slot before the one that holds it now
    kPresent,  // that one, too
  };
  Status seal(uint32_t slot, pool::KnState state, Revoke from) noexcept;

  /// After seal(): the next incarnation may append. Returns it.
  uint32_t open_incarnation(uint32_t slot, uint32_t workers, bool standby) noexcept;

  /// After seal(): ends in this state.
  void set_state(uint32_t slot, pool::KnState state) noexcept;

  /// Looks at the tail hints of active KNs and starts merges. Returns how many were started.
  uint32_t follow_tails() noexcept;

  /// Merge up to `lsn` (0: what the tail hint says). kInProgress, kOk, or kOutOfRange if the log
  /// holds no valid entry up to there.
  Status merge_to(uint32_t log_id, uint64_t lsn, uint32_t* attempts) noexcept;

  /// Goal of merge_to() for lsn 0.
  uint64_t hinted_lsn(uint32_t log_id) noexcept;

  /// Merges everything valid in every log; kInProgress until then. For start and orderly stop.
  Status merge_everything() noexcept;

  /// Closes what a crash interrupted: logs of slots that nobody may append to. After merging.
  void close_orphans() noexcept;

  uint32_t workers(uint32_t slot) const noexcept { return slots_[slot].workers; }
  uint64_t lag_entries() noexcept;
  LogStates& logs() noexcept { return logs_; }

 private:
  enum class Sealing : uint8_t { kNone, kMerging, kSealed };
  Status revoke(uint32_t slot, Revoke from) noexcept;
  struct Slot {
    Sealing sealing = Sealing::kNone;
    uint32_t workers = 0;
  };
  pool::KnSlot& kn(uint32_t slot) noexcept;
  pool::LogRecord& record(uint32_t log_id) noexcept;
  /// Drives one log to the end of its valid entries. kInProgress until there.
  Status drain(LogState& log) noexcept;
  void close_log(LogState& log) noexcept;
  void start_merge(LogState& log, uint64_t target) noexcept;

  pool::Space& space_;
  SegmentTable& segments_;
  MergePool& merges_;
  fabric::Target& target_;
  Clock& clock_;
  LogStates& logs_;
  const uint32_t workers_per_kn_;
  std::vector<Slot> slots_;
};

}  // namespace dinomo::dpm
