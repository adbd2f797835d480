// SPDX-License-Identifier: BSD-3-Clause
#include "kn/task.h"

#include <gtest/gtest.h>

#include <vector>

#include "kn/delay.h"
#include "test/support/memory_fabric.h"

namespace dinomo::kn {
namespace {

struct Owner {
  explicit Owner(size_t frames) : pool(frames) {}
  FramePool& frames() { return pool; }

  Task read_two(fabric::Queue& queue, std::byte* to) {
    ++running;
    const Status first = co_await read(queue, 0, {to, 8}, fabric::Purpose::kIndex);
    if (ok(first)) {
      last = co_await read(queue, 8, {to, 8}, fabric::Purpose::kIndex);
    }
    --running;
  }
  Task nap(uint64_t at_ns) {
    co_await delays.until(at_ns);
    woken.push_back(at_ns);
    co_await delays.until(at_ns);
    woken.push_back(at_ns + 1);
  }

  FramePool pool;
  DelayList delays;
  int running = 0;
  Status last = Status::kInternal;
  std::vector<uint64_t> woken;
};

TEST(Task, RunsStepByStepAndGivesItsFrameBack) {
  std::vector<std::byte> memory(64);
  store(memory.data() + 8, uint64_t{77});
  test::MemoryQueue queue(memory, 8);
  Owner owner(4);
  std::byte to[8];
  EXPECT_TRUE(owner.read_two(queue, to).started);
  EXPECT_EQ(owner.pool.live(), 1u);
  queue.poll(1);
  EXPECT_EQ(owner.running, 1);
  queue.poll(1);
  EXPECT_EQ(owner.running, 0);
  EXPECT_EQ(load<uint64_t>(to), 77u);
  EXPECT_EQ(owner.last, Status::kOk);
  EXPECT_EQ(owner.pool.live(), 0u);
}

TEST(Task, WithoutAFrameNothingIsStarted) {
  std::vector<std::byte> memory(64);
  test::MemoryQueue queue(memory, 8);
  Owner owner(2);
  std::byte to[8];
  EXPECT_TRUE(owner.read_two(queue, to).started);
  EXPECT_TRUE(owner.read_two(queue, to).started);
  EXPECT_FALSE(owner.read_two(queue, to).started);
  EXPECT_EQ(owner.running, 2);
  while (queue.poll(8) != 0) {
  }
  EXPECT_EQ(owner.pool.live(), 0u);
  EXPECT_TRUE(owner.read_two(queue, to).started);
  while (queue.poll(8) != 0) {
  }
}

TEST(Task, AFullQueueIsAnAnswerNotAWait) {
  std::vector<std::byte> memory(64);
  test::MemoryQueue queue(memory, 0);
  Owner owner(2);
  std::byte to[8];
  EXPECT_TRUE(owner.read_two(queue, to).started);
  EXPECT_EQ(owner.running, 0);
  EXPECT_EQ(owner.pool.live(), 0u);
}

TEST(DelayList, ResumesWhatIsDueOnceATurn) {
  Owner owner(4);
  EXPECT_TRUE(owner.nap(100).started);
  EXPECT_TRUE(owner.nap(200).started);
  EXPECT_EQ(owner.delays.resume(99, false), 0u);
  EXPECT_EQ(owner.delays.resume(150, false), 1u);
  EXPECT_EQ(owner.woken, (std::vector<uint64_t>{100}));
  EXPECT_EQ(owner.delays.resume(150, false), 1u);
  EXPECT_EQ(owner.delays.resume(0, true), 1u);
  EXPECT_EQ(owner.delays.resume(0, true), 1u);
  EXPECT_TRUE(owner.delays.empty());
  EXPECT_EQ(owner.pool.live(), 0u);
}

}  // namespace
}  // namespace dinomo::kn
