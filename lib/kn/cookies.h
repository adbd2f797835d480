// SPDX-License-Identifier: BSD-3-Clause
// Who may ask what: cookies of addresses, tokens of sessions, and the budget of strangers.
// What each of them is for, and against whom: doc/security.md.
//
// Thread rule: the owning worker. No allocation after construction, no state between workers: all
// of a KN's workers derive the same keys from its secret and their clock.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "ingress/ingress.h"

namespace dinomo::kn {

/// Drawn anew at every start of a KN.
using CookieSecret = std::array<uint8_t, 32>;
using MacKey = std::array<uint8_t, 16>;

/// A cookie is a SipHash-2-4 of client address, port and session: it proves that the client can
/// receive at the address that it claims, and needs no memory. Its key is derived from the secret
/// and the number of the period, which stands in the cookie's two lowest bits. Cookies of this
/// period and of the one before are good (and of the next: clocks of two lcores are not read at
/// once).
class Cookies {
 public:
  Cookies(const CookieSecret& secret, uint64_t period_ns) noexcept;

  /// Before the other functions, whenever time has moved.
  void follow(uint64_t now_ns) noexcept {
    if (now_ns >= period_end_ns_) begin_period(now_ns / period_ns_);
  }
  uint64_t make(const ingress::Peer& peer, uint64_t session) const noexcept;
  /// Remembers what it found good last, so that a busy client costs a comparison a datagram.
  bool valid(const ingress::Peer& peer, uint64_t session, uint64_t cookie) noexcept;

 private:
  struct Verified {
    uint64_t session = 0;
    uint64_t cookie = 0;
    std::array<uint8_t, 16> address{};
    uint16_t port = 0;
  };
  static constexpr uint64_t kPeriodMask = 3;

  void begin_period(uint64_t period) noexcept;

  CookieSecret secret_;
  uint64_t period_ns_;
  uint64_t period_ = 0;
  uint64_t period_end_ns_ = 0;
  std::array<MacKey, kPeriodMask + 1> keys_{};  // by period modulo 4
  std::array<Verified, 256> verified_{};
};

/// A token proves that a session was given to whoever shows it, at every KN over the same pool:
/// SipHash-2-4 of the session id under a key derived from what only KNs and DPM know of the pool.
class SessionTokens {
 public:
  void set_pool(uint64_t hash_seed, const std::array<uint8_t, 16>& uuid) noexcept;
  /// False before the first pool.
  bool ready() const noexcept { return ready_; }
  uint64_t make(uint64_t session) const noexcept;

 private:
  MacKey key_{};
  bool ready_ = false;
};

/// What a source may send without a valid cookie, so that nobody makes a KN work, or answer, for
/// an address at will. Token buckets (as GCRA: a time each) in a table of fixed size, chosen by a
/// keyed hash; sources that share a bucket share its budget. A source is an IPv4 address or an IPv6
/// /64.
class SourceBudget {
 public:
  /// `per_second` datagrams, and as many at once.
  SourceBudget(const CookieSecret& secret, uint32_t per_second);

  /// False: too many of late.
  bool take(const std::array<uint8_t, 16>& address, uint64_t now_ns) noexcept;

 private:
  static constexpr size_t kBuckets = 4096;

  MacKey key_{};
  uint64_t interval_ns_;
  uint64_t burst_ns_;
  std::vector<uint64_t> empty_until_ns_;  // if nothing more came, the bucket would be full then
};

}  // namespace dinomo::kn
