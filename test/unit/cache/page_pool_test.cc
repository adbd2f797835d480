// SPDX-License-Identifier: BSD-3-Clause
#include "cache/page_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace dinomo::cache {
namespace {

constexpr uint32_t kShares = 4;

std::unique_ptr<PagePool> make() {
  auto pool = PagePool::create(uint64_t{1} << 20, kShares, 4);
  EXPECT_TRUE(pool.has_value());
  return std::move(*pool);
}

TEST(PagePool, MapsNoMoreThanTheSharesAndBeginsWithNothingFree) {
  const auto pool = make();
  const uint64_t mapped =
      (uint64_t{pool->pages()} << pool->page_shift()) + pool->overhead_bytes() * kShares;
  EXPECT_LE(mapped, uint64_t{kShares} << 20);
  EXPECT_EQ(pool->share_pages() * kShares, pool->pages());
  EXPECT_EQ(pool->claim(), PagePool::kNoPage);
}

// Fewer pages than threads would like, so that they race for each of them.
TEST(PagePool, APageNeverHasTwoOwners) {
  const auto pool = make();
  constexpr uint32_t kPages = 6;
  constexpr uint32_t kRounds = 200'000;
  for (uint32_t page = 0; page < kPages; ++page) pool->give(page);
  std::vector<std::atomic<uint32_t>> owners(pool->pages());
  std::atomic<uint32_t> shared{0};
  std::atomic<uint64_t> claimed{0};
  std::vector<std::thread> threads;
  for (uint32_t t = 0; t < kShares; ++t) {
    threads.emplace_back([&] {
      uint64_t mine = 0;
      for (uint32_t i = 0; i < kRounds; ++i) {
        const uint32_t page = pool->claim();
        if (page == PagePool::kNoPage) continue;
        ++mine;
        if (owners[page].fetch_add(1) != 0) ++shared;
        // Plain writes: the pool alone orders the owners of a page.
        auto* const word =
            reinterpret_cast<uint64_t*>(pool->base() + (uint64_t{page} << pool->page_shift()));
        ++*word;
        owners[page].fetch_sub(1);
        pool->give(page);
      }
      claimed += mine;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(shared.load(), 0u);
  uint64_t written = 0;
  for (uint32_t page = 0; page < kPages; ++page) {
    written +=
        *reinterpret_cast<const uint64_t*>(pool->base() + (uint64_t{page} << pool->page_shift()));
  }
  EXPECT_EQ(written, claimed.load());
  EXPECT_GT(claimed.load(), 0u);
}

}  // namespace
}  // namespace dinomo::cache
