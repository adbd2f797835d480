// SPDX-License-Identifier: BSD-3-Clause
// Client sessions at one worker: which mutations have run, so that each takes effect once and a
// retry gets the first outcome.
//
// Every mutation that a worker answers is in its log first, with session, sequence and outcome; the
// merge carries them into the pool's session table. Here is what is newer than that, and what was
// read from there. The common case asks nobody. It is sound to run a mutation at once that is not
// known here if
//   - its session was never forgotten here (born after the horizon) and the client has not marked
//     it as repeated: this is its first transmission or a copy of it, cookies bind those to this
//     life of this KN, and whatever this worker ran of the session is still here; or
//   - the session's record was read from the pool since the last distrust(): whatever ran before
//     then, here or elsewhere, was merged before this worker owned the key, and whatever ran since
//     ran here.
// Anything else is kUnknown: the worker reads the record first (session_lookup.cc), three round
// trips a session. If the pool may have forgotten the session, too, its mutations are kLost: none
// of them runs any more, the client begins a new session.
//
// Bounded in number and window. Beyond that the session unused for longest is forgotten, unless
// something of it runs.
// Thread rule: the owning worker. No allocation after construction.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "common/bytes.h"
#include "pool/sessions.h"
#include "wire/format.h"

namespace dinomo::kn {

using pool::session_birth_ms;

/// Makes the ids of one worker: none twice, as long as the date does not go backwards between two
/// lives of a KN. A process that was replaced at its slot, and does not know, may make ids at the
/// same date as its successor: their incarnations differ.
class SessionIssuer {
 public:
  static constexpr uint64_t kEpochUnixMs = pool::kSessionEpochUnixMs;

  uint64_t next(uint64_t unix_ms, uint16_t kn_slot, uint16_t worker, uint32_t incarnation) noexcept;

 private:
  uint64_t birth_ms_ = 0;
  uint32_t count_ = 0;  // made in that ms
};

/// What a mutation was answered.
struct MutationOutcome {
  wire::Status status = wire::Status::kOk;
  uint64_t version = 0;  // of the item that it made, of a tombstone; 0: it changed nothing
  uint64_t result = 0;   // INCR, DECR: the number
};

/// One mutation: sequence (bits 0..55), wire status (56..61) and state (62..63) in a word, and its
/// outcome.
class MutationCell {
 public:
  enum class State : uint8_t { kFree = 0, kRunning = 1, kDone = 2 };

  uint64_t sequence() const noexcept { return word_ & kSequenceMask; }
  State state() const noexcept { return static_cast<State>(word_ >> kStateShift); }
  MutationOutcome outcome() const noexcept {
    return {static_cast<wire::Status>(word_ >> kStatusShift & 0x3f), version_, result_};
  }

  void start(uint64_t sequence) noexcept { set(sequence, State::kRunning, wire::Status::kOk); }
  void finish(uint64_t sequence, const MutationOutcome& outcome) noexcept {
    set(sequence, State::kDone, outcome.status);
    version_ = outcome.version;
    result_ = outcome.result;
  }
  /// The mutation was refused without effect: a retry may run. Older ones of the cell may not: what
  /// became of them was forgotten when this one started.
  void forget() noexcept { word_ = sequence(); }

 private:
  static constexpr uint32_t kStatusShift = 56;
  static constexpr uint32_t kStateShift = 62;
  static constexpr uint64_t kSequenceMask = (uint64_t{1} << kStatusShift) - 1;

  void set(uint64_t sequence, State state, wire::Status status) noexcept {
    word_ = (sequence & kSequenceMask) | static_cast<uint64_t>(status) << kStatusShift |
            static_cast<uint64_t>(state) << kStateShift;
  }

  uint64_t word_ = 0;
  uint64_t version_ = 0;
  uint64_t result_ = 0;
};
static_assert(sizeof(MutationCell) == 24);
static_assert(static_cast<uint8_t>(wire::Status::kTooLarge) < 64);  // the largest that is kept

/// What became of mutation `sequence` of `session`, as far as this worker knows.
struct MutationClaim {
  enum class Kind : uint8_t {
    kNew,      // run it; then finish() or forget()
    kRunning,  // a duplicate of one that runs: ignore it
    kDone,     // a duplicate: answer from the cell
    kUnknown,  // may have run: read the session's record, then claim again
    kTooOld,   // left the window: whether it ran is forgotten
    kLost,     // the session may have been forgotten: whether the mutation ran is, too
    kFull,     // no place for a new session
  };
  Kind kind = Kind::kNew;
  uint32_t cell = 0;  // index for cell()
};

class Sessions {
 public:
  /// `sessions_max` and `window` are powers of two.
  Sessions(uint32_t sessions_max, uint32_t window);

