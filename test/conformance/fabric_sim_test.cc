// SPDX-License-Identifier: BSD-3-Clause
// The fabric conformance suite over the simulated fabric, calm and with every disorder it can make.
// The suite polls until something completes, and from two threads: so each poll moves virtual time
// to the next event, and a lock stands for the single thread of a simulation.
#include <memory>
#include <mutex>

#include "drivers/fabric/sim/sim_fabric.h"
#include "test/conformance/fabric_conformance.h"

namespace dinomo::fabric {
namespace {

struct Simulation {
  std::mutex mutex;
  dinomo::sim::EventLoop loop;
  sim::SimNetwork network{&loop, 42};
};

class LockedQueue final : public Queue {
  auto locked(auto call) noexcept {
    const std::lock_guard lock(simulation_->mutex);
    const auto result = call();
    counters_ = queue_->counters();
    return result;
  }

 public:
  LockedQueue(Simulation* simulation, std::unique_ptr<Queue> queue)
      : simulation_(simulation), queue_(std::move(queue)) {}
  ~LockedQueue() override {
    const std::lock_guard lock(simulation_->mutex);
    queue_.reset();
  }

  Status post_read(uint64_t offset, MutableBytes to, Purpose p, Completion* c) noexcept override {
    return locked([&] { return queue_->post_read(offset, to, p, c); });
  }
  Status post_write(uint64_t offset, Bytes from, WriteOptions o, Purpose p,
                    Completion* c) noexcept override {
    return locked([&] { return queue_->post_write(offset, from, o, p, c); });
  }
  Status post_compare_swap(uint64_t offset, uint64_t expected, uint64_t desired, uint64_t* old,
                           Purpose p, Completion* c) noexcept override {
    return locked([&] { return queue_->post_compare_swap(offset, expected, desired, old, p, c); });
  }
  Status post_fetch_add(uint64_t offset, uint64_t addend, uint64_t* old, Purpose p,
                        Completion* c) noexcept override {
    return locked([&] { return queue_->post_fetch_add(offset, addend, old, p, c); });
  }
  void flush() noexcept override {
    locked([&] {
      queue_->flush();
      return 0;
    });
  }
  uint32_t poll(uint32_t max) noexcept override {
    return locked([&] {
      simulation_->loop.step(simulation_->loop.now_ns() + 1'000'000);
      return queue_->poll(max);
    });
  }
  uint32_t in_flight() const noexcept override { return queue_->in_flight(); }

 private:
  Simulation* simulation_;
  std::unique_ptr<Queue> queue_;
};

class LockedFabric final : public Fabric {
 public:
  LockedFabric(Simulation* simulation, std::unique_ptr<Fabric> fabric)
      : simulation_(simulation), fabric_(std::move(fabric)) {}
  const RemotePool& remote() const noexcept override { return fabric_->remote(); }
  Status register_memory(MutableBytes m) noexcept override { return fabric_->register_memory(m); }
  Result<std::unique_ptr<Queue>> open_queue(const QueueConfig& config) noexcept override {
    auto queue = fabric_->open_queue(config);
    if (!queue) return queue;
    return std::make_unique<LockedQueue>(simulation_, std::move(*queue));
  }
  bool alive() noexcept override { return fabric_->alive(); }

 private:
  Simulation* simulation_;
  std::unique_ptr<Fabric> fabric_;
};

class SimWorld final : public FabricWorld {
 public:
  explicit SimWorld(const sim::FabricFaults& faults) : memory_(size_t{1} << 20) {
    simulation_.network.set_faults(faults);
    sim::SimNetwork::use(&simulation_.network);
    PoolExport exported;
    exported.memory = memory_;
    exported.superblock_offset = 4096;
    exported.uuid[0] = 0xd1;
    exported.node_id = 7;
    exported.kn_slots = 4;
    std::string why;
    auto target = find_driver("sim")->listen("dpm", exported, &why);
    EXPECT_TRUE(target.has_value()) << why;
    if (target) target_ = std::move(*target);
  }
  ~SimWorld() override {
    target_.reset();
    sim::SimNetwork::use(nullptr);
  }
  MutableBytes memory() override { return memory_; }
  Target& target() override { return *target_; }
  Result<std::unique_ptr<Fabric>> connect(int kn_slot, std::string* why) override {
    auto fabric = find_driver("sim")->connect({.target = "dpm", .kn_slot = kn_slot}, why);
    if (!fabric) return fabric;
    return std::make_unique<LockedFabric>(&simulation_, std::move(*fabric));
  }

