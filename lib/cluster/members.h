// SPDX-License-Identifier: BSD-3-Clause
// What the leader knows of the other KNs, from looking at the directory again and again: who beats,
// who is silent for longer than its lease, and whether the incarnation that the ring names can
// still serve anything.
//
// A KN may serve for a lease after it *sent* its last heartbeat. It was sent before it was first
// seen here, so the lease is over when the leader has seen the same heartbeat for lease plus
// margin, by its own clock, and no later one can come: its incarnation is sealed.
//
// Thread rule: control lcore.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "pool/format.h"
#include "ring/ring.h"

namespace dinomo::cluster {

/// One KN slot as decisions need it.
struct KnView {
  bool member = false;        // registered, active and beating: may own partitions
  bool leaving = false;       // it, or an operator, wants that it owns none
  bool gone = true;           // the incarnation that the ring names will not serve any more
  bool must_fence = false;    // it is silent for longer than its lease, and not sealed
  uint32_t incarnation = 0;   // registered now
  uint64_t acknowledged = 0;  // ring version, by that incarnation
  uint32_t weight = 1;
};

class Members {
 public:
  /// Clocks differ by less than a hundredth.
  static constexpr uint64_t margin_ns(uint64_t lease_ns) noexcept {
    return lease_ns / 50 + 1'000'000;
  }

  /// The leader's own KN does not have to be watched.
  explicit Members(uint16_t own_slot) : own_slot_(own_slot) {}

  /// A look at the whole directory that ended at `now_ns`, under the ring that this leader wrote or
  /// found last.
  void look(std::span<const pool::KnSlot> directory, const ring::Ring& ring, uint64_t now_ns);

  /// The DPM has said that this incarnation is sealed and merged. The next look() shows whether a
  /// heartbeat came before that.
  void sealed(uint16_t kn_slot, uint32_t incarnation);

  std::span<const KnView> views() const noexcept { return views_; }

 private:
  struct Seen {
    uint32_t incarnation = 0;  // of the beats
    uint64_t heartbeat = 0;
    uint64_t since_ns = 0;  // first seen then
    uint64_t lease_ns = 0;
    bool moved = false;        // beats have been seen to follow one another
    uint32_t sealed = 0;       // incarnation
    uint32_t replaced = 0;     // incarnation that the ring names, and another one has registered
    uint64_t replaced_ns = 0;  // first seen then
  };
  static void note_beat(Seen* seen, const pool::KnSlot& slot, uint64_t now_ns) noexcept;
  static bool is_gone(Seen* seen, const pool::KnSlot& slot, uint32_t named,
                      uint64_t now_ns) noexcept;

  uint16_t own_slot_;
  std::vector<Seen> slots_;
  std::vector<KnView> views_;
};

}  // namespace dinomo::cluster
