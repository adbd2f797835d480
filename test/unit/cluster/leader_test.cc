// SPDX-License-Identifier: BSD-3-Clause
#include "cluster/leader.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "pool/mailbox.h"
#include "test/support/manual_clock.h"
#include "test/support/memory_fabric.h"

namespace dinomo::cluster {
namespace {

constexpr uint64_t kMs = 1'000'000;
constexpr uint16_t kOwn = 0;
constexpr uint16_t kOld = 1;
constexpr uint32_t kIncarnation = 3;
constexpr uint64_t kOldWord =
    (uint64_t{kOld} + 1) | uint64_t{kIncarnation} << 16 | uint64_t{5} << 48;

/// A pool in memory; KN 1 holds the leader lease and is silent, KN 0 follows. Nobody plays the DPM.
struct World {
  World() : memory(1 << 20), queue(memory, 64) {
    pool::Superblock& s = lane.superblock;
    s.kn_slots = 2;
    s.workers_per_kn = 1;
    s.mailbox_cells = 2;
    s.leader_offset = 4096;
    s.directory_offset = 8192;
    s.mailboxes_offset = 16384;
    s.ring_offset = 131072;
    s.state_offset = 4096 + 64;
    lane.queue = &queue;
    lane.kn_slot = kOwn;
    lane.incarnation = kIncarnation;
    for (uint16_t slot = 0; slot < 2; ++slot) {
      pool::KnSlot line{};
      line.state = static_cast<uint32_t>(pool::KnState::kActive);
      line.incarnation = line.heartbeat_incarnation = kIncarnation;
      line.lease_us = config.lease_us;
      line.weight = 1;
      store(memory.data() + pool::kn_slot_offset(s, slot), line);
    }
    ring::Ring ring;
    ring.version = 8;
    ring.leader = kOldWord;
    ring.owner.fill(kOld);
    ring.incarnation[kOld] = kIncarnation;
    store(memory.data() + s.ring_offset, ring::to_record(ring));
    store(memory.data() + s.leader_offset, kOldWord);
    leader.memory(s.kn_slots);
    lane.now_ns = clock.now;
    leader.attach();
  }
  void run(uint64_t ms) {
    for (uint64_t t = 0; t < ms; ++t) {
      clock.now += kMs;
      lane.now_ns = clock.now;
      queue.poll(64);
      lane.delays.resume(lane.now_ns, lane.losing);
      leader.poll();
    }
  }
  /// KN 1 beats and settles every ring; so does KN 0.
  void beat(pool::KnSlot* line, uint64_t ms) {
    for (uint64_t t = 0; t < ms; ++t) {
      ++line->heartbeat;
      line->ring_version_seen = ring_version();
      std::byte* const own = memory.data() + pool::kn_slot_offset(lane.superblock, kOwn);
      store(own + offsetof(pool::KnSlot, heartbeat), line->heartbeat);
      store(own + offsetof(pool::KnSlot, ring_version_seen), line->ring_version_seen);
      store(memory.data() + pool::kn_slot_offset(lane.superblock, kOld), *line);
      run(1);
    }
  }
  std::byte* cell() { return memory.data() + pool::mailbox_offset(lane.superblock, kOwn, 1, 1); }
  pool::MailboxLine request() { return load<pool::MailboxLine>(cell()); }
  void answer(Status status) {
    store(cell() + offsetof(pool::MailboxCell, reply),
          pool::make_reply(request(), status, {0, 0, 0, 0, 0}));
  }
  uint64_t holder() { return load<uint64_t>(memory.data() + lane.superblock.leader_offset); }
  Bytes ring_bytes() {
    return Bytes(memory).subspan(lane.superblock.ring_offset, 2 * sizeof(pool::RingRecord));
  }
  uint64_t ring_version() { return ring::newest_of(ring_bytes()).version; }

