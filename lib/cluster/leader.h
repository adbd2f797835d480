// SPDX-License-Identifier: BSD-3-Clause
// One KN leads: it writes the ring. Who: the holder of the lease word in the pool.
//
//   kFollowing --CAS of the word--> kTaking --old holder locked out, ring read--> kLeading
//        ^------------- the word is another's, or the DPM is lost ----------------'
//
// A follower takes the word when it and its renewals stand still for the lease and a margin by its
// own clock, or when the incarnation that holds it is registered no more. Before it writes anything
// it has the DPM fence the old holder: whatever that had posted has landed then or never will, so
// two leaders never write, however late one of them wakes. A leader stops by itself when its own
// lease is over.
//
// A look by the leader costs a write and 3 reads, several times a heartbeat (every 2 ms while
// partitions move), one of 32 KiB when keys were replicated or are no longer, and one of 8 KiB when
// partitions were pinned or are no longer; a new ring one write of 32 KiB; a fail-over one request
// to the DPM. A follower reads 64 bytes every heartbeat. Thread rule: poll() on the control lcore.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "cluster/lane.h"
#include "cluster/members.h"
#include "cluster/plan.h"
#include "cluster/replicas.h"
#include "common/clock.h"

namespace dinomo::cluster {

struct LeaderConfig {
  uint32_t lease_us = 1'000'000;
  uint32_t heartbeat_us = 100'000;
  // A hand-over that is not acknowledged for so long is undone, and none begun for as long again.
  uint32_t handing_patience_us = 3'000'000;
  uint32_t fence_patience_us = 60'000'000;  // the DPM merges the KN's logs first
};

class Leader {
 public:
  using Say = std::function<void(const std::string&)>;

  Leader(const LeaderConfig& config, Lane* lane, Clock* clock, Say say);

  /// Memory that the fabric has to know, for a pool of so many KN slots.
  MutableBytes memory(uint32_t kn_slots);
  /// After a registration; the lane has queue, superblock, slot and incarnation.
  void attach() noexcept;
  /// Starts what is due; returns work done. Only while attached.
  uint32_t poll() noexcept;

  bool leading() const noexcept { return state_ == State::kLeading; }
  kn::FramePool& frames() noexcept { return lane_.frames; }

 private:
  enum class State : uint8_t { kFollowing, kTaking, kLeading };
  struct Fence {
    uint16_t kn_slot = 0;
    uint32_t incarnation = 0;

    bool operator==(const Fence&) const noexcept = default;
  };

  uint64_t own_word(uint64_t before) const noexcept;
  bool still() const noexcept;
  kn::Task run_watch() noexcept;
  kn::Task run_fence(Fence victim) noexcept;
  kn::Task run_adopt() noexcept;
  kn::Task run_lead() noexcept;
  kn::Task run_publish() noexcept;
  bool refused_again(Fence victim) noexcept;
  uint32_t start_take() noexcept;
  void adopt(Bytes records) noexcept;
  void write_next(MutableBytes record) const noexcept;
  void decide() noexcept;
  // leader_wishes.cc
  void take_cells(Bytes cells, uint64_t offset, uint64_t version) noexcept;
  void take_pins(Bytes table, uint64_t version) noexcept;
  ring::Ring& next_ring() noexcept;
  void list_keys() noexcept;
  void list_pins() noexcept;
  void follow_handing(bool moving) noexcept;
  void step_down(const char* why) noexcept;
  void started(const kn::Task& task) noexcept;
  void finish(uint64_t again_in_us) noexcept;
  MutableBytes at(size_t offset, size_t bytes) noexcept {
    return MutableBytes(memory_).subspan(offset, bytes);
  }

  const LeaderConfig config_;
  Lane& lane_;
  Clock* clock_;
  Say say_;
  std::vector<std::byte> memory_;

  State state_ = State::kFollowing;
  bool running_ = false;  // one task at a time
  uint64_t next_ns_ = 0;
  uint64_t mailbox_count_ = 0;

  // following
  uint64_t word_ = 0;      // last seen
  uint64_t renewals_ = 0;  // last seen, or written
  uint64_t still_since_ns_ = 0;
  std::optional<Fence> old_holder_;  // to be locked out before anything else

  // leading
  uint64_t deadline_ns_ = 0;
  Members members_{0};
  ring::Ring ring_;
  std::optional<ring::Ring> next_ring_;
  std::optional<Fence> victim_;
  Fence refused_;                     // that the DPM could not lock out when it was asked last
  uint32_t refusals_ = 0;             // of that one, in a row
  std::vector<ring::Member> placed_;  // what targets_ was made for
  ring::Owners targets_;
  std::optional<uint64_t> cells_version_;  // that wanted_keys_ are of
  std::vector<WantedKey> wanted_keys_;     // to be replicated
  std::optional<uint64_t> pins_version_;   // that pins_ are of
  ring::Owners pins_{};                    // where partitions are wanted; kNoOwner: anywhere
  uint64_t handing_since_ns_ = 0;          // 0: none under way
  uint64_t no_handing_until_ns_ = 0;
};

}  // namespace dinomo::cluster
