// SPDX-License-Identifier: BSD-3-Clause
// A replicated key at its writer and at a reader, which this KN is in turn; what the cell says is
// looked at, and sometimes changed, in the pool.
#include <gtest/gtest.h>

#include <deque>

#include "kn/shared_keys.h"
#include "pool/cells.h"
#include "ring/ring.h"
#include "test/support/engine_world.h"

namespace dinomo::kn {
namespace {

using test::EngineReply;
using test::EngineWorld;
using wire::Opcode;

constexpr uint16_t kOther = 5;  // KN slot that this KN is not

class SharedKeyTest : public testing::Test {
 protected:
  void SetUp() override {
    world.wait_serving();
    world.hello();
    start_ = *world.shared().ring.load();
    own_slot_ = start_.owner[0];
    cell_ = *world.service().cells().install(hash(), routing(), 0);
  }
  void TearDown() override { become(false, false); }

  uint64_t hash() { return key_hash(as_bytes(kKey), world.pool().superblock().hash_seed); }
  uint64_t routing() const { return routing_hash(as_bytes(kKey)); }

  /// A next ring: the key's partition is this KN's or another's; the key is listed or not.
  void become(bool reader, bool listed) {
    ring::Ring next = start_;
    next.version = start_.version + rings_.size() + 1;
    if (reader) next.owner[partition_of(routing())] = kOther;
    const std::array<uint16_t, 2> kns{own_slot_, kOther};
    if (listed) next.replicated.push_back(ring::make_replicated(routing(), cell_.word(), kns));
    rings_.push_back(next);
    world.shared().ring.store(&rings_.back());
    world.turns(5);
  }
  void become_writer() { become(false, true); }
  void become_reader() { become(true, true); }

  pool::IndirectionCell& cell() {
    return *world.pool().record<pool::IndirectionCell>(cell_.offset_bytes());
  }
  /// Of the entry that the cell names; "-" if none.
  std::string in_cell() {
    const pool::GlobalAddress at(cell().address);
    log::Entry entry;
    if (!at || log::parse_entry_low8({world.pool().at(at.offset_bytes()), at.length_bytes()},
                                     at.generation(), &entry) != log::EntryCheck::kValid) {
      return "-";
    }
    return std::string(as_text(entry.value));
  }
  const WorkerStats& stats() { return world.worker().stats(); }
  uint64_t trips(fabric::Purpose p) {
    world.turns(3);
    return stats().round_trips[static_cast<size_t>(p)].get();
  }

