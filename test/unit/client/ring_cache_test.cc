// SPDX-License-Identifier: BSD-3-Clause
// What a KN makes of its ring, put together again by a client.
#include "client/ring_cache.h"

#include <gtest/gtest.h>

#include <array>

#include "common/bytes.h"
#include "ring/ring.h"

namespace dinomo::client {
namespace {

ring::Ring ring_with(size_t replicated) {
  ring::Ring r;
  r.version = 3;
  for (uint32_t p = 0; p < kPartitions; ++p) r.owner[p] = static_cast<uint16_t>(p % 3);
  r.kns.resize(3);
  for (size_t i = 0; i < replicated; ++i) {
    const std::array<uint16_t, 2> kns{static_cast<uint16_t>(i % 3), 2};
    r.replicated.push_back(ring::make_replicated(~(i * 7), 64, kns));  // not in order
  }
  return r;
}

/// Asks page by page; returns how many it took, 0 if it came to no end.
int assemble(const ring::Ring& ring, RingAssembler* assembler) {
  std::array<std::byte, 1400> page;
  for (int pages = 1; pages < 100; ++pages) {
    const size_t bytes = ring::encode_page(ring, assembler->wanted(), page.data(), page.size());
    const Status status = assembler->add_page(Bytes(page).first(bytes));
    if (status == Status::kOk) return pages;
    if (status != Status::kInProgress) return 0;
  }
  return 0;
}

TEST(RingCache, TheWholeRingArrivesWithItsReplicatedKeys) {
  for (const size_t count : {size_t{0}, size_t{1}, size_t{256}}) {
    const ring::Ring ring = ring_with(count);
    RingAssembler assembler;
    ASSERT_NE(assemble(ring, &assembler), 0) << count;
    const RingView& view = assembler.view();
    EXPECT_EQ(view.owner, ring.owner);
    ASSERT_EQ(view.replicated.size(), count);
    for (size_t i = 0; i < count; ++i) {
      const wire::ReplicatedRecord* key = view.find_replicated(~(i * 7));
      ASSERT_NE(key, nullptr) << i;
      EXPECT_EQ(key->owners[0], i % 3);
    }
    EXPECT_EQ(view.find_replicated(5), nullptr);
  }
}

TEST(RingCache, ReplicatedKeysOutOfOrderAreRefused) {
  const ring::Ring ring = ring_with(2);
  RingAssembler assembler;
  std::array<std::byte, 1400> page;
  Status status = Status::kInProgress;
  while (status == Status::kInProgress) {
    wire::RingExtras wanted = assembler.wanted();
    wanted.first_replicated = 1;
    const size_t bytes = ring::encode_page(ring, wanted, page.data(), page.size());
    status = assembler.add_page(Bytes(page).first(bytes));
  }
  EXPECT_EQ(status, Status::kCorrupt);
}

TEST(RingCache, APageThatEndsWithinARecordIsRefused) {
  const ring::Ring ring = ring_with(1);
  std::array<std::byte, 1400> page;
  const size_t bytes = ring::encode_page(ring, {0, 4000, 0, 0}, page.data(), page.size());
  RingAssembler assembler;
  EXPECT_EQ(assembler.add_page(Bytes(page).first(bytes - 8)), Status::kCorrupt);
}

}  // namespace
}  // namespace dinomo::client