 private:
  Simulation simulation_;
  std::vector<std::byte> memory_;
  std::unique_ptr<Target> target_;
};

FabricCase sim_case(const char* name, const sim::FabricFaults& faults) {
  return {name, [faults] { return std::make_unique<SimWorld>(faults); }};
}

INSTANTIATE_TEST_SUITE_P(Sim, FabricConformance,
                         testing::Values(sim_case("calm", {}),
                                         sim_case("disorderly", {.jitter_ns = 5'000,
                                                                 .reads_in_flight_max = 2,
                                                                 .straggler_ppm = 300'000,
                                                                 .tear_ppm = 500'000})),
                         [](const auto& param) { return param.param.name; });

struct SimFabricTest : testing::Test {
  SimFabricTest() : memory(65'536) {
    sim::SimNetwork::use(&network);
    PoolExport exported;
    exported.memory = memory;
    exported.kn_slots = 4;
    target = std::move(*find_driver("sim")->listen("dpm", exported, &why));
    fabric = std::move(*find_driver("sim")->connect({.target = "dpm", .kn_slot = 1}, &why));
    queue = std::move(*fabric->open_queue({}));
  }
  ~SimFabricTest() override { sim::SimNetwork::use(nullptr); }

  dinomo::sim::EventLoop loop;
  sim::SimNetwork network{&loop, 7};
  std::vector<std::byte> memory;
  std::vector<std::byte> data = std::vector<std::byte>(64, std::byte{5});
  std::string why;
  std::unique_ptr<Target> target;
  std::unique_ptr<Fabric> fabric;
  std::unique_ptr<Queue> queue;
};

TEST_F(SimFabricTest, RoundTripTakesItsTime) {
  Awaited read;
  ASSERT_EQ(queue->post_read(0, data, Purpose::kValue, &read), Status::kInProgress);
  queue->flush();
  loop.run_until(1'999);
  EXPECT_EQ(queue->poll(1), 0u);
  loop.run_until(2'000 + 2 * 300 + 100);
  EXPECT_EQ(queue->poll(1), 1u);
  EXPECT_EQ(read.status, Status::kOk);
}

TEST_F(SimFabricTest, UnchainedWritesMayOvertakeAndChainedOnesMayNot) {
  network.set_faults({.jitter_ns = 10'000});
  int overtaken = 0;
  for (uint64_t round = 1; round <= 50; ++round) {
    for (const bool chained : {false, true}) {
      std::vector<std::byte> word(8);
      store(word.data(), round);
      std::ranges::fill(std::span(memory).first(16), std::byte{0});
      Awaited done;
      ASSERT_EQ(queue->post_write(0, word, {}, Purpose::kLog, nullptr), Status::kInProgress);
      ASSERT_EQ(queue->post_write(8, word, {.after_previous = chained}, Purpose::kLog, &done),
                Status::kInProgress);
      queue->flush();
      while (done.calls == 0) {
        loop.step(loop.now_ns() + 100'000);
        queue->poll(8);
        const bool second_first =
            load<uint64_t>(memory.data() + 8) == round && load<uint64_t>(memory.data()) != round;
        if (chained) {
          ASSERT_FALSE(second_first);
        } else {
          overtaken += second_first ? 1 : 0;
        }
      }
    }
  }
  EXPECT_GT(overtaken, 0);
}

TEST_F(SimFabricTest, WhatAKilledKnPostedLandsOrNotUntilItIsRevoked) {
  int landed = 0;
  for (int i = 0; i < 40; ++i) {
    const bool revoke = i >= 20;
    memory[0] = std::byte{0};
    ASSERT_EQ(queue->post_write(0, data, {.persistent = true}, Purpose::kLog, nullptr),
              Status::kInProgress);
    queue.reset();
    fabric.reset();
    if (revoke) ASSERT_EQ(target->revoke(1), Status::kOk);
    loop.run_until(loop.now_ns() + 100'000);
    if (revoke) {
      EXPECT_EQ(memory[0], std::byte{0});
    } else {
      landed += memory[0] == std::byte{5} ? 1 : 0;
    }
    fabric = std::move(*find_driver("sim")->connect({.target = "dpm", .kn_slot = 1}, &why));
    queue = std::move(*fabric->open_queue({}));
  }
  EXPECT_GT(landed, 0);
  EXPECT_LT(landed, 20);
  EXPECT_GT(network.counters().fenced, 0u);
}

TEST_F(SimFabricTest, ALostNodeAndACutLinkAreUnreachable) {
  network.cut(1, true);
  Awaited cut;
  ASSERT_EQ(queue->post_read(0, data, Purpose::kValue, &cut), Status::kInProgress);
  queue->flush();
  loop.run_until(1'000'000);
  queue->poll(8);
  EXPECT_EQ(cut.status, Status::kUnreachable);
  network.cut(1, false);
  target.reset();
  EXPECT_FALSE(fabric->alive());
  Awaited lost;
  ASSERT_EQ(queue->post_read(0, data, Purpose::kValue, &lost), Status::kInProgress);
  queue->flush();
  loop.run_until(2'000'000);
  queue->poll(8);
  EXPECT_EQ(lost.status, Status::kUnreachable);
}

TEST(SimFabric, OutsideOfASimulationThereIsNone) {
  std::string why;
  EXPECT_EQ(find_driver("sim")->listen("dpm", {}, &why).error(), Status::kUnsupported);
  EXPECT_NE(why.find("fabric = shm"), std::string::npos) << why;
  EXPECT_EQ(find_driver("sim")->connect({.target = "dpm"}, &why).error(), Status::kUnreachable);
}

}  // namespace
}  // namespace dinomo::fabric
