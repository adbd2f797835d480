// SPDX-License-Identifier: BSD-3-Clause
#include "index/resizer.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>
#include <thread>
#include <vector>

#include "test/unit/index/table_fixture.h"

namespace dinomo::index {
namespace {

using Model = std::map<std::string, GlobalAddress>;

std::string key_name(uint64_t i) { return "key" + std::to_string(i); }

uint64_t hash_of(const std::string& key) { return checksum64(as_bytes(key)) | 1; }

struct Resizing : Table {
  explicit Resizing(uint32_t log2, uint32_t entries = 1 << 16) : Table(log2, entries) {
    reclaimer = std::make_unique<Reclaimer>(space, *overflow, writer->sections());
    start();
  }
  void start() { resizer = std::make_unique<Resizer>(space, *writer, *overflow, *reclaimer); }

  void put_key(uint32_t number, const std::string& key) {
    const GlobalAddress address = keys.write(number, key);
    const bool fresh = !model.contains(key);
    const auto old = writer->upsert(hash_of(key), as_bytes(key), address);
    ASSERT_TRUE(old) << key;
    ASSERT_EQ(*old, fresh ? GlobalAddress() : model[key]) << key;
    model[key] = address;
  }
  void remove_key(const std::string& key) {
    const auto old = writer->remove(hash_of(key), as_bytes(key));
    ASSERT_TRUE(old) << key;
    ASSERT_EQ(*old, model.contains(key) ? model[key] : GlobalAddress()) << key;
    model.erase(key);
  }
  void expect_model(uint64_t keys_made) {
    for (uint64_t i = 0; i < keys_made; ++i) {
      const auto found = writer->find(hash_of(key_name(i)), as_bytes(key_name(i)));
      ASSERT_EQ(found.has_value(), model.contains(key_name(i))) << i;
      if (found) ASSERT_EQ(*found, model[key_name(i)]) << i;
    }
    std::set<uint64_t> seen;
    IndexWriter::Scan scan(*writer);
    ASSERT_EQ(scan.visit(0, scan.heads(),
                         [&](uint64_t, GlobalAddress a) {
                           EXPECT_TRUE(seen.insert(a.word()).second) << "an item has two slots";
                         }),
              Status::kOk);
    ASSERT_EQ(seen.size(), model.size());
  }
  /// Polls and works until nothing is left to do. Returns the slices done.
  uint32_t finish(uint64_t items) {
    uint32_t slices = 0;
    for (uint32_t turns = 0; turns < 100'000; ++turns) {
      now_ns += 1'000'000;
      if (resizer->poll(items, now_ns)) slices += resizer->work() ? 1 : 0;
      if (resizer->idle() && !resizer->poll(items, now_ns)) return slices;
    }
    ADD_FAILURE() << "the resize does not end";
    return slices;
  }

