// SPDX-License-Identifier: BSD-3-Clause
#include "test/conformance/fabric_conformance.h"

#include <atomic>
#include <chrono>
#include <cstring>
#include <thread>
#include <vector>

namespace dinomo::fabric {

namespace {

constexpr uint64_t kBase = 8192;  // clear of what a driver keeps at the start of a pool

std::vector<std::byte> pattern(size_t bytes, uint8_t seed) {
  std::vector<std::byte> v(bytes);
  for (size_t i = 0; i < bytes; ++i) v[i] = static_cast<std::byte>(i * 31 + seed);
  return v;
}

}  // namespace

void FabricConformance::SetUp() {
  world_ = GetParam().make();
  ASSERT_NE(world_, nullptr);
  std::string why;
  auto connected = world_->connect(-1, &why);
  ASSERT_TRUE(connected.has_value()) << why;
  fabric_ = std::move(*connected);
  auto queue = fabric_->open_queue(QueueConfig{});
  ASSERT_TRUE(queue.has_value());
  queue_ = std::move(*queue);
}

Status FabricConformance::finish(Queue& queue, Awaited& completion) {
  queue.flush();
  poll_until(queue, 64, [&] { return completion.calls != 0; });
  return completion.status;
}

void FabricConformance::poll_until(Queue& queue, uint32_t max, const std::function<bool()>& done) {
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (!done() && std::chrono::steady_clock::now() < give_up) {
    for (int i = 0; i < 1000 && !done(); ++i) EXPECT_LE(queue.poll(max), max);
    std::this_thread::yield();  // the other end may need this CPU
  }
}

TEST_P(FabricConformance, WriteThenReadAtEverySize) {
  for (const size_t bytes : {1u, 8u, 63u, 64u, 65u, 1024u, 4096u, 61'760u}) {
    auto data = pattern(bytes, static_cast<uint8_t>(bytes));
    std::vector<std::byte> back(bytes);
    fabric_->register_memory(data);
    fabric_->register_memory(back);
    Awaited write;
    ASSERT_EQ(queue_->post_write(kBase, data, {.persistent = true}, Purpose::kLog, &write),
              Status::kInProgress);
    ASSERT_EQ(finish(*queue_, write), Status::kOk);
    EXPECT_EQ(std::memcmp(world_->memory().data() + kBase, data.data(), bytes), 0);
    Awaited read;
    ASSERT_EQ(queue_->post_read(kBase, back, Purpose::kValue, &read), Status::kInProgress);
    ASSERT_EQ(finish(*queue_, read), Status::kOk);
    EXPECT_EQ(back, data);
  }
}

TEST_P(FabricConformance, CompletionsComeFromPollOnlyAndInOrder) {
  std::vector<std::byte> buffer(64);
  fabric_->register_memory(buffer);
  std::vector<int> order;
  struct Numbered : Awaited {
    std::vector<int>* order = nullptr;
    int number = 0;
  };
  std::vector<Numbered> completions(32);
  for (int i = 0; i < 32; ++i) {
    completions[static_cast<size_t>(i)].order = &order;
    completions[static_cast<size_t>(i)].number = i;
    completions[static_cast<size_t>(i)].callback = [](Completion* c, Status s) noexcept {
      auto* self = static_cast<Numbered*>(c);
      self->status = s;
      self->order->push_back(self->number);
    };
    ASSERT_EQ(
        queue_->post_read(kBase, buffer, Purpose::kValue, &completions[static_cast<size_t>(i)]),
        Status::kInProgress);
  }
  EXPECT_TRUE(order.empty());
  EXPECT_EQ(queue_->in_flight(), 32u);
  queue_->flush();
  poll_until(*queue_, 5, [&] { return order.size() >= 32; });
  ASSERT_EQ(order.size(), 32u);
  for (int i = 0; i < 32; ++i) EXPECT_EQ(order[static_cast<size_t>(i)], i);
  EXPECT_EQ(queue_->in_flight(), 0u);
}

TEST_P(FabricConformance, AFullQueueAnswersNoResourceAndRecovers) {
  auto opened = fabric_->open_queue(QueueConfig{.depth = 64});
  ASSERT_TRUE(opened.has_value());
  Queue& queue = **opened;
  std::vector<std::byte> buffer(8);
  fabric_->register_memory(buffer);
  std::vector<Awaited> completions(4096);
  size_t posted = 0;
  while (posted < completions.size() &&
         queue.post_read(kBase, buffer, Purpose::kIndex, &completions[posted]) ==
             Status::kInProgress) {
    ++posted;
  }
  ASSERT_GE(posted, 64u);
  ASSERT_LT(posted, completions.size()) << "the queue has no bound";
  EXPECT_GE(queue.counters().no_resource, 1u);
  EXPECT_EQ(finish(queue, completions[posted - 1]), Status::kOk);
  EXPECT_EQ(completions[posted].calls, 0);  // was not posted
  Awaited again;
  EXPECT_EQ(queue.post_read(kBase, buffer, Purpose::kIndex, &again), Status::kInProgress);
  EXPECT_EQ(finish(queue, again), Status::kOk);
}

TEST_P(FabricConformance, OutsideOfThePoolFailsThatOperationOnly) {
  std::vector<std::byte> buffer(128);
  fabric_->register_memory(buffer);
  const uint64_t end = fabric_->remote().pool_bytes;
  for (const uint64_t offset : {end, end - 64, ~uint64_t{0} - 3}) {
    Awaited bad;
    const Status posted = queue_->post_read(offset, buffer, Purpose::kValue, &bad);
    const Status status = posted == Status::kInProgress ? finish(*queue_, bad) : posted;
    EXPECT_EQ(status, Status::kOutOfRange) << offset;
  }
  Awaited good;
  ASSERT_EQ(queue_->post_read(end - 128, buffer, Purpose::kValue, &good), Status::kInProgress);
  EXPECT_EQ(finish(*queue_, good), Status::kOk);
}

TEST_P(FabricConformance, AtomicsReturnTheOldValue) {
  store(world_->memory().data() + kBase, uint64_t{40});
  uint64_t old = 0;
  Awaited add;
  ASSERT_EQ(queue_->post_fetch_add(kBase, 2, &old, Purpose::kControl, &add), Status::kInProgress);
  ASSERT_EQ(finish(*queue_, add), Status::kOk);
  EXPECT_EQ(old, 40u);
  Awaited miss;
  ASSERT_EQ(queue_->post_compare_swap(kBase, 40, 1, &old, Purpose::kControl, &miss),
            Status::kInProgress);
  ASSERT_EQ(finish(*queue_, miss), Status::kOk);
  EXPECT_EQ(old, 42u);
  EXPECT_EQ(load<uint64_t>(world_->memory().data() + kBase), 42u);
  Awaited hit;
  ASSERT_EQ(queue_->post_compare_swap(kBase, 42, 1, &old, Purpose::kControl, &hit),
            Status::kInProgress);
  ASSERT_EQ(finish(*queue_, hit), Status::kOk);
  EXPECT_EQ(load<uint64_t>(world_->memory().data() + kBase), 1u);
}

TEST_P(FabricConformance, UnalignedAtomicsAreRefused) {
  uint64_t old = 0;
  Awaited c;
  const Status posted = queue_->post_fetch_add(kBase + 4, 1, &old, Purpose::kControl, &c);
  EXPECT_EQ(posted == Status::kInProgress ? finish(*queue_, c) : posted, Status::kOutOfRange);
}

TEST_P(FabricConformance, AtomicsOfTwoQueuesDoNotLoseUpdates) {
  auto second = fabric_->open_queue(QueueConfig{});
  ASSERT_TRUE(second.has_value());
  store(world_->memory().data() + kBase, uint64_t{0});
  constexpr int kRounds = 2000;
  const auto add_many = [&](Queue& queue) {
    for (int i = 0; i < kRounds; ++i) {
      uint64_t old = 0;
      Awaited c;
      ASSERT_EQ(queue.post_fetch_add(kBase, 1, &old, Purpose::kControl, &c), Status::kInProgress);
      ASSERT_EQ(finish(queue, c), Status::kOk);
    }
  };
  std::thread other([&] { add_many(**second); });
  add_many(*queue_);
  other.join();
  EXPECT_EQ(load<uint64_t>(world_->memory().data() + kBase), 2u * kRounds);
}

TEST_P(FabricConformance, ChainedWritesBecomeVisibleInOrder) {
  // A reader that sees the second write must see the first: the log's tail hint depends on it. It
  // compares bytes, since nobody promises that a longer word arrives in one piece, and so it is
  // started anew before they wrap.
  auto data = pattern(4096, 1);
  std::vector<std::byte> word(8);
  fabric_->register_memory(data);
  fabric_->register_memory(word);
  const uint64_t flag = kBase + 8192;
  const auto write_both = [&](uint32_t value) {
    data[4095] = word[0] = static_cast<std::byte>(value);
    Awaited done;
    ASSERT_EQ(queue_->post_write(kBase, data, {.persistent = true}, Purpose::kLog, nullptr),
              Status::kInProgress);
    ASSERT_EQ(queue_->post_write(flag, word, {.after_previous = true}, Purpose::kLog, &done),
              Status::kInProgress);
    ASSERT_EQ(finish(*queue_, done), Status::kOk);
  };
  const auto* bytes = reinterpret_cast<const uint8_t*>(world_->memory().data());
  std::atomic<int> early{0};
  for (int readers = 0; readers < 20; ++readers) {
    write_both(0);
    std::atomic<bool> stop{false};
    std::thread reader([&] {
      while (!stop.load()) {
        const uint8_t seen = __atomic_load_n(bytes + flag, __ATOMIC_ACQUIRE);
        if (__atomic_load_n(bytes + kBase + 4095, __ATOMIC_ACQUIRE) < seen) early.fetch_add(1);
      }
    });
    for (uint32_t value = 1; value <= 250; ++value) write_both(value);
    stop = true;
    reader.join();
  }
  EXPECT_EQ(early.load(), 0);
}

TEST_P(FabricConformance, CountsRoundTripsByPurpose) {
  std::vector<std::byte> buffer(64);
  fabric_->register_memory(buffer);
  Awaited read;
  Awaited write;
  ASSERT_EQ(queue_->post_read(kBase, buffer, Purpose::kIndex, &read), Status::kInProgress);
  ASSERT_EQ(queue_->post_write(kBase, buffer, {.persistent = true}, Purpose::kLog, &write),
            Status::kInProgress);
  ASSERT_EQ(
      queue_->post_write(kBase + 64, buffer, {.after_previous = true}, Purpose::kLog, nullptr),
      Status::kInProgress);
  EXPECT_EQ(finish(*queue_, write), Status::kOk);
  const QueueCounters& c = queue_->counters();
  const auto& index = c.by_purpose[static_cast<size_t>(Purpose::kIndex)];
  const auto& log = c.by_purpose[static_cast<size_t>(Purpose::kLog)];
  EXPECT_EQ(index.round_trips, 1u);
  EXPECT_EQ(index.bytes, 64u);
  EXPECT_EQ(log.round_trips, 1u);  // the chained write rides along
  EXPECT_EQ(log.verbs, 2u);
  EXPECT_EQ(log.bytes, 128u);
}

TEST_P(FabricConformance, AChainThatBeginsWithAnUnsignalledWriteIsOneRoundTrip) {
  std::vector<std::byte> buffer(64);
  fabric_->register_memory(buffer);
  Awaited done;
  ASSERT_EQ(queue_->post_write(kBase, buffer, {.persistent = true}, Purpose::kLog, nullptr),
            Status::kInProgress);
  ASSERT_EQ(queue_->post_write(kBase + 64, buffer, {.persistent = true, .after_previous = true},
                               Purpose::kLog, &done),
            Status::kInProgress);
  EXPECT_EQ(finish(*queue_, done), Status::kOk);
  EXPECT_EQ(queue_->counters().by_purpose[static_cast<size_t>(Purpose::kLog)].round_trips, 1u);
}

TEST_P(FabricConformance, AFailedUnsignalledWriteFailsTheRestOfItsChain) {
  std::vector<std::byte> buffer(64);
  fabric_->register_memory(buffer);
  Awaited done;
  ASSERT_EQ(queue_->post_write(world_->memory().size(), buffer, {}, Purpose::kLog, nullptr),
            Status::kInProgress);
  ASSERT_EQ(queue_->post_write(kBase, buffer, {.after_previous = true}, Purpose::kLog, &done),
            Status::kInProgress);
  EXPECT_EQ(finish(*queue_, done), Status::kOutOfRange);
  Awaited next;
  ASSERT_EQ(queue_->post_write(kBase, buffer, {}, Purpose::kLog, &next), Status::kInProgress);
  EXPECT_EQ(finish(*queue_, next), Status::kOk);
}

TEST_P(FabricConformance, OneProcessASlotAndLeaversAreNoticed) {
  const uint16_t slot = fabric_->remote().kn_slot;
  EXPECT_TRUE(world_->target().connected(slot));
  std::string why;
  auto same = world_->connect(slot, &why);
  ASSERT_FALSE(same.has_value());
  EXPECT_EQ(same.error(), Status::kBusy);
  EXPECT_FALSE(why.empty());
  auto other = world_->connect(-1, &why);
  ASSERT_TRUE(other.has_value()) << why;
  EXPECT_NE((*other)->remote().kn_slot, slot);
  EXPECT_TRUE(fabric_->alive());
  queue_.reset();
  fabric_.reset();
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (world_->target().connected(slot) && std::chrono::steady_clock::now() < give_up) {
    world_->target().poll();
    std::this_thread::yield();
  }
  EXPECT_FALSE(world_->target().connected(slot));
  EXPECT_EQ(world_->target().revoke(slot), Status::kOk);
  auto again = world_->connect(slot, &why);
  EXPECT_TRUE(again.has_value()) << why;
}

TEST_P(FabricConformance, RemoteIsDescribed) {
  const RemotePool& r = fabric_->remote();
  EXPECT_EQ(r.pool_bytes, world_->memory().size());
  EXPECT_EQ(r.superblock_offset, 4096u);
  EXPECT_EQ(r.uuid[0], 0xd1);
  EXPECT_EQ(r.node_id, 7);
}

}  // namespace dinomo::fabric
