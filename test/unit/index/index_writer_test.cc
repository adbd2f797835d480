// SPDX-License-Identifier: BSD-3-Clause
#include "index/index_writer.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>
#include <thread>
#include <vector>

#include "index/reclaimer.h"
#include "test/unit/index/table_fixture.h"

namespace dinomo::index {
namespace {

using Model = std::map<std::string, GlobalAddress>;

std::string key_name(uint64_t i) { return "key" + std::to_string(i); }

void expect_same(Table& t, const Model& model, uint64_t keys) {
  for (uint64_t i = 0; i < keys; ++i) {
    const std::string key = key_name(i);
    const auto found = t.writer->find(weak_hash(key), as_bytes(key));
    const auto expected = model.find(key);
    if (expected == model.end()) {
      ASSERT_FALSE(found) << key;
      ASSERT_EQ(found.error(), Status::kNotFound);
    } else {
      ASSERT_TRUE(found) << key;
      ASSERT_EQ(*found, expected->second) << key;
    }
  }
}

TEST(IndexWriter, FollowsAModelThroughCollisionsAndLongChains) {
  Table t(3);  // 8 buckets, a few hundred keys: chains of many buckets, equal hashes of many keys
  Model model;
  std::mt19937_64 random(11);
  constexpr uint64_t kKeys = 300;
  for (uint32_t step = 0; step < 20'000; ++step) {
    const std::string key = key_name(random() % kKeys);
    const GlobalAddress expected_old = model.contains(key) ? model[key] : GlobalAddress();
    if (random() % 3 == 0) {
      const auto old = t.writer->remove(weak_hash(key), as_bytes(key));
      ASSERT_TRUE(old);
      ASSERT_EQ(*old, expected_old);
      model.erase(key);
    } else {
      const GlobalAddress address = t.keys.write(step, key);
      const auto old = t.writer->upsert(weak_hash(key), as_bytes(key), address);
      ASSERT_TRUE(old);
      ASSERT_EQ(*old, expected_old);
      model[key] = address;
    }
  }
  expect_same(t, model, kKeys);
  EXPECT_GT(t.overflow->used(), 0u);
}

TEST(IndexWriter, KeysOfOneHashAreToldApartByTheirKeys) {
  Table t(4);
  for (uint32_t i = 0; i < 100; ++i) {
    ASSERT_TRUE(t.writer->upsert(42, as_bytes(key_name(i)), t.keys.write(i, key_name(i))));
  }
  for (uint32_t i = 0; i < 100; i += 2) {
    ASSERT_TRUE(t.writer->remove(42, as_bytes(key_name(i))));
  }
  for (uint32_t i = 0; i < 100; ++i) {
    EXPECT_EQ(t.writer->find(42, as_bytes(key_name(i))).has_value(), i % 2 == 1) << i;
  }
}

TEST(IndexWriter, RepeatingAnOperationChangesNothing) {
  Table t(4);
  const std::string key = "key";
  const GlobalAddress a = t.keys.write(1, key);
  EXPECT_FALSE(*t.writer->upsert(5, as_bytes(key), a));
  const std::vector<std::byte> before(t.space.memory().begin(), t.space.memory().end());
  EXPECT_EQ(*t.writer->upsert(5, as_bytes(key), a), a);
  EXPECT_FALSE(*t.writer->remove(5, as_bytes("other")));
  EXPECT_TRUE(equal(before, t.space.memory()));
  EXPECT_EQ(*t.writer->remove(5, as_bytes(key)), a);
  EXPECT_FALSE(*t.writer->remove(5, as_bytes(key)));
}

TEST(IndexWriter, ReplayFromAnyPrefixEndsInTheSameState) {
  struct Operation {
    std::string key;
    GlobalAddress address;  // 0: delete
  };
  Table t(2);
  std::mt19937_64 random(5);
  std::vector<Operation> operations;
  Model model;
  for (uint32_t i = 0; i < 60; ++i) {
    const std::string key = key_name(random() % 12);
    const GlobalAddress address = random() % 4 == 0 ? GlobalAddress() : t.keys.write(i, key);
    operations.push_back({key, address});
    if (address) {
      model[key] = address;
    } else {
      model.erase(key);
    }
  }
  const auto apply = [&](const Operation& o) {
    const uint64_t h = weak_hash(o.key);
    return o.address ? t.writer->upsert(h, as_bytes(o.key), o.address).has_value()
                     : t.writer->remove(h, as_bytes(o.key)).has_value();
  };
  // After the first round the state holds everything already, as when merged_lsn lagged in a crash.
  for (size_t from = 0; from <= operations.size(); ++from) {
    for (size_t i = from; i < operations.size(); ++i) ASSERT_TRUE(apply(operations[i]));
    expect_same(t, model, 12);
  }
}

TEST(IndexWriter, AFullChainIsRefusedAndUnchanged) {
  Table t(2);
  constexpr uint32_t kFull = kChainBucketsMax * kSlotsPerBucket;
  for (uint32_t i = 0; i < kFull; ++i) {
    ASSERT_TRUE(t.writer->upsert(42, as_bytes(key_name(i)), t.keys.write(i, key_name(i)))) << i;
  }
  const auto more = t.writer->upsert(42, as_bytes("more"), t.keys.write(kFull, "more"));
  ASSERT_FALSE(more);
  EXPECT_EQ(more.error(), Status::kNoSpace);
  // Updates and deletes go on, and a delete makes room.
  EXPECT_TRUE(t.writer->upsert(42, as_bytes(key_name(7)), t.keys.write(kFull + 1, key_name(7))));
  EXPECT_TRUE(t.writer->remove(42, as_bytes(key_name(8))));
  EXPECT_TRUE(t.writer->upsert(42, as_bytes("more"), t.keys.write(kFull, "more")));
}

TEST(IndexWriter, ALinkOutOfThePoolIsCorruptionNotAWalk) {
  Table t(2);
  t.writer->head(42)->next = t.space.memory().size() + 64;
  EXPECT_EQ(t.writer->find(42, as_bytes("key")).error(), Status::kCorrupt);
  t.writer->head(42)->next =
      t.writer->table().offset_bytes() + bucket_index(42, 2) * sizeof(Bucket);  // a circle
  EXPECT_EQ(t.writer->find(42, as_bytes("key")).error(), Status::kCorrupt);
}

TEST(IndexWriter, WithoutOverflowBucketsInsertsAreRefusedAndDeletesGoOn) {
  Table t(2, 1 << 16, 64);
  t.space.fill();
  for (uint32_t i = 0; i < kSlotsPerBucket; ++i) {
    ASSERT_TRUE(t.writer->upsert(42, as_bytes(key_name(i)), t.keys.write(i, key_name(i))));
  }
  EXPECT_EQ(t.writer->upsert(42, as_bytes("more"), t.keys.write(9, "more")).error(),
            Status::kNoSpace);
  EXPECT_TRUE(t.writer->remove(42, as_bytes(key_name(0))));
  EXPECT_TRUE(t.writer->upsert(42, as_bytes("more"), t.keys.write(9, "more")));
}

TEST(IndexWriter, WritersOfOneChainDoNotDisturbEachOther) {
  constexpr uint32_t kThreads = 4;
  constexpr uint32_t kKeys = 40;
  constexpr uint32_t kSteps = 4000;
  Table t(3, kThreads * kSteps);
  std::vector<Model> models(kThreads);
  std::vector<std::thread> threads;
  for (uint32_t n = 0; n < kThreads; ++n) {
    threads.emplace_back([&, n] {
      std::mt19937_64 random(n);
      for (uint32_t step = 0; step < kSteps; ++step) {
        // Every thread has keys of its own, all share buckets and hashes.
        const std::string key = key_name(random() % kKeys * kThreads + n);
        if (random() % 3 == 0) {
          ASSERT_TRUE(t.writer->remove(weak_hash(key), as_bytes(key)));
          models[n].erase(key);
        } else {
          const GlobalAddress address = t.keys.write(n * kSteps + step, key);
          ASSERT_TRUE(t.writer->upsert(weak_hash(key), as_bytes(key), address));
          models[n][key] = address;
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
  Model all;
  for (const Model& m : models) all.insert(m.begin(), m.end());
  expect_same(t, all, kKeys * kThreads);
}

TEST(IndexWriter, RelocateAndEraseIfActOnlyOnTheAddressTheyName) {
  Table t(2);
  std::vector<GlobalAddress> at;
  for (uint32_t i = 0; i < 20; ++i) {  // equal hashes, over several buckets
    at.push_back(t.keys.write(i, key_name(i)));
    ASSERT_TRUE(t.writer->upsert(42, as_bytes(key_name(i)), at[i]));
  }
  const GlobalAddress moved = t.keys.write(30, key_name(13));
  EXPECT_TRUE(*t.writer->relocate(42, at[13], moved));
  EXPECT_EQ(*t.writer->find(42, as_bytes(key_name(13))), moved);
  // A newer put has won meanwhile: the copy and the expiry of the old entry change nothing.
  EXPECT_FALSE(*t.writer->relocate(42, at[13], t.keys.write(31, key_name(13))));
  EXPECT_FALSE(*t.writer->erase_if(42, at[13]));
  EXPECT_FALSE(*t.writer->erase_if(43, moved));
  EXPECT_EQ(*t.writer->find(42, as_bytes(key_name(13))), moved);
  EXPECT_TRUE(*t.writer->erase_if(42, moved));
  EXPECT_FALSE(*t.writer->erase_if(42, moved));
  EXPECT_FALSE(t.writer->find(42, as_bytes(key_name(13))));
  for (uint32_t i = 0; i < 20; ++i) {
    EXPECT_EQ(t.writer->find(42, as_bytes(key_name(i))).has_value(), i != 13) << i;
  }
}

TEST(IndexWriter, AScanVisitsEverySlotOnce) {
  Table t(3);
  std::map<uint64_t, uint32_t> seen;
  for (uint32_t i = 0; i < 200; ++i) {
    ASSERT_TRUE(t.writer->upsert(weak_hash(key_name(i)), as_bytes(key_name(i)),
                                 t.keys.write(i, key_name(i))));
  }
  IndexWriter::Scan scan(*t.writer);
  ASSERT_EQ(scan.heads(), 8u);
  for (uint64_t head = 0; head < 8; head += 3) {  // ranges may go over the end
    ASSERT_EQ(scan.visit(head, head + 3, [&](uint64_t, GlobalAddress a) { ++seen[a.word()]; }),
              Status::kOk);
  }
  EXPECT_EQ(seen.size(), 200u);
  for (const auto& [word, times] : seen) EXPECT_EQ(times, 1u);
  t.writer->head(42)->next = t.space.memory().size();
  EXPECT_EQ(scan.visit(0, 8, [](uint64_t, GlobalAddress) {}), Status::kCorrupt);
}

TEST(IndexWriter, EmptyOverflowBucketsAreUnlinkedAndServeAgain) {
  Table t(2);
  Reclaimer reclaimer(t.space, *t.overflow, t.writer->sections());
  constexpr uint64_t kGrace = 1000;
  for (uint32_t round = 0; round < 3; ++round) {
    for (uint32_t i = 0; i < 60; ++i) {
      ASSERT_TRUE(t.writer->upsert(42, as_bytes(key_name(i)), t.keys.write(i, key_name(i))));
    }
    const uint64_t used = t.overflow->used();
    EXPECT_EQ(used, 19u);
    for (uint32_t i = 0; i < 60; ++i) {
      ASSERT_TRUE(t.writer->remove(42, as_bytes(key_name((i * 7) % 60))));
    }
    EXPECT_EQ(t.writer->head(42)->next, 0u);  // G7: no chain of empty buckets stays behind
    EXPECT_EQ(reclaimer.poll(round * 10 * kGrace, kGrace), 0u);
    EXPECT_EQ(reclaimer.poll(round * 10 * kGrace + kGrace - 1, kGrace), 0u);
    EXPECT_EQ(t.overflow->used(), used);
    {
      const Sections::Section reader(t.writer->sections());
      // Entered after the wait began: does not hold it up.
      EXPECT_EQ(reclaimer.poll(round * 10 * kGrace + kGrace, kGrace), used);
    }
    EXPECT_EQ(t.overflow->used(), 0u);
  }
  EXPECT_EQ(t.overflow->capacity(), 1024u);  // the same buckets, again and again
}

TEST(Reclaimer, WaitsForWhoWasThereFirst) {
  Table t(2);
  Reclaimer reclaimer(t.space, *t.overflow, t.writer->sections());
  {
    const IndexWriter::Scan scan(*t.writer);
    reclaimer.retire_table(t.ref.offset_bytes());
    EXPECT_EQ(reclaimer.poll(1, 0), 0u);
    EXPECT_EQ(reclaimer.poll(1'000'000'000, 0), 0u);
    EXPECT_EQ(t.space.objects(pool::ObjectType::kIndexTable).size(), 1u);
  }
  EXPECT_EQ(reclaimer.poll(1'000'000'001, 0), 1u);
  EXPECT_TRUE(t.space.objects(pool::ObjectType::kIndexTable).empty());
  EXPECT_TRUE(reclaimer.idle());
}

TEST(OverflowPool, RecoveryFreesWhatNoChainRefersTo) {
  Table t(2);
  std::vector<uint64_t> taken;
  for (int i = 0; i < 10; ++i) taken.push_back(*t.overflow->allocate());
  OverflowPool again(t.space, 1024, 1024);
  EXPECT_TRUE(again.mark_used(taken[3]));
  EXPECT_TRUE(again.mark_used(taken[7]));
  EXPECT_FALSE(again.mark_used(taken[7]));      // crossed chains
  EXPECT_FALSE(again.mark_used(taken[7] + 8));  // no bucket
  EXPECT_FALSE(again.mark_used(64));            // no chunk
  again.finish_recovery();
  EXPECT_EQ(again.used(), 2u);
  for (uint64_t i = 2; i < again.capacity(); ++i) {
    const auto offset = again.allocate();
    ASSERT_TRUE(offset);
    EXPECT_NE(*offset, taken[3]);
    EXPECT_NE(*offset, taken[7]);
  }
  EXPECT_EQ(again.used(), again.capacity());
}

TEST(OverflowPool, ChunksOfWhichNothingIsUsedAreGivenBack) {
  Table t(2, 1 << 16, 64);
  std::vector<uint64_t> taken;
  for (int i = 0; i < 64 * 5; ++i) taken.push_back(*t.overflow->allocate());
  EXPECT_EQ(t.overflow->capacity(), 5 * 64u);
  // One bucket of each chunk stays in use.
  std::vector<uint64_t> most;
  std::vector<uint64_t> few;
  for (size_t i = 0; i < taken.size(); ++i) (i % 64 != 0 ? most : few).push_back(taken[i]);
  EXPECT_EQ(t.overflow->release(most), 0u);
  EXPECT_EQ(t.overflow->capacity(), 5 * 64u);
  EXPECT_EQ(t.overflow->release(std::span(few).subspan(1)), 4u);
  EXPECT_EQ(t.overflow->capacity(), 64u);
  EXPECT_EQ(t.overflow->used(), 1u);
  EXPECT_EQ(t.space.objects(pool::ObjectType::kOverflow).size(), 1u);
  EXPECT_EQ(t.overflow->release(std::span(few).first(1)), 0u) << "so many are kept";
  EXPECT_EQ(t.overflow->capacity(), 64u);
  // What is given out from now on lies in chunks that exist.
  std::set<uint64_t> again;
  for (int i = 0; i < 64 * 3; ++i) again.insert(*t.overflow->allocate());
  EXPECT_EQ(again.size(), 64 * 3u);
  for (const uint64_t offset : again) {
    EXPECT_TRUE(std::ranges::any_of(t.space.objects(pool::ObjectType::kOverflow), [&](auto o) {
      return offset >= o.offset && offset < o.offset + o.bytes;
    }));
  }
  // Likewise at a start.
  OverflowPool restarted(t.space, 64, 64);
  EXPECT_TRUE(restarted.mark_used(*again.begin()));
  restarted.finish_recovery();
  EXPECT_EQ(restarted.capacity(), 64u);
  EXPECT_EQ(restarted.used(), 1u);
}

}  // namespace
}  // namespace dinomo::index
