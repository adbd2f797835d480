// SPDX-License-Identifier: BSD-3-Clause
// The Queue over several pairs, on a stepped device: on which pair operations go, when they are
// durable, what a failure stops.
#include <array>

#include "drivers/fabric/mlx5/mlx5_path.h"
#include "test/unit/mlx5/rig.h"

namespace dinomo::fabric::mlx5 {
namespace {

constexpr uint32_t kPairs = 4;

struct Waiter : Completion {
  Waiter() {
    callback = [](Completion* c, Status s) noexcept { static_cast<Waiter*>(c)->status = s; };
  }
  Status status = Status::kInProgress;
};

struct QueueRig {
  explicit QueueRig(RigConfig config = {.pairs = kPairs}, bool flush_by_read = false)
      : rig(config) {
    keys.add(rig.local, rig.lkey);
    const rdma::RdmaQueueConfig c{
        .depth = 64,
        .remote_address = kRemoteBase,
        .pool_bytes = rig.remote.size(),
        .rkey = rig.rkey,
        .keys = &keys,
        .landing = MutableBytes(rig.local).subspan(rig.local.size() - 1024, 65 * 8),
        .landing_lkey = rig.lkey,
        .flush_by_read = flush_by_read};
    auto flame =
        std::make_unique<BlueFlame>(BlueFlame{rig.kn.bf_register(), rig.kn.bf_half_bytes(), 0});
    std::vector<SendQueue> pairs;
    for (uint32_t p = 0; p < rig.kn.pairs(); ++p) {
      pairs.emplace_back(rig.kn.qp(p), rig.kn.qpn(p), flame.get());
    }
    queue = std::make_unique<Mlx5Queue>(
        c, Mlx5Path(std::make_unique<Stopper>(rig), &rig.cq, std::move(flame), std::move(pairs)));
  }
  struct Stopper final : PairOwner {
    explicit Stopper(Rig& r) : rig(r) {}
    void stop() noexcept override { rig.kn.move(softhca::QpState::kError); }
    Rig& rig;
  };

  void turn() {
    queue->flush();
    rig.run();
    queue->poll(1000);
  }
  Status read(uint64_t offset, uint64_t to, Waiter* w) {
    return queue->post_read(offset, MutableBytes(rig.local).subspan(to, 8), Purpose::kValue, w);
  }
  uint64_t executed(uint32_t pair) { return rig.device.counters(rig.kn.qpn(pair)).executed; }