  LeaderConfig config{.lease_us = 100'000, .heartbeat_us = 10'000};
  test::ManualClock clock;
  std::vector<std::byte> memory;
  test::MemoryQueue queue;
  Lane lane;
  Leader leader{config, &lane, &clock, [](const std::string&) {}};
};

TEST(Leader, ALeaseThatIsRenewedIsNotTaken) {
  World w;
  for (uint64_t n = 1; n < 10; ++n) {
    w.run(50);
    store(w.memory.data() + w.lane.superblock.leader_offset + offsetof(pool::LeaderLease, renewals),
          n);
  }
  EXPECT_EQ(w.holder(), kOldWord);
}

TEST(Leader, LocksTheOldHolderOutBeforeItWritesAnything) {
  World w;
  const std::vector<std::byte> before(w.ring_bytes().begin(), w.ring_bytes().end());
  w.run(1000);  // the DPM does not answer
  EXPECT_EQ(w.holder() & 0xffff, kOwn + 1u);
  EXPECT_EQ(w.request().opcode, static_cast<uint16_t>(pool::MailboxOpcode::kFenceKn));
  EXPECT_EQ(w.request().args[0], kOld);
  EXPECT_EQ(w.request().args[1], kIncarnation);
  EXPECT_FALSE(w.leader.leading());
  EXPECT_EQ(std::memcmp(before.data(), w.ring_bytes().data(), before.size()), 0);
  w.answer(Status::kBusy);  // it cannot be locked out
  w.run(1000);
  EXPECT_FALSE(w.leader.leading());
  EXPECT_EQ(std::memcmp(before.data(), w.ring_bytes().data(), before.size()), 0);
  w.answer(Status::kOk);
  w.run(100);
  EXPECT_TRUE(w.leader.leading());
  EXPECT_GT(w.ring_version(), 8u);
}

TEST(Leader, WhoeverHasLeftIsReplacedAtOnce) {
  World w;
  pool::KnSlot line{};
  line.state = static_cast<uint32_t>(pool::KnState::kFree);
  line.incarnation = kIncarnation;
  store(w.memory.data() + pool::kn_slot_offset(w.lane.superblock, kOld), line);
  w.run(40);
  EXPECT_TRUE(w.leader.leading());
  EXPECT_EQ(w.request().opcode, 0) << "there is nobody to lock out";
}

/// KN 1 has left, so KN 0 leads and owns everything, then KN 1 is back under another incarnation.
void lead_two(World* w) {
  pool::KnSlot line{};
  line.state = static_cast<uint32_t>(pool::KnState::kFree);
  line.incarnation = kIncarnation;
  std::byte* const at = w->memory.data() + pool::kn_slot_offset(w->lane.superblock, kOld);
  store(at, line);
  w->run(40);
  ASSERT_TRUE(w->leader.leading());
  line.state = static_cast<uint32_t>(pool::KnState::kActive);
  line.incarnation = line.heartbeat_incarnation = kIncarnation + 1;
  line.lease_us = w->config.lease_us;
  line.weight = 1;
  w->beat(&line, 200);
}

TEST(Leader, PinnedPartitionsGoWhereTheyAreWanted) {
  constexpr uint64_t kPinsAt = 65536;
  World w;
  ASSERT_NO_FATAL_FAILURE(lead_two(&w));
  const ring::Ring before = ring::newest_of(w.ring_bytes());
  ASSERT_TRUE(before.pinned.none());
  const auto p =
      static_cast<uint32_t>(std::ranges::find(before.owner, kOld) - before.owner.begin());
  ASSERT_LT(p, kPartitions);
  const auto say = [&](uint16_t target, uint64_t version) {
    pool::PinTable table{};
    table.target[p] = target;
    store(w.memory.data() + kPinsAt, table);
    std::byte* const state = w.memory.data() + w.lane.superblock.state_offset;
    store(state + offsetof(pool::PoolState, pins_offset), kPinsAt);
    store(state + offsetof(pool::PoolState, pins_version), version);
  };
  pool::KnSlot line =
      load<pool::KnSlot>(w.memory.data() + pool::kn_slot_offset(w.lane.superblock, kOld));
  say(kOwn + 1, 1);
  w.beat(&line, 200);
  ring::Ring now = ring::newest_of(w.ring_bytes());
  EXPECT_EQ(now.owner[p], kOwn);
  EXPECT_TRUE(now.pinned[p]);
  EXPECT_EQ(now.pinned.count(), 1u);
  say(7, 2);  // a KN that is not there
  w.beat(&line, 200);
  now = ring::newest_of(w.ring_bytes());
  EXPECT_EQ(now.owner[p], before.owner[p]) << "as if it were not pinned";
  EXPECT_TRUE(now.pinned[p]);
  say(0, 3);
  w.beat(&line, 200);
  EXPECT_EQ(ring::newest_of(w.ring_bytes()).owner, before.owner);
  EXPECT_TRUE(ring::newest_of(w.ring_bytes()).pinned.none());
}

}  // namespace
}  // namespace dinomo::cluster
