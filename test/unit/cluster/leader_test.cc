// SPDX-License-Identifier: BSD-3-Clause
#include "cluster/leader.h"

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace dinomo::cluster
