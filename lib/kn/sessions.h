// SPDX-License-Identifier: BSD-3-Clause
// Client sessions at one worker: a window of mutations each, so that a retry is not executed twice
// while this KN lives and remembers the session.
//
// Bounded in number and window. A session has a place from its first mutation here; while there is
// none free, one that was unused for longest than the idle time makes room, and if there is none
// of those either, new sessions have to wait. What was forgotten never runs as if it were new:
// session ids tell when they were born, and the table remembers the youngest birth that it ever
// forgot (the horizon). A session that is not in the table and was born after the horizon was
// never here; an older one may have been, and is answered SESSION_LOST.
// Thread rule: the owning worker. No allocation after construction.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "wire/format.h"

namespace dinomo::kn {

/// Session id: birth in ms since 2020 (bits 24..63), KN slot (14..23), worker (7..13), count
/// (0..6).
inline constexpr uint64_t session_birth_ms(uint64_t session) noexcept { return session >> 24; }

/// Makes the ids of one worker: none twice, as long as the date does not go backwards between two
/// lives of a KN.
class SessionIssuer {
 public:
  static constexpr uint64_t kEpochUnixMs = 1'577'836'800'000;  // 2020-01-01

  uint64_t next(uint64_t unix_ms, uint16_t kn_slot, uint16_t worker) noexcept;

 private:
  uint64_t birth_ms_ = 0;
  uint32_t count_ = 0;  // made in that ms
};

/// Outcome of one mutation, packed: state (bits 56..63), wire status (48..55), LSN (0..47); and the
/// number that a counter became.
class MutationCell {
 public:
  enum class State : uint8_t { kFree = 0, kRunning = 1, kDone = 2 };

  uint64_t sequence() const noexcept { return sequence_; }
  State state() const noexcept { return static_cast<State>(outcome_ >> 56); }
  wire::Status status() const noexcept { return static_cast<wire::Status>(outcome_ >> 48 & 0xff); }
  uint64_t lsn() const noexcept { return outcome_ & ((uint64_t{1} << 48) - 1); }
  uint64_t result() const noexcept { return result_; }

  void start(uint64_t sequence) noexcept {
    sequence_ = sequence;
    outcome_ = static_cast<uint64_t>(State::kRunning) << 56;
  }
  void finish(wire::Status status, uint64_t lsn, uint64_t result = 0) noexcept {
    result_ = result;
    outcome_ =
        static_cast<uint64_t>(State::kDone) << 56 | static_cast<uint64_t>(status) << 48 | lsn;
  }
  /// The mutation was refused without effect: a retry may run. Older ones of the cell may not: what
  /// became of them was forgotten when this one started.
  void forget() noexcept { outcome_ = 0; }

 private:
  uint64_t sequence_ = 0;
  uint64_t outcome_ = 0;
  uint64_t result_ = 0;
};

/// What became of mutation `sequence` of `session`, as far as this worker knows.
struct MutationClaim {
  enum class Kind : uint8_t {
    kNew,      // run it; then cell->finish() or cell->forget()
    kRunning,  // a duplicate of one that runs: ignore it
    kDone,     // a duplicate: answer from the cell
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
  Sessions(uint32_t sessions_max, uint32_t window, uint64_t idle_ns);

  /// Before claims, whenever time has moved.
  void follow(uint64_t now_ns) noexcept { now_ns_ = now_ns; }

  uint32_t window() const noexcept { return window_; }
  uint32_t size() const noexcept { return size_; }
  MutationClaim claim(uint64_t session, uint64_t sequence) noexcept;
  MutationCell& cell(uint32_t index) noexcept { return cells_[index]; }
  /// Of the mutation that claimed the cell. A late one changes nothing: another mutation, or
  /// another session, may have taken the cell over since.
  void finish(uint32_t index, uint64_t session, uint64_t sequence, wire::Status status,
              uint64_t lsn, uint64_t result = 0) noexcept;
  void forget(uint32_t index, uint64_t session, uint64_t sequence) noexcept;
  /// All sessions, as if there never had been any: the caller knows that no retry can come, or
  /// where else its outcome stands.
  void clear() noexcept;

 private:
  static constexpr uint32_t kSweepMax = 32;  // places looked at for an idle session, a claim
  static constexpr uint32_t kNone = UINT32_MAX;

  struct Slot {
    uint64_t session = 0;
    uint64_t used_ns = 0;
  };
  uint32_t home(uint64_t session) const noexcept {
    return static_cast<uint32_t>(session * 0x9e37'79b9'7f4a'7c15 >> 32) & mask_;
  }
  uint32_t find(uint64_t session) const noexcept;
  uint32_t admit(uint64_t session) noexcept;
  uint32_t free_slot() noexcept;
  void remove(uint64_t session) noexcept;
  bool holds(uint32_t index, uint64_t session, uint64_t sequence) const noexcept {
    return slots_[index / window_].session == session && cells_[index].sequence() == sequence;
  }

  uint32_t window_;
  uint64_t idle_ns_;
  uint64_t now_ns_ = 0;
  uint64_t horizon_ms_ = 0;
  std::vector<Slot> slots_;
  std::vector<MutationCell> cells_;
  std::vector<uint32_t> table_;  // session -> slot, linear probing, half empty at least
  uint32_t mask_;
  uint32_t size_ = 0;
  uint32_t hand_ = 0;  // where the search for idle sessions goes on
  uint32_t last_slot_ = 0;
};

}  // namespace dinomo::kn
