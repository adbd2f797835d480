// SPDX-License-Identifier: BSD-3-Clause
#include "cluster/replicas.h"

#include <gtest/gtest.h>

#include <vector>

#include "pool/cells.h"

namespace dinomo::cluster {
namespace {

constexpr uint64_t kOffset = 1 << 20;

class CellsOfAPool {
 public:
  void give(uint32_t number, uint64_t routing_hash, uint64_t kns_wanted = 0) {
    pool::IndirectionCell& c = cells_[number];
    c.key_hash = routing_hash == 0 ? 0 : routing_hash + 1;
    c.generation += 1;
    c.routing_hash = routing_hash;
    c.kns_wanted = kns_wanted;
    c.checksum = pool::cell_checksum(c);
  }
  pool::IndirectionCell& at(uint32_t number) { return cells_[number]; }
  std::optional<std::vector<WantedKey>> wanted() const {
    return wanted_keys(Bytes(std::as_bytes(std::span(cells_))), kOffset, 3);
  }

 private:
  std::vector<pool::IndirectionCell> cells_{pool::kCellCount};
};

std::vector<ring::Member> members(std::initializer_list<uint16_t> slots) {
  std::vector<ring::Member> all;
  for (const uint16_t s : slots) all.push_back({s, 1});
  return all;
}

TEST(Replicas, KeysThatHaveACellAreWanted) {
  CellsOfAPool cells;
  EXPECT_TRUE(cells.wanted()->empty());
  cells.give(7, 900, 2);
  cells.give(9, 500);
  cells.give(11, 700);
  cells.give(11, 0);  // taken back
  const auto keys = *cells.wanted();
  ASSERT_EQ(keys.size(), 2u);
  EXPECT_EQ(keys[0].routing_hash, 500u);
  EXPECT_EQ(keys[1].routing_hash, 900u);
  EXPECT_EQ(keys[1].kns_wanted, 2u);
  const pool::GlobalAddress cell(keys[1].cell);
  EXPECT_TRUE(pool::is_cell_of(cells.at(7), cell, 901));
  EXPECT_EQ(cell.offset_bytes(), kOffset + 7 * sizeof(pool::IndirectionCell));
}

TEST(Replicas, WhatIsJustBeingChangedIsLookedAtAgain) {
  CellsOfAPool cells;
  cells.give(7, 900);
  cells.at(7).generation += 1;
  EXPECT_FALSE(cells.wanted().has_value());
}

TEST(Replicas, TheOwnerComesFirstThenKnsBySlot) {
  ring::Ring ring;
  ring.owner.fill(4);
  const std::vector<WantedKey> keys{{.routing_hash = 1, .cell = 64, .kns_wanted = 3}};
  const auto list = list_replicated(keys, ring, members({0, 2, 4, 5}));
  ASSERT_EQ(list.size(), 1u);
  EXPECT_EQ(list[0].cell, 64u);
  ASSERT_EQ(list[0].owner_count, 3);
  EXPECT_EQ(list[0].owners[0], 4);
  EXPECT_EQ(list[0].owners[1], 5);
  EXPECT_EQ(list[0].owners[2], 0);
}

TEST(Replicas, AsManyKnsAsThereAre) {
  const ring::Ring ring;
  const std::vector<WantedKey> keys{{.routing_hash = 1, .cell = 64, .kns_wanted = 0},
                                    {.routing_hash = 2, .cell = 128, .kns_wanted = 9}};
  for (const auto& key : list_replicated(keys, ring, members({1, 3}))) {
    EXPECT_EQ(key.owner_count, 2);
  }
  std::vector<ring::Member> many;
  for (uint16_t s = 0; s < 40; ++s) many.push_back({s, 1});
  EXPECT_EQ(list_replicated(keys, ring, many)[0].owner_count, pool::kReplicasMax);
}

// The writer has to go on writing its cell: else what the cell says is old when there are more KNs
// again (replication.cfg, seed 35).
TEST(Replicas, AKeyThatOneKnServesOrNoneStaysOnTheList) {
  const ring::Ring ring;
  const std::vector<WantedKey> keys{{.routing_hash = 1, .cell = 64, .kns_wanted = 0}};
  EXPECT_EQ(list_replicated(keys, ring, members({1})).size(), 1u);
  EXPECT_EQ(list_replicated(keys, ring, {}).size(), 1u);
}

}  // namespace
}  // namespace dinomo::cluster