  static constexpr std::string_view kKey = "hot";
  std::deque<ring::Ring> rings_;  // the worker's until the world has ended
  EngineWorld world;
  ring::Ring start_;
  uint16_t own_slot_ = 0;
  pool::GlobalAddress cell_;
};

TEST_F(SharedKeyTest, WhatIsAcknowledgedIsInTheCell) {
  become_writer();
  for (const char* value : {"one", "two", "three"}) {
    ASSERT_EQ(world.put(kKey, value).status, wire::Status::kOk);
    EXPECT_EQ(in_cell(), value);
    EXPECT_EQ(world.get(kKey).value, value);
  }
  EXPECT_EQ(world.remove(kKey).status, wire::Status::kOk);
  EXPECT_EQ(in_cell(), "-");
  EXPECT_EQ(world.get(kKey).status, wire::Status::kNotFound);
}

TEST_F(SharedKeyTest, ConditionalMutationsReachTheCellToo) {
  become_writer();
  const EngineReply put = world.put(kKey, "7");
  const wire::CounterExtras add{3, 0, 0, 0, 0};
  EXPECT_EQ(world.call(Opcode::kIncr, kKey, {}, 0, object_bytes(add)).value, "10");
  EXPECT_EQ(in_cell(), "10");
  const wire::CasExtras old{put.version, {0, 0, 0}};
  EXPECT_EQ(world.call(Opcode::kCas, kKey, "8", 0, object_bytes(old)).status,
            wire::Status::kExists);
  EXPECT_EQ(in_cell(), "10");
}

TEST_F(SharedKeyTest, TheWriterTakesTheCellOverBeforeItAnswers) {
  ASSERT_EQ(world.put(kKey, "before").status, wire::Status::kOk);
  EXPECT_EQ(in_cell(), "-");
  become_writer();
  EXPECT_EQ(in_cell(), "-");  // nobody has asked
  EXPECT_EQ(world.get(kKey).value, "before");
  EXPECT_EQ(in_cell(), "before");
  EXPECT_EQ(stats().cells_taken.get(), 1u);
  become_writer();  // by another ring: again
  EXPECT_EQ(world.get(kKey).value, "before");
  EXPECT_EQ(stats().cells_taken.get(), 2u);
}

TEST_F(SharedKeyTest, AnAbsentKeyIsTakenOverAsAbsent) {
  cell().address = 640;
  become_writer();
  EXPECT_EQ(world.get(kKey).status, wire::Status::kNotFound);
  EXPECT_EQ(cell().address, 0u);
}

TEST_F(SharedKeyTest, ABurstCostsOneCommitAndOneWriteOfTheCell) {
  become_writer();
  world.put(kKey, "first");
  const uint64_t log = trips(fabric::Purpose::kLog);
  const uint64_t cells = trips(fabric::Purpose::kCell);
  for (int i = 0; i < 20; ++i) world.send(Opcode::kPut, kKey, "v" + std::to_string(i));
  world.turns(10);
  EXPECT_EQ(world.replies().size(), 20u);
  EXPECT_EQ(trips(fabric::Purpose::kLog), log + 1);
  EXPECT_EQ(trips(fabric::Purpose::kCell), cells + 1);
  EXPECT_EQ(in_cell(), "v19");
}

TEST_F(SharedKeyTest, OtherKeysCostNothingMore) {
  become_writer();
  const uint64_t cells = trips(fabric::Purpose::kCell);
  EXPECT_EQ(world.put("other", "v").status, wire::Status::kOk);
  EXPECT_EQ(world.get("other").value, "v");
  EXPECT_EQ(trips(fabric::Purpose::kCell), cells);
}

TEST_F(SharedKeyTest, AReaderTakesTwoRoundTripsAndCachesNothing) {
  become_writer();
  ASSERT_EQ(world.put(kKey, "value").status, wire::Status::kOk);
  become_reader();
  for (uint64_t n = 1; n <= 3; ++n) {
    const uint64_t cells = trips(fabric::Purpose::kCell);
    const uint64_t values = trips(fabric::Purpose::kValue);
    EXPECT_EQ(world.get(kKey).value, "value");
    EXPECT_EQ(trips(fabric::Purpose::kCell), cells + 1);
    EXPECT_EQ(trips(fabric::Purpose::kValue), values + 1);
    EXPECT_EQ(stats().shared_reads.get(), n);
    EXPECT_EQ(stats().shared_rts.get(), 2 * n);
  }
}

TEST_F(SharedKeyTest, ReadsOfOneBurstShareAFetch) {
  become_writer();
  ASSERT_EQ(world.put(kKey, "value").status, wire::Status::kOk);
  become_reader();
  const uint64_t cells = trips(fabric::Purpose::kCell);
  for (int i = 0; i < 20; ++i) world.send(Opcode::kGet, kKey);
  world.turns(10);
  const auto replies = world.replies();
  ASSERT_EQ(replies.size(), 20u);
  for (const EngineReply& r : replies) EXPECT_EQ(r.value, "value");
  EXPECT_EQ(trips(fabric::Purpose::kCell), cells + 1);
}

TEST_F(SharedKeyTest, AReaderSeesWhatAnotherKnWroteMeanwhile) {
  become_writer();
  ASSERT_EQ(world.put(kKey, "old").status, wire::Status::kOk);
  const uint64_t old_address = cell().address;
  ASSERT_EQ(world.put(kKey, "new").status, wire::Status::kOk);
  const uint64_t new_address = cell().address;
  cell().address = old_address;
  become_reader();
  EXPECT_EQ(world.get(kKey).value, "old");
  cell().address = new_address;
  EXPECT_EQ(world.get(kKey).value, "new");
}

TEST_F(SharedKeyTest, AReaderSendsToTheWriterWhatItCannotTell) {
  become_writer();
  ASSERT_EQ(world.put("decoy", "value").status, wire::Status::kOk);
  ASSERT_EQ(world.put(kKey, "value").status, wire::Status::kOk);
  become_reader();
  const uint64_t right = cell().address;
  cell().address = 0;
  EXPECT_EQ(world.get(kKey).status, wire::Status::kWrongOwner);
  cell().address = right + 1;  // 64 bytes on: no entry, or another key's
  EXPECT_EQ(world.get(kKey).status, wire::Status::kWrongOwner);
  cell().address = cell_.word();  // a cell
  EXPECT_EQ(world.get(kKey).status, wire::Status::kWrongOwner);
  cell().address = right;
  EXPECT_EQ(world.get(kKey).value, "value");
  ++cell().generation;
  EXPECT_EQ(world.get(kKey).status, wire::Status::kWrongOwner);
  --cell().generation;
  ASSERT_EQ(world.service().cells().remove(hash(), cell_), Status::kOk);
  EXPECT_EQ(world.get(kKey).status, wire::Status::kWrongOwner);
  EXPECT_EQ(stats().shared_elsewhere.get(), 5u);
}

TEST_F(SharedKeyTest, AReaderRefusesMutationsAndKeysThatAreNotListed) {
  become_writer();
  ASSERT_EQ(world.put(kKey, "value").status, wire::Status::kOk);
  become_reader();
  EXPECT_EQ(world.put(kKey, "mine").status, wire::Status::kWrongOwner);
  EXPECT_EQ(world.remove(kKey).status, wire::Status::kWrongOwner);
  EXPECT_EQ(world.get(kKey).value, "value");
  become(true, false);
  EXPECT_EQ(world.get(kKey).status, wire::Status::kWrongOwner);
}

TEST_F(SharedKeyTest, AfterDereplicationNothingIsWrittenToTheCell) {
  become_writer();
  ASSERT_EQ(world.put(kKey, "shared").status, wire::Status::kOk);
  ASSERT_EQ(world.service().cells().remove(hash(), cell_), Status::kOk);
  ASSERT_EQ(world.put(kKey, "between").status, wire::Status::kOk);  // the ring lists it still
  become(false, false);
  const uint64_t says = cell().address;
  ASSERT_EQ(world.put(kKey, "alone").status, wire::Status::kOk);
  EXPECT_EQ(cell().address, says);
  EXPECT_EQ(world.get(kKey).value, "alone");
}

TEST_F(SharedKeyTest, ReadsGoOnWhileTheKeyIsWrittenAllTheTime) {
  become_writer();
  world.put(kKey, "0");
  int answered = 0;
  for (int i = 0; i < 400; ++i) {
    world.send(Opcode::kPut, kKey, std::to_string(i));
    world.send(Opcode::kGet, kKey);
    world.turn();
    for (const EngineReply& r : world.replies()) {
      answered += r.opcode == Opcode::kGet && r.status == wire::Status::kOk ? 1 : 0;
    }
  }
  world.turns(20);
  for (const EngineReply& r : world.replies()) {
    answered += r.opcode == Opcode::kGet && r.status == wire::Status::kOk ? 1 : 0;
  }
  EXPECT_EQ(answered, 400);
}

TEST_F(SharedKeyTest, OverARestartOfTheDpmTheCellIsTakenOverAgain) {
  become_writer();
  ASSERT_EQ(world.put(kKey, "kept").status, wire::Status::kOk);
  world.crash_dpm();
  EXPECT_EQ(cell().address, 0u);
  world.turns(2000);
  world.wait_serving();
  become_writer();
  world.turn_until([&] { return world.get(kKey).status == wire::Status::kOk; }, 1000);
  EXPECT_EQ(in_cell(), "kept");
}

TEST(SharedKeys, FollowTheRing) {
  ring::Ring ring;
  ring.version = 1;
  ring.owner.fill(0);
  const std::array<uint16_t, 2> kns{1, 2};
  const auto cell = [](uint64_t n) { return pool::GlobalAddress::indirect(0, n * 64).word(); };
  for (uint64_t n = 1; n <= 200; ++n) {
    ring.replicated.push_back(ring::make_replicated(n * 0x9e37'79b9'7f4a'7c15u, cell(n), kns));
  }
  const auto roles = [&](uint16_t slot) {
    SharedKeys keys;
    keys.follow(ring, slot, 0, 1, uint64_t{1} << 20);
    int writes = 0;
    int reads = 0;
    for (const pool::ReplicatedKey& listed : ring.replicated) {
      const SharedKey* key = keys.find(listed.routing_hash);
      if (key == nullptr) continue;
      writes += key->is_writer ? 1 : 0;
      reads += key->reads ? 1 : 0;
    }
    return std::pair(writes, reads);
  };
  EXPECT_EQ(roles(0), std::pair(200, 0));
  EXPECT_EQ(roles(1), std::pair(0, 200));
  EXPECT_EQ(roles(3), std::pair(0, 0));
  SharedKeys one_of_two;
  one_of_two.follow(ring, 0, 1, 2, uint64_t{1} << 20);
  EXPECT_GT(one_of_two.all().size(), 50u);
  EXPECT_LT(one_of_two.all().size(), 150u);
  SharedKeys small_pool;
  small_pool.follow(ring, 0, 0, 1, 64 * 11);
  EXPECT_EQ(small_pool.all().size(), 10u);  // cells beyond the pool's end are nobody's
}

TEST(SharedKeys, KeepWhatIsUnderWayAndForgetWhatWasShown) {
  ring::Ring ring;
  ring.owner.fill(0);
  const auto cell = pool::GlobalAddress::indirect(0, 64);
  ring.replicated.push_back(ring::make_replicated(7, cell.word(), {}));
  SharedKeys keys;
  keys.follow(ring, 0, 0, 1, 1 << 20);
  SharedKey* key = keys.find(7);
  ASSERT_NE(key, nullptr);
  key->state = SharedKey::State::kShown;
  key->writing = true;
  key->unshown_lsn = 9;
  keys.follow(ring, 0, 0, 1, 1 << 20);
  key = keys.find(7);
  EXPECT_EQ(key->state, SharedKey::State::kUnknown);
  EXPECT_TRUE(key->writing);
  EXPECT_EQ(key->unshown_lsn, 9u);
  ring.replicated[0].cell = pool::GlobalAddress::indirect(0, 64, 1).word();  // given out again
  keys.follow(ring, 0, 0, 1, 1 << 20);
  EXPECT_FALSE(keys.find(7)->writing);
  EXPECT_EQ(keys.find(7)->unshown_lsn, 0u);
  ring.replicated.clear();
  keys.follow(ring, 0, 0, 1, 1 << 20);
  EXPECT_TRUE(keys.empty());
}

}  // namespace
}  // namespace dinomo::kn
