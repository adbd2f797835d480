// SPDX-License-Identifier: BSD-3-Clause
// Indirection cells: given out, taken back, over restarts, and while entries move.
#include <gtest/gtest.h>

#include <set>

#include "pool/cells.h"
#include "test/unit/dpm/service_fixture.h"

namespace dinomo::dpm {
namespace {

using pool::GlobalAddress;
using pool::MailboxOpcode;

class Cells : public test::ServiceTest {
 protected:
  pool::IndirectionCell& cell_at(GlobalAddress address) {
    return *pool_->record<pool::IndirectionCell>(address.offset_bytes());
  }
  bool believed(GlobalAddress address, uint64_t hash) {
    return pool::is_cell_of(cell_at(address), address, hash);
  }
  GlobalAddress install(uint64_t hash) {
    const auto reply = call(0, control(), incarnation_, MailboxOpcode::kInstallCell, {hash, hash});
    EXPECT_EQ(status_of(reply), Status::kOk);
    return GlobalAddress(reply.args[0]);
  }
  Status remove(uint64_t hash, GlobalAddress address) {
    return status_of(
        call(0, control(), incarnation_, MailboxOpcode::kRemoveCell, {hash, address.word()}));
  }
  void start() {
    open();
    incarnation_ = join(0);
  }

