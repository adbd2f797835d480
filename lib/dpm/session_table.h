// SPDX-License-Identifier: BSD-3-Clause
// First outcomes of mutations by client session, in the pool. Filled by the merge, so that a retry
// gets its first answer whoever owns the key by then, also after crashes.
//
// A session lives in one of kSessionProbe records from its home slot. When all are taken, the least
// recently active one gives way.
//
// Thread rule: record() by any merge worker; a record is locked for the few stores that it takes.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>

#include "log/format.h"
#include "pool/sessions.h"
#include "pool/space.h"

namespace dinomo::dpm {

using pool::kSessionProbe;
using pool::session_home;

/// Where a log's sessions were found last; spares the probing. One per log.
struct SessionCache {
  struct Place {
    uint64_t session = 0;
    uint32_t slot = 0;
  };
  std::array<Place, 64> places;
};

class SessionTable {
 public:
  explicit SessionTable(pool::Space& space);

  /// Start-up after an unclean stop: renews checksums that a crash left torn.
  void repair() noexcept;

  /// Notes the outcome that an entry with a session carries. Flushed, durable after a drain.
  /// Idempotent; an older mutation never overwrites a newer one.
  void record(const log::Entry& entry, uint64_t unix_ms, SessionCache* cache) noexcept;

  uint64_t evictions() const noexcept { return evictions_.load(std::memory_order_relaxed); }

 private:
  pool::SessionRecord& at(uint32_t slot) noexcept;
  pool::OutcomeCell& cell(uint32_t slot, uint64_t sequence) noexcept;
  uint32_t claim(uint64_t session, uint64_t unix_ms) noexcept;
  void lock(uint32_t slot) noexcept;
  void unlock(uint32_t slot) noexcept;
  void write(uint32_t slot, const log::Entry& entry, uint64_t unix_ms) noexcept;

  pool::Space& space_;
  const uint32_t count_;
  const uint32_t window_;
  std::mutex claims_;
  std::unique_ptr<std::atomic<bool>[]> locks_;
  std::atomic<uint64_t> evictions_{0};
};

}  // namespace dinomo::dpm