  /// Before claims, whenever time has moved. `durable_lsn` of the log; what is answered is not
  /// younger.
  void follow(uint64_t now_ns, uint64_t durable_lsn) noexcept {
    now_ns_ = now_ns;
    durable_lsn_ = durable_lsn;
  }

  uint32_t window() const noexcept { return window_; }
  uint32_t size() const noexcept { return size_; }
  /// `repeated`: the client says that it may have sent it before.
  MutationClaim claim(uint64_t session, uint64_t sequence, bool repeated) noexcept;
  const MutationCell& cell(uint32_t index) const noexcept { return cells_[index]; }
  /// Of the mutation that claimed the cell. A late one changes nothing: another mutation, or
  /// another session, may have taken the cell over since.
  void finish(uint32_t index, uint64_t session, uint64_t sequence,
              const MutationOutcome& outcome) noexcept;
  void forget(uint32_t index, uint64_t session, uint64_t sequence) noexcept;

  // Reading a session's record from the pool -----------------------------------------------------

  /// False if that is being done already. Until end_lookup() the session keeps its place.
  bool start_lookup(uint64_t session) noexcept;
  /// Everything up to here has to be merged before a record is read: what was forgotten.
  uint64_t forgotten_lsn() const noexcept { return forgotten_lsn_; }
  enum class Lookup : uint8_t { kFailed, kFound, kNever, kForgotten };
  /// kFound: `record` is the whole of it, header and cells.
  void end_lookup(uint64_t session, Lookup lookup, Bytes record = {}) noexcept;

  /// Mutations may have run elsewhere: keys have come from another owner. Sessions born after
  /// `unix_ms` cannot have been there. What is being looked up has to be looked up again.
  void distrust(uint64_t unix_ms) noexcept;
  /// Forgets everything and trusts nothing: the log has changed, and whether what was appended last
  /// is in there only the pool knows.
  void start_over(uint64_t unix_ms) noexcept;
  /// How often one of these was called.
  uint32_t distrusts() const noexcept { return distrusts_; }

 private:
  static constexpr uint32_t kSweepMax = 32;  // places looked at for one to be forgotten
  static constexpr uint32_t kNone = UINT32_MAX;

  enum class Trust : uint8_t {
    kNone,    // may have been here before, or elsewhere
    kFresh,   // was never forgotten here: what is not repeated is new
    kLoaded,  // all that ran is here
    kLost,    // nobody knows
  };

  struct Slot {
    uint64_t session = 0;
    uint64_t used_ns = 0;
    uint64_t floor = 0;  // every mutation below is done and forgotten
    uint32_t running = 0;
    Trust trust = Trust::kNone;
    bool looking_up = false;
  };
  uint32_t home(uint64_t session) const noexcept {
    return static_cast<uint32_t>(session * 0x9e37'79b9'7f4a'7c15 >> 32) & mask_;
  }
  uint32_t find(uint64_t session) const noexcept;
  uint32_t admit(uint64_t session) noexcept;
  uint32_t free_slot() noexcept;
  void evict(uint32_t slot) noexcept;
  void remove(uint64_t session) noexcept;
  void adopt(uint32_t slot, Bytes record) noexcept;
  bool must_ask(const Slot& slot, bool repeated) const noexcept {
    return slot.trust == Trust::kNone || (slot.trust == Trust::kFresh && repeated);
  }
  bool holds(uint32_t index, uint64_t session, uint64_t sequence) const noexcept {
    return slots_[index / window_].session == session && cells_[index].sequence() == sequence &&
           cells_[index].state() == MutationCell::State::kRunning;
  }

  uint32_t window_;
  uint64_t now_ns_ = 0;
  uint64_t durable_lsn_ = 0;
  uint64_t forgotten_lsn_ = 0;
  uint32_t distrusts_ = 0;
  uint64_t horizon_ms_ = 0;  // sessions born up to here may have been forgotten
  std::vector<Slot> slots_;
  std::vector<MutationCell> cells_;
  std::vector<uint32_t> table_;  // session -> slot, linear probing, half empty at least
  uint32_t mask_;
  uint32_t size_ = 0;
  uint32_t hand_ = 0;  // where the search for one to be forgotten goes on
  uint32_t last_slot_ = 0;
};

}  // namespace dinomo::kn