  Rig rig;
  rdma::LocalKeys keys;
  std::unique_ptr<Queue> queue;
};

TEST(RdmaQueue, SpreadsOperationsOverThePairs) {
  QueueRig q;
  std::array<Waiter, 16> done;
  for (Waiter& w : done) ASSERT_EQ(q.read(0, 0, &w), Status::kInProgress);
  q.turn();
  for (const Waiter& w : done) EXPECT_EQ(w.status, Status::kOk);
  for (uint32_t p = 0; p < kPairs; ++p) EXPECT_EQ(q.executed(p), 4u);
}

TEST(RdmaQueue, AChainStaysOnOnePairAndItsFlushIsTheLastThere) {
  QueueRig q({.pairs = kPairs}, true);
  for (uint64_t round = 0; round < 20; ++round) {
    std::array<uint64_t, kPairs> before{};
    for (uint32_t p = 0; p < kPairs; ++p) before[p] = q.executed(p);
    Waiter w;
    ASSERT_EQ(
        q.queue->post_write(0, object_bytes(round), {.persistent = true}, Purpose::kLog, nullptr),
        Status::kInProgress);
    ASSERT_EQ(q.queue->post_write(64, object_bytes(round),
                                  {.persistent = true, .after_previous = true}, Purpose::kLog, &w),
              Status::kInProgress);
    q.turn();
    ASSERT_EQ(w.status, Status::kOk);
    uint32_t used = 0;
    for (uint32_t p = 0; p < kPairs; ++p) {
      if (q.executed(p) == before[p]) continue;
      ++used;
      EXPECT_EQ(q.executed(p) - before[p], 3u);  // two writes and one read
    }
    EXPECT_EQ(used, 1u);
  }
  const PurposeCounters& log = q.queue->counters().by_purpose[static_cast<size_t>(Purpose::kLog)];
  EXPECT_EQ(log.round_trips, 20u);
  EXPECT_EQ(log.verbs, 40u);
}

/// What the device wrote and no READ pushed out is lost at a power failure, in part.
TEST(RdmaQueue, APersistentWriteThatCompletedSurvivesAPowerFailure) {
  QueueRig q({.pairs = kPairs, .faults = {.seed = 3, .write_buffer = true}}, true);
  std::vector<std::byte> entry(256);
  for (uint64_t round = 1; round <= 50; ++round) {
    std::memset(entry.data(), static_cast<int>(round), entry.size());
    std::memcpy(q.rig.local.data(), entry.data(), entry.size());
    Waiter w;
    ASSERT_EQ(q.queue->post_write(round * 256, Bytes(q.rig.local).subspan(0, entry.size()),
                                  {.persistent = true}, Purpose::kLog, &w),
              Status::kInProgress);
    q.turn();
    ASSERT_EQ(w.status, Status::kOk);
    q.rig.device.fail_power();
    ASSERT_EQ(std::memcmp(q.rig.remote.data() + round * 256, entry.data(), entry.size()), 0)
        << round;
  }
  Waiter w;  // the model does lose what was not asked to be persistent
  ASSERT_EQ(q.queue->post_write(0, Bytes(q.rig.local).subspan(0, 256), {}, Purpose::kLog, &w),
            Status::kInProgress);
  q.turn();
  EXPECT_GT(q.rig.device.fail_power(), 0u);
}

TEST(RdmaQueue, EachAtomicHasALandingOfItsOwn) {
  QueueRig q;
  std::array<Waiter, 32> done;
  std::array<uint64_t, 32> old{};
  for (uint64_t i = 0; i < done.size(); ++i) store(q.rig.remote.data() + 8 * i, i * 1000);
  for (uint64_t i = 0; i < done.size(); ++i) {
    const Status s =
        i % 2 == 0
            ? q.queue->post_fetch_add(8 * i, i, &old[i], Purpose::kControl, &done[i])
            : q.queue->post_compare_swap(8 * i, i * 1000, i, &old[i], Purpose::kControl, &done[i]);
    ASSERT_EQ(s, Status::kInProgress);
  }
  q.turn();
  for (uint64_t i = 0; i < done.size(); ++i) {
    EXPECT_EQ(done[i].status, Status::kOk);
    EXPECT_EQ(old[i], i * 1000) << i;
    EXPECT_EQ(load<uint64_t>(q.rig.remote.data() + 8 * i), i % 2 == 0 ? i * 1001 : i) << i;
  }
}

TEST(RdmaQueue, AFullRingIsRungSoThatItEmpties) {
  QueueRig q({.pairs = 1, .blocks = 8});
  std::array<Waiter, 8> done;
  uint32_t posted = 0;
  while (posted < done.size() && q.read(0, 0, &done[posted]) == Status::kInProgress) ++posted;
  ASSERT_LT(posted, 8u);
  EXPECT_EQ(q.queue->counters().no_resource, 1u);
  q.rig.run();  // without a flush()
  q.queue->poll(1000);
  for (uint32_t i = 0; i < posted; ++i) EXPECT_EQ(done[i].status, Status::kOk);
  EXPECT_EQ(q.read(0, 0, &done[0]), Status::kInProgress);
  q.turn();
}

TEST(RdmaQueue, AFailureCompletesEverythingOnAllPairs) {
  QueueRig q;
  q.rig.device.set_link(q.rig.dpm.qpn(1), false);
  std::array<Waiter, 24> done;
  for (Waiter& w : done) ASSERT_EQ(q.read(0, 0, &w), Status::kInProgress);
  q.queue->flush();
  q.rig.device.step();
  std::array<Waiter, 8> late;  // posted and not rung when the failure shows
  for (Waiter& w : late) ASSERT_EQ(q.read(0, 0, &w), Status::kInProgress);
  for (int i = 0; i < 4; ++i) {
    q.queue->poll(1000);
    q.rig.run();
  }
  uint32_t unreachable = 0;
  for (const Waiter& w : done) {
    EXPECT_NE(w.status, Status::kInProgress);
    unreachable += w.status == Status::kUnreachable ? 1 : 0;
  }
  EXPECT_EQ(unreachable, 6u);  // those of that pair
  for (const Waiter& w : late) EXPECT_EQ(w.status, Status::kUnreachable);
  EXPECT_EQ(q.queue->in_flight(), 0u);
  Waiter refused;
  EXPECT_EQ(q.read(0, 0, &refused), Status::kUnreachable);
}

TEST(RdmaQueue, CompletionsComeInTheOrderOfPosting) {
  QueueRig q({.pairs = kPairs, .faults = {.seed = 5, .delay_cqe = 500, .delay_rounds_max = 6}});
  static std::vector<uint64_t>* order = nullptr;
  std::vector<uint64_t> seen;
  order = &seen;
  struct Numbered : Completion {
    uint64_t number = 0;
  };
  std::array<Numbered, 48> done;
  for (uint64_t i = 0; i < done.size(); ++i) {
    done[i].number = i;
    done[i].callback = [](Completion* c, Status) noexcept {
      order->push_back(static_cast<Numbered*>(c)->number);
    };
    ASSERT_EQ(
        q.queue->post_read(0, MutableBytes(q.rig.local).subspan(0, 8), Purpose::kValue, &done[i]),
        Status::kInProgress);
    q.queue->flush();  // a CQE for each, so that pairs overtake each other
  }
  for (int i = 0; i < 1000 && seen.size() < done.size(); ++i) {
    q.rig.device.step();
    q.queue->poll(3);
  }
  ASSERT_EQ(seen.size(), done.size());
  for (uint64_t i = 0; i < seen.size(); ++i) EXPECT_EQ(seen[i], i);
}

}  // namespace
}  // namespace dinomo::fabric::mlx5
