// SPDX-License-Identifier: BSD-3-Clause
// Pinned partitions: written down, over restarts, and told to whoever follows them.
#include <gtest/gtest.h>

#include "dpm/operator.h"
#include "test/unit/dpm/service_fixture.h"

namespace dinomo::dpm {
namespace {

class Pins : public test::ServiceTest {
 protected:
  Status ask(uint64_t first, uint64_t count, uint64_t target) {
    return service_->pins().pin(first, count, target);
  }
  const pool::PoolState& state() {
    return *pool_->record<pool::PoolState>(pool_->superblock().state_offset);
  }
  std::vector<Pin> pinned() { return service_->pins().pinned(); }
};

TEST_F(Pins, ThereAreNoneUntilOneIsWanted) {
  open();
  EXPECT_TRUE(pinned().empty());
  EXPECT_EQ(ask(0, kPartitions, 0), Status::kOk);
  EXPECT_EQ(state().pins_offset, 0u);
  EXPECT_EQ(state().pins_version, 0u);
}

TEST_F(Pins, RunsAreWrittenOverOneAnother) {
  open();
  EXPECT_EQ(ask(10, 20, 2), Status::kOk);
  EXPECT_EQ(pinned(), (std::vector<Pin>{{10, 20, 1}}));
  EXPECT_EQ(ask(15, 5, 1), Status::kOk);
  EXPECT_EQ(pinned(), (std::vector<Pin>{{10, 5, 1}, {15, 5, 0}, {20, 10, 1}}));
  EXPECT_EQ(ask(0, 16, 0), Status::kOk);
  EXPECT_EQ(pinned(), (std::vector<Pin>{{16, 4, 0}, {20, 10, 1}}));
  EXPECT_EQ(ask(0, kPartitions, 1), Status::kOk);
  EXPECT_EQ(pinned(), (std::vector<Pin>{{0, kPartitions, 0}}));
}

TEST_F(Pins, TheVersionTellsOfEveryChange) {
  open();
  uint64_t version = 0;
  const auto is_newer = [&] {
    return state().pins_version > std::exchange(version, state().pins_version);
  };
  ask(1, 2, 1);
  EXPECT_TRUE(is_newer());
  EXPECT_NE(state().pins_offset, 0u);
  ask(1, 2, 1);
  EXPECT_FALSE(is_newer()) << "nothing has changed";
  ask(2, 1, 0);
  EXPECT_TRUE(is_newer());
  crash();
  open();
  EXPECT_TRUE(is_newer()) << "what was told last may be lost";
}

TEST_F(Pins, AWishOutlivesACrash) {
  open();
  ask(4000, 96, 2);
  crash();
  open();
  EXPECT_EQ(pinned(), (std::vector<Pin>{{4000, 96, 1}}));
  ask(4000, 96, 0);
  crash();
  open();
  EXPECT_TRUE(pinned().empty());
}

TEST_F(Pins, ASlotThatCannotBeIsNoWish) {
  open();
  ask(3, 2, 1);
  pool_->record<pool::PinTable>(state().pins_offset)->target[3] = 60'000;
  crash();
  open();
  EXPECT_EQ(pinned(), (std::vector<Pin>{{4, 1, 0}}));
}

TEST_F(Pins, BadRequestsAreRefused) {
  open();
  EXPECT_EQ(ask(0, 0, 1), Status::kInvalid);
  EXPECT_EQ(ask(kPartitions, 1, 1), Status::kInvalid);
  EXPECT_EQ(ask(1, kPartitions, 1), Status::kInvalid);
  EXPECT_EQ(ask(1, UINT64_MAX, 1), Status::kInvalid);
  EXPECT_EQ(ask(0, 1, pool_->superblock().kn_slots + 1u), Status::kInvalid);
  EXPECT_TRUE(pinned().empty());
}

TEST_F(Pins, AnOperatorHearsWhatIsWrong) {
  open();
  const auto slots = pool_->superblock().kn_slots;
  EXPECT_EQ(pin(*pool_, service_->pins(), {5, 1, 0}), "");
  EXPECT_EQ(pinned(), (std::vector<Pin>{{5, 1, 0}}));
  EXPECT_NE(pin(*pool_, service_->pins(), {5, 1, slots}).find("there is no KN slot"),
            std::string::npos);
  EXPECT_NE(unpin(service_->pins(), kPartitions, 1).find("partitions go from 0 to 4095"),
            std::string::npos);
  EXPECT_EQ(unpin(service_->pins(), 0, kPartitions), "");
  EXPECT_TRUE(pinned().empty());
}

}  // namespace
}  // namespace dinomo::dpm