  uint32_t incarnation_ = 0;
};

TEST_F(Cells, OneIsGivenOutAndSaysNothing) {
  start();
  const GlobalAddress a = install(77);
  EXPECT_TRUE(a.is_indirect());
  EXPECT_TRUE(believed(a, 77));
  EXPECT_FALSE(believed(a, 78));
  EXPECT_EQ(cell_at(a).address, 0u);
  EXPECT_EQ(service_->stats().replicated_keys, 1u);
}

TEST_F(Cells, AskingAgainGivesTheSameWithWhatItSays) {
  start();
  const GlobalAddress a = install(77);
  cell_at(a).address = 640;
  EXPECT_EQ(install(77), a);
  EXPECT_EQ(cell_at(a).address, 640u);
  EXPECT_NE(install(78), a);
}

TEST_F(Cells, OneThatWasTakenBackIsBelievedByNobody) {
  start();
  const GlobalAddress a = install(77);
  cell_at(a).address = 640;
  EXPECT_EQ(remove(77, a), Status::kOk);
  EXPECT_FALSE(believed(a, 77));
  EXPECT_EQ(cell_at(a).address, 0u);
  EXPECT_EQ(remove(77, a), Status::kOk);  // again
  EXPECT_EQ(service_->stats().replicated_keys, 0u);
  const GlobalAddress b = install(77);
  EXPECT_FALSE(believed(a, 77));
  EXPECT_TRUE(believed(b, 77));
}

TEST_F(Cells, TheSamePlaceGivenOutAgainIsAnotherCell) {
  start();
  const GlobalAddress first = install(1);
  for (uint32_t n = 0; n < pool::kCellCount; ++n) {
    ASSERT_EQ(remove(n + 1, {}), Status::kOk);
    install(n + 2);
  }
  const GlobalAddress again = install(pool::kCellCount + 1);
  ASSERT_EQ(again.offset_bytes(), first.offset_bytes());
  EXPECT_NE(again, first);
  EXPECT_FALSE(believed(first, pool::kCellCount + 1));
}

TEST_F(Cells, AnotherCellOfTheKeyIsNotTakenBack) {
  start();
  const GlobalAddress old = install(77);
  remove(77, old);
  const GlobalAddress now = install(77);
  EXPECT_EQ(remove(77, old), Status::kOk);
  EXPECT_TRUE(believed(now, 77));
}

TEST_F(Cells, ThereAreSoManyAndNoMore) {
  start();
  std::set<uint64_t> places;
  for (uint32_t n = 1; n <= pool::kReplicatedKeysMax; ++n) {
    places.insert(install(n).offset_bytes());
  }
  EXPECT_EQ(places.size(), pool::kReplicatedKeysMax);
  EXPECT_EQ(status_of(call(0, control(), incarnation_, MailboxOpcode::kInstallCell, {9999})),
            Status::kNoResource);
  EXPECT_EQ(remove(5, {}), Status::kOk);
  install(9999);
}

TEST_F(Cells, TheVersionTellsOfEveryChange) {
  start();
  const auto& state = *pool_->record<pool::PoolState>(pool_->superblock().state_offset);
  EXPECT_EQ(state.cells_offset, 0u);
  uint64_t version = 0;
  const auto is_newer = [&] {
    return state.cells_version > std::exchange(version, state.cells_version);
  };
  const GlobalAddress a = install(77);
  EXPECT_TRUE(is_newer());
  EXPECT_NE(state.cells_offset, 0u);
  install(77);
  EXPECT_FALSE(is_newer()) << "nothing has changed";
  call(0, control(), incarnation_, MailboxOpcode::kInstallCell, {77, 77, 3});
  EXPECT_TRUE(is_newer()) << "KNs wanted";
  EXPECT_EQ(cell_at(a).kns_wanted, 3u);
  EXPECT_TRUE(believed(a, 77));
  remove(77, a);
  EXPECT_TRUE(is_newer());
  crash();
  start();
  EXPECT_TRUE(is_newer()) << "a restart sets cells to 0";
}

TEST_F(Cells, TwoKeysOfOneRoutingHashAreNotBothReplicated) {
  start();
  install(77);
  EXPECT_EQ(status_of(call(0, control(), incarnation_, MailboxOpcode::kInstallCell, {78, 77})),
            Status::kInvalid);
}

TEST_F(Cells, BadRequestsAreRefused) {
  start();
  EXPECT_EQ(status_of(call(0, control(), incarnation_, MailboxOpcode::kInstallCell, {0})),
            Status::kInvalid);
  EXPECT_EQ(remove(0, {}), Status::kInvalid);
  EXPECT_EQ(status_of(call(0, 0, incarnation_, MailboxOpcode::kInstallCell, {7})),
            Status::kInvalid);  // a worker's
  EXPECT_EQ(status_of(call(0, control(), incarnation_ + 1, MailboxOpcode::kInstallCell, {7})),
            Status::kFenced);
}

TEST_F(Cells, StayGivenOutOverARestartAndSayNothing) {
  start();
  const GlobalAddress a = install(77);
  const GlobalAddress gone = install(78);
  remove(78, gone);
  cell_at(a).address = 640;
  crash();
  start();
  EXPECT_TRUE(believed(a, 77));
  EXPECT_EQ(cell_at(a).address, 0u);  // what it said may be older than what was acknowledged
  EXPECT_FALSE(believed(gone, 78));
  EXPECT_EQ(service_->stats().replicated_keys, 1u);
  EXPECT_EQ(install(77), a);
}

TEST_F(Cells, OneThatIsDamagedIsFree) {
  start();
  const GlobalAddress a = install(77);
  cell_at(a).key_hash = 79;
  crash();
  start();
  EXPECT_EQ(service_->stats().replicated_keys, 0u);
  EXPECT_FALSE(believed(a, 77));
  EXPECT_FALSE(believed(a, 79));
}

TEST_F(Cells, FollowCompaction) {
  config_.compact_below_percent = 100;
  start();
  Log l = log(0, 0, incarnation_);
  for (int n = 0; n < 3000; ++n) {
    ASSERT_EQ(l.put("key" + std::to_string(n), std::string(900, 'v')), Status::kOk);
    if (n % 64 == 0) l.merge();
  }
  l.merge();
  const auto hash_of = [&](const std::string& key) {
    return key_hash(as_bytes(key), superblock().hash_seed);
  };
  const GlobalAddress follows = install(hash_of("key0"));
  const GlobalAddress ahead = install(hash_of("key100"));
  const GlobalAddress before = find("key0");
  cell_at(follows).address = before.word();
  constexpr uint64_t kNewer = 640;  // written, not merged
  cell_at(ahead).address = kNewer;
  for (int n = 0; n < 3000; ++n) {
    if (n % 100 == 0) continue;
    ASSERT_EQ(l.remove("key" + std::to_string(n)), Status::kOk);
    if (n % 256 == 0) l.merge();
  }
  l.merge();
  for (int i = 0; i < 400; ++i) {
    service_->poll();
    clock_.advance_ms(5);
  }
  ASSERT_NE(find("key0"), before) << "it was to be moved";
  EXPECT_EQ(cell_at(follows).address, find("key0").word());
  EXPECT_EQ(cell_at(ahead).address, kNewer);
}

}  // namespace
}  // namespace dinomo::dpm
