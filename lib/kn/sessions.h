// SPDX-License-Identifier: BSD-3-Clause
// Client sessions at one worker: source-bound cookies, and a window of mutations so that a retry is
// not executed twice while this KN lives.
//
// Cookie = SipHash-2-4 under a secret of this KN of (client address, port, session id): it proves
// that the client can receive at the address it claims, and needs no memory.
// Thread rule: the owning worker. No allocation after construction.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "ingress/ingress.h"
#include "wire/format.h"

namespace dinomo::kn {

using CookieSecret = std::array<uint8_t, 16>;

uint64_t make_cookie(const CookieSecret& secret, const ingress::Peer& peer,
                     uint64_t session) noexcept;

/// Remembers the cookies verified last, so that a busy client costs a comparison a datagram.
class CookieChecker {
 public:
  explicit CookieChecker(const CookieSecret& secret) noexcept : secret_(secret) {}

  bool valid(const ingress::Peer& peer, uint64_t session, uint64_t cookie) noexcept;

 private:
  struct Verified {
    uint64_t session = 0;
    uint64_t cookie = 0;
    std::array<uint8_t, 16> address{};
    uint16_t port = 0;
  };
  CookieSecret secret_;
  std::array<Verified, 256> verified_{};
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
  /// The mutation was refused without effect: a retry may run.
  void forget() noexcept {
    sequence_ = 0;
    outcome_ = 0;
  }

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
    kTooOld,   // left the window long ago: nobody knows
  };
  Kind kind = Kind::kNew;
  uint32_t cell = 0;  // index for cell()
};

class Sessions {
 public:
  /// `sessions_max` and `window` are powers of two.
  Sessions(uint32_t sessions_max, uint32_t window);

  uint32_t window() const noexcept { return window_; }
  MutationClaim claim(uint64_t session, uint64_t sequence) noexcept;
  MutationCell& cell(uint32_t index) noexcept { return cells_[index]; }
  /// Of the mutation that claimed the cell. A late one changes nothing: another mutation, or
  /// another session, may have taken the cell over since.
  void finish(uint32_t index, uint64_t session, uint64_t sequence, wire::Status status,
              uint64_t lsn, uint64_t result = 0) noexcept;
  void forget(uint32_t index, uint64_t session, uint64_t sequence) noexcept;
  void clear() noexcept;

 private:
  static constexpr uint32_t kProbesMax = 8;

  struct Slot {
    uint64_t session = 0;
    uint64_t used = 0;  // tick of the last claim
  };
  /// The session's slot; the least recently used of the probed ones is taken over if need be.
  uint32_t slot_of(uint64_t session) noexcept;
  bool holds(uint32_t index, uint64_t session, uint64_t sequence) const noexcept {
    return slots_[index / window_].session == session && cells_[index].sequence() == sequence;
  }

  uint32_t window_;
  std::vector<Slot> slots_;
  std::vector<MutationCell> cells_;
  uint64_t tick_ = 0;
  uint32_t last_slot_ = 0;
};

}  // namespace dinomo::kn
