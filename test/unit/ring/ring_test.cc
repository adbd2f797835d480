// SPDX-License-Identifier: BSD-3-Clause
#include "ring/ring.h"

#include <gtest/gtest.h>

#include <array>
#include <vector>

#include "common/bytes.h"

namespace dinomo::ring {
namespace {

Ring two_kns() {
  Ring r;
  r.version = 7;
  for (uint32_t p = 0; p < kPartitions; ++p) r.owner[p] = static_cast<uint16_t>(p % 2);
  for (uint16_t k = 0; k < 2; ++k) {
    wire::KnRecord kn{};
    kn.kn_slot = k;
    kn.udp_port_base = static_cast<uint16_t>(11300 + 100 * k);
    kn.workers = 2;
    r.kns.push_back(kn);
  }
  return r;
}

TEST(Ring, SurvivesItsRecord) {
  const Ring ring = two_kns();
  Ring back;
  ASSERT_TRUE(from_record(to_record(ring), &back));
  EXPECT_EQ(back.version, 7u);
  EXPECT_EQ(back.owner, ring.owner);
}

TEST(Ring, ADamagedOrUnwrittenRecordIsRefused) {
  Ring back;
  EXPECT_FALSE(from_record(pool::RingRecord{}, &back));
  pool::RingRecord record = to_record(two_kns());
  record.owner[4095] ^= 1;
  EXPECT_FALSE(from_record(record, &back));
}

TEST(Ring, PagesPutTogetherAreTheWholeRing) {
  const Ring ring = two_kns();
  std::vector<wire::KnRecord> kns;
  std::vector<uint16_t> owners;
  std::array<std::byte, 1400> page_bytes;
  for (int pages = 0; pages < 100 && owners.size() < kPartitions; ++pages) {
    wire::RingExtras wanted{static_cast<uint16_t>(kns.size()), static_cast<uint16_t>(owners.size()),
                            0, 0};
    const size_t bytes = encode_page(ring, wanted, page_bytes.data(), page_bytes.size());
    ASSERT_LE(bytes, page_bytes.size());
    const auto page = load<wire::RingPage>(page_bytes.data());
    EXPECT_EQ(page.ring_version, 7u);
    EXPECT_EQ(page.kn_total, 2);
    ASSERT_EQ(page.first_kn, kns.size());
    ASSERT_EQ(page.first_partition, owners.size());
    const std::byte* at = page_bytes.data() + sizeof page;
    for (int i = 0; i < page.kn_count; ++i, at += sizeof(wire::KnRecord)) {
      kns.push_back(load<wire::KnRecord>(at));
    }
    for (int i = 0; i < page.partition_count; ++i, at += 2) owners.push_back(load<uint16_t>(at));
    EXPECT_EQ(at, page_bytes.data() + bytes);
  }
  ASSERT_EQ(kns.size(), 2u);
  EXPECT_EQ(kns[1].udp_port_base, 11400);
  ASSERT_EQ(owners.size(), kPartitions);
  for (uint32_t p = 0; p < kPartitions; ++p) EXPECT_EQ(owners[p], ring.owner[p]);
}

TEST(Ring, AskingBeyondTheEndIsHarmless) {
  std::array<std::byte, 128> out;
  const size_t bytes = encode_page(two_kns(), {0xffff, 0xffff, 0, 0}, out.data(), out.size());
  const auto page = load<wire::RingPage>(out.data());
  EXPECT_EQ(bytes, sizeof page);
  EXPECT_EQ(page.kn_count, 0);
  EXPECT_EQ(page.partition_count, 0);
}

TEST(Ring, ReplicatedKeysSurviveTheRecord) {
  Ring ring = two_kns();
  const std::array<uint16_t, 3> kns{4, 0, 9};
  ring.replicated.push_back(make_replicated(0x1234, 64, kns));
  Ring back;
  back.replicated.resize(5);
  ASSERT_TRUE(from_record(to_record(ring), &back));
  ASSERT_EQ(back.replicated.size(), 1u);
  const pool::ReplicatedKey* key = back.find_replicated(0x1234);
  ASSERT_NE(key, nullptr);
  EXPECT_EQ(key->cell, 64u);
  ASSERT_EQ(key->owner_count, 3);
  EXPECT_EQ(key->owners[2], 9);
  EXPECT_EQ(back.find_replicated(0x1235), nullptr);
}

TEST(Ring, ARecordThatListsMoreThanItCanIsRefused) {
  Ring ring = two_kns();
  const std::array<uint16_t, 1> kns{0};
  ring.replicated.push_back(make_replicated(1, 64, kns));
  ring.replicated[0].owner_count = 17;
  Ring back;
  EXPECT_FALSE(from_record(to_record(ring), &back));
}

TEST(Ring, MoreKnsThanAKeyCanHaveAreLeftOut) {
  std::array<uint16_t, 20> kns{};
  EXPECT_EQ(make_replicated(1, 64, kns).owner_count, pool::kReplicasMax);
}

}  // namespace
}  // namespace dinomo::ring
