// SPDX-License-Identifier: BSD-3-Clause
// Where a session's outcomes lie in the pool. The DPM writes them as it merges, a KN reads them
// one-sidedly when a mutation comes that may have run before its time. Pure functions.
//
// A session lives in one of kSessionProbe records from its home on, wrapping. It takes the first
// record that was never used; if all of them are in use, that of the session which was unused for
// longest, which is forgotten then. So a reader that meets a record never used may stop. That the
// session is not among those it met may have two reasons: it never was, or it gave way to one with
// another home. A record keeps the latest birth of those that gave way in it, its horizon: a
// session born after the horizons of all that were met has not given way.
#pragma once

#include "common/bytes.h"
#include "common/hash.h"
#include "common/planted.h"
#include "pool/format.h"

namespace dinomo::pool {

inline constexpr uint32_t kSessionProbe = 16;
/// Dates of KNs may differ by this much.
inline constexpr uint64_t kClockSlackMs = 5000;

/// Session id (made by a KN at HELLO): birth in ms since 2020 (bits 24..63), KN slot (14..23),
/// worker (7..13), incarnation of the KN modulo 4 (5..6), count (0..4).
inline constexpr uint64_t kSessionEpochUnixMs = 1'577'836'800'000;  // 2020-01-01
inline constexpr uint64_t session_birth_ms(uint64_t session) noexcept { return session >> 24; }

inline uint32_t session_home(uint64_t session, uint32_t session_count) noexcept {
  return static_cast<uint32_t>(checksum64(object_bytes(session)) % session_count);
}

inline constexpr uint64_t session_offset(const Superblock& s, uint32_t record) noexcept {
  return s.sessions_offset + record * session_bytes(s.session_window);
}

inline uint32_t outcome_check(const OutcomeCell& c) noexcept {
  return static_cast<uint32_t>(checksum64(object_bytes(c).first(offsetof(OutcomeCell, check))));
}

/// Looks for one session, record by record.
class SessionProbe {
 public:
  enum class Step : uint8_t {
    kGoOn,       // read the next record's header
    kFound,      // this is it
    kNever,      // none of its mutations is in the pool, and none ever was
    kForgotten,  // none is, but some may have been
  };

  SessionProbe(const Superblock& superblock, uint64_t session) noexcept
      : session_(session),
        count_(superblock.session_count),
        record_(session_home(session, superblock.session_count)) {}

  /// The record whose header is wanted next, or that was found.
  uint32_t record() const noexcept { return record_; }

  Step look(const SessionRecord& header) noexcept {
    if (header.session == session_) {
      return (header.flags & kSessionForgot) != 0 ? Step::kForgotten : Step::kFound;
    }
    if (header.horizon_ms >= session_birth_ms(session_) && !planted("session-horizon-ignored")) {
      may_have_given_way_ = true;
    }
    const bool never_used = header.session == 0 && header.created_unix_ms == 0;
    if (!never_used && ++looked_ < (count_ < kSessionProbe ? count_ : kSessionProbe)) {
      record_ = record_ + 1 == count_ ? 0 : record_ + 1;
      return Step::kGoOn;
    }
    return may_have_given_way_ ? Step::kForgotten : Step::kNever;
  }

 private:
  uint64_t session_;
  uint32_t count_;
  uint32_t record_;
  uint32_t looked_ = 0;
  bool may_have_given_way_ = false;
};

}  // namespace dinomo::pool
