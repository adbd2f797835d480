// SPDX-License-Identifier: BSD-3-Clause
#include "ring/placement.h"

#include <gtest/gtest.h>

#include <map>
#include <vector>

namespace dinomo::ring {
namespace {

Owners nobody() {
  Owners o;
  o.fill(pool::kNoOwner);
  return o;
}

std::vector<Member> members(std::initializer_list<uint16_t> slots) {
  std::vector<Member> m;
  for (const uint16_t s : slots) m.push_back({s, 1});
  return m;
}

Owners place_free(std::span<const Member> m) { return place(m, nobody()); }

std::map<uint16_t, uint32_t> counts(const Owners& owners) {
  std::map<uint16_t, uint32_t> c;
  for (const uint16_t o : owners) ++c[o];
  return c;
}

uint32_t moved(const Owners& a, const Owners& b) {
  uint32_t n = 0;
  for (uint32_t p = 0; p < kPartitions; ++p) n += a[p] != b[p];
  return n;
}

TEST(Placement, NobodyOwnsAnythingWithoutMembers) { EXPECT_EQ(place_free({}), nobody()); }

TEST(Placement, OneMemberOwnsEverything) {
  EXPECT_EQ(counts(place_free(members({7}))), (std::map<uint16_t, uint32_t>{{7, kPartitions}}));
}

TEST(Placement, SharesAreBalanced) {
  for (const uint16_t n : {2, 3, 4, 6, 16}) {
    std::vector<Member> m;
    for (uint16_t s = 0; s < n; ++s) m.push_back({static_cast<uint16_t>(s * 3), 2});
    const auto c = counts(place_free(m));
    ASSERT_EQ(c.size(), n);
    for (const auto& [slot, count] : c) {
      EXPECT_LE(count, kPartitions / n * 9 / 8 + 2) << slot << " of " << n;
      EXPECT_GE(count, kPartitions / n * 6 / 10) << slot << " of " << n;
    }
  }
}

TEST(Placement, WeightsAreFollowed) {
  const std::vector<Member> m{{0, 1}, {1, 3}};
  const auto c = counts(place_free(m));
  EXPECT_NEAR(c.at(0), kPartitions / 4.0, kPartitions / 16.0);
  EXPECT_NEAR(c.at(1), kPartitions * 0.75, kPartitions / 16.0);
}

/// Who joins takes its share and hardly anything moves between the others; leaving undoes it.
TEST(Placement, MovementIsNearTheLeastPossible) {
  const Owners four = place_free(members({0, 1, 2, 3}));
  const Owners five = place_free(members({0, 1, 2, 3, 4}));
  const uint32_t share = counts(five).at(4);
  EXPECT_LE(moved(four, five), share + kPartitions / 10);
  EXPECT_EQ(place_free(members({0, 1, 2, 3})), four);
}

TEST(Placement, SeveralAtOnce) {
  const Owners before = place_free(members({0, 1, 2, 3, 4, 5}));
  const Owners after = place_free(members({0, 1, 2, 3}));
  const uint32_t lost = counts(before).at(4) + counts(before).at(5);
  EXPECT_LE(moved(before, after), lost + kPartitions / 8);
  EXPECT_EQ(counts(after).size(), 4u);
}

TEST(Placement, OrderOfMembersDoesNotMatter) {
  EXPECT_EQ(place_free(members({5, 1, 3})), place_free(members({1, 3, 5})));
}

TEST(Placement, PinnedPartitionsGoToTheirKnIfItIsThere) {
  Owners pins = nobody();
  for (uint32_t p = 0; p < 3000; ++p) pins[p] = 1;
  const Owners three = place(members({0, 1, 2}), pins);
  for (uint32_t p = 0; p < 3000; ++p) ASSERT_EQ(three[p], 1);
  EXPECT_EQ(counts(three).at(1), 3000u) << "it has more than its share already";
  EXPECT_EQ(place(members({0, 2}), pins), place_free(members({0, 2}))) << "it is not there";
}

TEST(Placement, APinMovesLittleElse) {
  const Owners free = place_free(members({0, 1, 2}));
  Owners pins = nobody();
  pins[7] = free[7] == 2 ? 1 : 2;
  const Owners pinned = place(members({0, 1, 2}), pins);
  EXPECT_EQ(pinned[7], pins[7]);
  EXPECT_LE(moved(free, pinned), 3u) << "the KN that has no room left gives one away";
}

}  // namespace
}  // namespace dinomo::ring
