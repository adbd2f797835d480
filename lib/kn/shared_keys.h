// SPDX-License-Identifier: BSD-3-Clause
// Replicated keys at one worker: which of the ring's list concern it, and how far each is.
//
// Selective replication (DINOMO section 4.4): a hot key is owned by several KNs. Its newest value
// is found through an indirection cell, a word in the pool that holds the entry's address.
//
// Who does what. The owner of the key's partition, its *writer*, executes all mutations, as for any
// key, and caches as for any key. Every KN on the key's list answers GETs: it reads the cell, then
// the entry, and caches neither. (Published: every owner writes, by compare-and-swap of the cell.
// But mutations of one key are serial anyway. A writer puts all that a burst brings for the key
// into one group commit and one cell write; R writers that race for a word make one succeed a round
// trip and the rest try again. What one writer decides (CAS, INCR, DELETE, retries) needs no second
// protocol either.) When the cell says nothing, the reader sends the client to the writer.
//
//   operation                          round trips
//   GET at a KN of the list            2: cell, entry; 1 if the cell names none (then WRONG_OWNER)
//   GET at the writer                  as for any key: 0, 1 or 2
//   mutation                           1 for the group commit, then 1 for the cell, once for all
//                                      mutations of the key that became durable together
//
// Promise: a cell that is not 0 names the newest value that anybody was shown, or one whose
// successor nobody was shown. So a GET that reads it after it was asked is linearizable, whatever
// ring and lease its KN has. Kept by:
//
//   1. What became durable is shown (read by the writer, acknowledged) only once the cell has it;
//      from the start of a write to the cell until then, GETs at the writer wait. A DELETE writes
//      0.
//   2. A KN that becomes writer, by a ring or by registering, answers nothing of the key before it
//      has looked it up in the pool and written the cell itself: what its predecessor made durable
//      but did not show, and what a session's retry may be told of, is in the cell by then.
//   3. There is one writer: hand-over and fencing see to it, as for any key. A write to the cell
//      that is under way counts among what a worker ends before it gives a key away, and a fenced
//      KN's write does not land, like its log writes.
//   4. A ring without the key comes into force only after the DPM has taken the cell back, which
//      changes its generation; readers compare that with what their ring says (ring/ring.h).
//   5. The DPM sets all cells to 0 when it starts, so they need not be durable; the merge does not
//      touch them; compaction swings a cell along with the index slot.
//
// An item that expires within the time by which clocks may differ is the writer's to judge.
//
// 0 is always safe, and so is whatever a late writer of another generation puts there: a reader
// takes only a valid entry of the key it was asked for.
//
// Thread rule: the owning worker. No allocation after construction.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "pool/address.h"
#include "pool/format.h"
#include "ring/ring.h"

namespace dinomo::kn {

struct SharedKey {
  enum class State : uint8_t {
    kUnknown,  // the writer has not written the cell yet
    kTaking,   // it is looking the key up to do so
    kShown,    // the cell says what the writer shows
  };

  uint64_t routing_hash = 0;
  pool::GlobalAddress cell;
  bool is_writer = false;  // this worker is
  bool reads = false;      // this KN is on the list, and the key this worker's
  State state = State::kUnknown;
  bool writing = false;        // the cell is being written
  uint64_t unshown_lsn = 0;    // first one that is durable and not in the cell yet; 0 none
  uint64_t cell_lsn = 0;       // last one that the cell says or is made to say
  pool::GlobalAddress target;  // what it is made to say; 0: deleted
  uint64_t shown_turn = 0;     // in which the cell was last written
  uint64_t shown_ns = 0;
};

class SharedKeys {
 public:
  SharedKeys();

  /// Takes the worker's keys of a ring's list over, also those that this KN has no part in: it may
  /// have begun to write them. Cells outside of `pool_bytes` are ignored. All keys become kUnknown,
  /// but those that stay with their cell keep what is under way.
  void follow(const ring::Ring& ring, uint16_t kn_slot, uint16_t worker, uint16_t workers,
              uint64_t pool_bytes);
  void clear() noexcept;

  bool empty() const noexcept { return size_ == 0; }
  SharedKey* find(uint64_t routing_hash) noexcept;
  std::span<SharedKey> all() noexcept { return {keys_.data(), size_}; }

 private:
  static constexpr size_t kPlaces = 4 * size_t{pool::kReplicatedKeysMax};
  static constexpr uint16_t kNone = UINT16_MAX;

  void insert(uint64_t routing_hash, uint16_t index) noexcept;

  std::vector<SharedKey> keys_;
  std::vector<SharedKey> before_;
  size_t size_ = 0;
  std::array<uint16_t, kPlaces> places_;
};

}  // namespace dinomo::kn