  Model model;
  std::unique_ptr<Reclaimer> reclaimer;
  std::unique_ptr<Resizer> resizer;
  uint64_t now_ns = 0;
};

TEST(Resizer, GrowsWithItsItemsAndShrinksAfterDeletes) {
  Resizing t(1);
  for (uint32_t i = 0; i < 3000; ++i) {
    t.put_key(i, key_name(i));
    t.finish(t.model.size());
    const uint64_t buckets = t.writer->table().buckets();
    ASSERT_LE(t.model.size() * 2, buckets * 3) << "too full";
  }
  EXPECT_EQ(t.writer->table().buckets(), 2048u);
  t.expect_model(3000);
  for (uint32_t i = 0; i < 3000; ++i) {
    if (i % 100 == 0) continue;
    t.remove_key(key_name(i));
    t.finish(t.model.size());
  }
  EXPECT_LE(t.writer->table().buckets(), 256u);
  t.expect_model(3000);
  // Old tables and overflow buckets come back, so nothing leaks however often the size changes.
  EXPECT_GT(t.reclaimer->poll(t.now_ns, 0) + t.reclaimer->poll(t.now_ns, 0), 0u);
  while (t.reclaimer->poll(t.now_ns, 0) != 0) {
  }
  EXPECT_EQ(t.space.objects(pool::ObjectType::kIndexTable).size(), 1u);
  EXPECT_LE(t.overflow->used(), 30u);
}

TEST(Resizer, NeverShrinksBelowTheFirstTable) {
  Resizing t(6);
  t.root().buckets_min = 64;
  t.finish(0);
  EXPECT_EQ(t.writer->table().buckets(), 64u);
  t.root().buckets_min = 16;
  t.finish(0);
  EXPECT_EQ(t.writer->table().buckets(), 16u);
}

TEST(Resizer, EveryOperationIsRightBetweenAnyTwoSlices) {
  // 4096 heads are 16 slices to format and 4 to migrate; operations of all kinds in between.
  for (const auto& [from, to] : {std::pair{10u, 12u}, std::pair{12u, 10u}, std::pair{10u, 11u}}) {
    Resizing t(from);
    std::mt19937_64 random(from * 100 + to);
    constexpr uint64_t kKeys = 3000;
    uint32_t number = 0;
    const auto some = [&] {
      for (uint32_t n = 0; n < 400; ++n) {
        const std::string key = key_name(random() % kKeys);
        if (random() % 3 == 0) {
          t.remove_key(key);
        } else {
          t.put_key(number++, key);
        }
      }
    };
    for (uint32_t i = 0; i < 10; ++i) some();
    t.resizer->force(to);
    uint32_t moving = 0;
    do {
      if (t.resizer->poll(t.model.size(), t.now_ns += 1000)) t.resizer->work();
      moving += t.writer->next_table() ? 1 : 0;
      some();
      ASSERT_NO_FATAL_FAILURE(t.expect_model(kKeys));
    } while (!t.resizer->idle());
    EXPECT_GT(moving, 2u);
    EXPECT_EQ(t.writer->table().buckets_log2(), to);
  }
}

TEST(Resizer, AChainThatFindsNoRoomIsMovedLater) {
  Resizing t(8);
  for (uint32_t i = 0; i < 700; ++i) t.put_key(i, key_name(i));
  t.resizer->force(1);  // 700 items into 2 chains: more than a chain may hold
  for (uint32_t i = 0; i < 200; ++i) {
    if (t.resizer->poll(100, t.now_ns += 20'000'000)) t.resizer->work();
  }
  EXPECT_FALSE(t.resizer->idle());
  EXPECT_GT(t.resizer->counters().chains_retried, 0u);
  t.expect_model(700);
  for (uint32_t i = 0; i < 600; ++i) t.remove_key(key_name(i));
  for (uint32_t i = 0; i < 200 && !t.resizer->idle(); ++i) {
    if (t.resizer->poll(100, t.now_ns += 20'000'000)) t.resizer->work();
  }
  EXPECT_TRUE(t.resizer->idle());
  t.expect_model(700);
}

TEST(Resizer, AFullPoolGetsNoTableAndIsAskedAgainLater) {
  Resizing t(4);
  t.space.fill();
  EXPECT_FALSE(t.resizer->poll(1000, 1));
  EXPECT_FALSE(t.resizer->poll(1000, 2));
  EXPECT_EQ(t.resizer->counters().no_space, 1u);
  EXPECT_FALSE(t.resizer->poll(1000, 2'000'000'000));
  EXPECT_EQ(t.resizer->counters().no_space, 2u);
  EXPECT_EQ(t.writer->table().buckets(), 16u);
}

TEST(Resizer, WorksBesideWritersAndReaders) {
  constexpr uint32_t kThreads = 3;
  constexpr uint32_t kSteps = 12'000;
  constexpr uint32_t kKeys = 1000;
  Resizing t(8, kThreads * kSteps + kThreads);
  std::vector<Model> models(kThreads);
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (uint32_t n = 0; n < kThreads; ++n) {
    threads.emplace_back([&, n] {
      std::mt19937_64 random(n);
      // Reads go on for as long as there are resizes.
      for (uint32_t step = 0; step < kSteps || !stop.load(); ++step) {
        const std::string key = key_name(random() % kKeys * kThreads + n);
        const uint64_t choice = step < kSteps ? random() % 4 : 1;
        Model& model = models[n];
        const GlobalAddress was = model.contains(key) ? model[key] : GlobalAddress();
        if (choice == 0) {
          const auto old = t.writer->remove(hash_of(key), as_bytes(key));
          ASSERT_TRUE(old);
          ASSERT_EQ(*old, was) << key;
          model.erase(key);
        } else if (choice == 1) {
          // The thread is the only one to change the key, so what it finds is what it stored.
          const auto found = t.writer->find(hash_of(key), as_bytes(key));
          ASSERT_EQ(found.value_or(GlobalAddress()), was) << key;
        } else {
          const GlobalAddress address = t.keys.write(n * kSteps + step, key);
          const auto old = t.writer->upsert(hash_of(key), as_bytes(key), address);
          ASSERT_TRUE(old);
          ASSERT_EQ(*old, was) << key;
          model[key] = address;
        }
      }
    });
  }
  constexpr uint32_t kWorkers = 2;
  std::atomic<uint32_t> sent{0};
  for (uint32_t i = 0; i < kWorkers; ++i) {
    threads.emplace_back([&] {
      uint32_t seen = 0;
      while (!stop.load()) {
        if (sent.load() == seen) {
          std::this_thread::yield();
          continue;
        }
        ++seen;
        while (t.resizer->work()) {
        }
        t.resizer->working().fetch_sub(1);
      }
    });
  }
  constexpr uint32_t kSizes[] = {12, 5, 8, 13, 10, 11};
  for (const uint32_t log2 : kSizes) {
    t.resizer->force(log2);
    do {
      const bool more = t.resizer->poll(2000, t.now_ns += 20'000'000);
      if (more && t.resizer->working().load() == 0) {
        t.resizer->working().fetch_add(kWorkers);
        sent.fetch_add(1);
      }
      t.reclaimer->poll(t.now_ns, 0);
      std::this_thread::yield();
    } while (!t.resizer->idle());
    EXPECT_EQ(t.writer->table().buckets_log2(), log2);
  }
  stop.store(true);
  for (auto& thread : threads) thread.join();
  for (const Model& m : models) t.model.insert(m.begin(), m.end());
  t.expect_model(uint64_t{kKeys} * kThreads);
  EXPECT_EQ(t.resizer->counters().finished, 6u);
}

TEST(Resizer, EqualHashesOfDifferentKeysMoveAsDifferentKeys) {
  Resizing t(4);
  for (uint32_t i = 0; i < 60; ++i) {
    ASSERT_TRUE(
        t.writer->upsert(uint64_t{42} << 58, as_bytes(key_name(i)), t.keys.write(i, key_name(i))));
  }
  t.resizer->force(7);
  while (!t.resizer->idle() || t.resizer->poll(60, ++t.now_ns)) {
    if (t.resizer->poll(60, ++t.now_ns)) t.resizer->work();
    if (t.writer->table().buckets_log2() == 7) break;
  }
  for (uint32_t i = 0; i < 60; ++i) {
    EXPECT_TRUE(t.writer->find(uint64_t{42} << 58, as_bytes(key_name(i)))) << i;
  }
}

}  // namespace
}  // namespace dinomo::index
