// SPDX-License-Identifier: BSD-3-Clause
// The soft HCA by itself: WQEs written by hand, so that what it accepts and refuses does not depend
// on the driver that it is there to judge.
#include "drivers/fabric/mlx5/softhca/device.h"

#include "test/unit/mlx5/rig.h"

namespace dinomo::fabric::mlx5 {
namespace {

using Strings = std::vector<std::string>;

/// One WQE; the fields are as the device reads them.
struct RawWqe {
  uint8_t opmod = 0;
  uint16_t index = 0;
  uint8_t opcode = MLX5_OPCODE_RDMA_WRITE;
  uint32_t qpn = 0;
  uint8_t segments = 3;
  uint8_t flags = MLX5_WQE_CTRL_CQ_UPDATE;
  uint64_t remote = kRemoteBase;
  uint32_t rkey = 0;
  uint32_t reserved = 0;
  uint32_t bytes = 8;
  uint32_t lkey = 0;
  uint64_t local = 0;
};

class Raw : public testing::Test {
 protected:
  explicit Raw(const RigConfig& config = {}) : rig_(config) {}

  RawWqe wqe(uint8_t opcode = MLX5_OPCODE_RDMA_WRITE) const {
    RawWqe w;
    w.opcode = opcode;
    w.index = next_;
    w.qpn = rig_.kn.qpn(0);
    w.rkey = rig_.rkey;
    w.lkey = rig_.lkey;
    w.local = reinterpret_cast<uintptr_t>(rig_.local.data());
    return w;
  }
  static void put(std::byte* to, uint64_t first, uint64_t second) {
    store(to, htobe64(first));
    store(to + 8, htobe64(second));
  }
  void write(const RawWqe& w) {
    auto* at = const_cast<std::byte*>(rig_.block(next_));
    put(at,
        uint64_t{w.opmod} << 56 | uint64_t{w.index} << 40 | uint64_t{w.opcode} << 32 | w.qpn << 8 |
            w.segments,
        uint64_t{w.flags} << 32);
    put(at + 16, w.remote, uint64_t{w.rkey} << 32 | w.reserved);
    put(at + 32, uint64_t{w.bytes} << 32 | w.lkey, w.local);
    ++next_;
  }
  void record(uint16_t producer) {
    rig_.kn.qp(0).dbrec[MLX5_SND_DBR] = htobe32(uint32_t{producer});
  }
  void ring() {
    record(next_);
    store(rig_.kn.bf_register() + half_, load<uint64_t>(rig_.block(next_ - 1)));
    half_ ^= 256;
  }
  /// Syndrome of the next entry, -1: none.
  int completion() {
    CompletionQueue::Entry entry{};
    rig_.run();
    if (!rig_.cq.next(&entry)) return -1;
    rig_.cq.update();
    vendor_ = entry.vendor;
    return entry.syndrome;
  }
  int run(const RawWqe& w) {
    write(w);
    ring();
    return completion();
  }

  Rig rig_;
  uint16_t next_ = 0;
  uint32_t half_ = 0;
  uint8_t vendor_ = 0;
};

TEST_F(Raw, CarriesOutAWrite) {
  EXPECT_EQ(run(wqe()), 0);
  EXPECT_EQ(std::memcmp(rig_.remote.data(), rig_.local.data(), 8), 0);
}

TEST_F(Raw, ARecordWithoutARegisterAndARegisterWithoutARecordDoNothing) {
  write(wqe());
  record(1);
  EXPECT_EQ(completion(), -1);
  ring();
  EXPECT_EQ(completion(), 0);
  write(wqe());
  store(rig_.kn.bf_register() + half_, load<uint64_t>(rig_.block(1)));  // the record says 1 still
  half_ ^= 256;
  EXPECT_EQ(completion(), -1);
  record(2);
  store(rig_.kn.bf_register() + half_, load<uint64_t>(rig_.block(1)));
  EXPECT_EQ(completion(), 0);
}

TEST_F(Raw, WithoutTheFlagThereIsNoEntry) {
  RawWqe w = wqe();
  w.flags = 0;
  EXPECT_EQ(run(w), -1);
  EXPECT_EQ(rig_.device.counters(rig_.kn.qpn(0)).executed, 1u);
}

TEST_F(Raw, AnErrorIsToldWithoutTheFlagToo) {
  RawWqe w = wqe();
  w.flags = 0;
  w.rkey ^= 0x100;
  EXPECT_EQ(run(w), MLX5_CQE_SYNDROME_REMOTE_ACCESS_ERR);
  EXPECT_EQ(vendor_, 0x88);
}

struct Malformed {
  const char* name;
  void (*spoil)(RawWqe&);
  const char* finding;
};
class RawMalformed : public Raw, public testing::WithParamInterface<Malformed> {};

TEST_P(RawMalformed, IsAFindingAndStopsTheQp) {
  RawWqe w = wqe();
  GetParam().spoil(w);
  EXPECT_EQ(run(w), MLX5_CQE_SYNDROME_LOCAL_QP_OP_ERR);
  const Strings found = rig_.findings();
  ASSERT_FALSE(found.empty());
  EXPECT_NE(found[0].find(GetParam().finding), std::string::npos) << found[0];
  EXPECT_EQ(rig_.device.state(rig_.kn.qpn(0)), softhca::QpState::kError);
}

INSTANTIATE_TEST_SUITE_P(
    All, RawMalformed,
    testing::Values(Malformed{"index", [](RawWqe& w) { w.index = 7; }, "index"},
                    Malformed{"qpn", [](RawWqe& w) { ++w.qpn; }, "QPN"},
                    Malformed{"opmod", [](RawWqe& w) { w.opmod = 1; }, "opmod"},
                    Malformed{"opcode", [](RawWqe& w) { w.opcode = 0x2f; }, "opcode"},
                    Malformed{"no_segments", [](RawWqe& w) { w.segments = 0; }, "segments"},
                    Malformed{"too_long", [](RawWqe& w) { w.segments = 5; }, "past the doorbell"},
                    Malformed{"no_address", [](RawWqe& w) { w.segments = 1; }, "address segment"},
                    Malformed{"inline_read",
                              [](RawWqe& w) {
                                w.opcode = MLX5_OPCODE_RDMA_READ;
                                w.bytes |= MLX5_INLINE_SEG;
                              },
                              "inline"},
                    Malformed{"inline_too_long", [](RawWqe& w) { w.bytes = 13 | MLX5_INLINE_SEG; },
                              "longer"},
                    Malformed{"atomic_without_data",
                              [](RawWqe& w) { w.opcode = MLX5_OPCODE_ATOMIC_FA; }, "atomic"}),
    [](const auto& info) { return info.param.name; });

TEST_F(Raw, AReservedWordIsAFindingButRuns) {
  RawWqe w = wqe();
  w.reserved = 1;
  EXPECT_EQ(run(w), 0);
  EXPECT_EQ(rig_.findings().size(), 1u);
}

struct Refused {
  const char* name;
  void (*spoil)(RawWqe&);
  int syndrome;
};
class RawRefused : public Raw, public testing::WithParamInterface<Refused> {};

TEST_P(RawRefused, HasItsSyndrome) {
  RawWqe w = wqe();
  GetParam().spoil(w);
  EXPECT_EQ(run(w), GetParam().syndrome);
}

INSTANTIATE_TEST_SUITE_P(
    All, RawRefused,
    testing::Values(Refused{"lkey_variant", [](RawWqe& w) { w.lkey ^= 1; },
                            MLX5_CQE_SYNDROME_LOCAL_PROT_ERR},
                    Refused{"lkey_of_the_peer", [](RawWqe& w) { w.lkey = w.rkey; },
                            MLX5_CQE_SYNDROME_LOCAL_PROT_ERR},
                    Refused{"local_range", [](RawWqe& w) { w.local += (64 << 10) - 4; },
                            MLX5_CQE_SYNDROME_LOCAL_PROT_ERR},
                    Refused{"zero_is_two_gigabytes", [](RawWqe& w) { w.bytes = 0; },
                            MLX5_CQE_SYNDROME_LOCAL_PROT_ERR},
                    Refused{"rkey_variant", [](RawWqe& w) { w.rkey ^= 1; },
                            MLX5_CQE_SYNDROME_REMOTE_ACCESS_ERR},
                    Refused{"rkey_of_ours", [](RawWqe& w) { w.rkey = w.lkey; },
                            MLX5_CQE_SYNDROME_REMOTE_ACCESS_ERR},
                    Refused{"below_the_range", [](RawWqe& w) { --w.remote; },
                            MLX5_CQE_SYNDROME_REMOTE_ACCESS_ERR},
                    Refused{"past_the_range", [](RawWqe& w) { w.remote += (64 << 10) - 7; },
                            MLX5_CQE_SYNDROME_REMOTE_ACCESS_ERR},
                    Refused{"address_overflow", [](RawWqe& w) { w.remote = ~uint64_t{3}; },
                            MLX5_CQE_SYNDROME_REMOTE_ACCESS_ERR}),
    [](const auto& info) { return info.param.name; });

TEST_F(Raw, WithoutDataTheRemoteKeyIsNotLookedAt) {
  RawWqe w = wqe();
  w.segments = 2;
  w.rkey = 0;
  EXPECT_EQ(run(w), 0);
}

TEST(Rights, EachIsAskedForAtTheKeyAndAtTheQp) {
  const struct {
    uint8_t opcode;
    uint32_t right;
  } cases[] = {{MLX5_OPCODE_RDMA_WRITE, IBV_ACCESS_REMOTE_WRITE},
               {MLX5_OPCODE_RDMA_READ, IBV_ACCESS_REMOTE_READ}};
  for (const bool at_key : {true, false}) {
    for (const auto& c : cases) {
      Rig rig;
      const uint32_t all = kRemoteRights | IBV_ACCESS_LOCAL_WRITE;
      if (at_key) {
        rig.device.change_access(rig.rkey, all & ~c.right);
      } else {
        rig.device.set_access(rig.dpm.qpn(0), all & ~c.right);
      }
      if (c.opcode == MLX5_OPCODE_RDMA_READ) {
        rig.sq().write(rig.at(0), rig.mine(0, 8), 1);
        rig.sq().read(rig.at(0), rig.mine(0, 8), 2);
      } else {
        rig.sq().read(rig.at(0), rig.mine(0, 8), 1);
        rig.sq().write(rig.at(0), rig.mine(0, 8), 2);
      }
      rig.sq().ring();
      EXPECT_EQ(rig.run_and_poll(), (std::vector<Done>{{1, Status::kOk}, {2, Status::kFenced}}));
    }
  }
}

TEST_F(Raw, ADeregisteredKeyIsDeadAtTheNextWqe) {
  write(wqe());
  write(wqe());
  record(1);
  store(rig_.kn.bf_register(), load<uint64_t>(rig_.block(0)));
  EXPECT_EQ(completion(), 0);
  rig_.device.deregister(rig_.rkey);
  half_ = 256;
  ring();
  EXPECT_EQ(completion(), MLX5_CQE_SYNDROME_REMOTE_ACCESS_ERR);
  EXPECT_EQ(rig_.device.state(rig_.dpm.qpn(0)), softhca::QpState::kError);
}

TEST_F(Raw, TheSameHalfTwiceIsAFinding) {
  EXPECT_EQ(run(wqe()), 0);
  half_ = 0;
  EXPECT_EQ(run(wqe()), 0);
  EXPECT_EQ(rig_.findings(), Strings{"BlueFlame halves do not alternate"});
}

/// A copy that is not the WQE cannot be told from a doorbell behind which older bytes stand: it is
/// not counted as a BlueFlame, and no more.
TEST_F(Raw, ABlueFlameCopyCountsOnlyIfItIsTheWqe) {
  write(wqe());
  std::memcpy(rig_.kn.bf_register(), rig_.block(0), 64);
  ring();
  EXPECT_EQ(completion(), 0);
  EXPECT_EQ(rig_.device.counters(rig_.kn.qpn(0)).blueflames, 1u);
  write(wqe());
  std::memcpy(rig_.kn.bf_register() + 256, rig_.block(1), 64);
  rig_.kn.bf_register()[256 + 40] ^= std::byte{1};
  ring();
  EXPECT_EQ(completion(), 0);
  EXPECT_EQ(rig_.device.counters(rig_.kn.qpn(0)).blueflames, 1u);
  EXPECT_EQ(rig_.device.counters(rig_.kn.qpn(0)).doorbells, 2u);
}

TEST_F(Raw, AProducerPastTheRingIsAFinding) {
  write(wqe());
  record(1000);
  store(rig_.kn.bf_register(), load<uint64_t>(rig_.block(0)));
  rig_.run();
  const Strings found = rig_.findings();
  ASSERT_FALSE(found.empty());
  EXPECT_NE(found[0].find("more than the ring ahead"), std::string::npos);
}

class RawSmallCq : public Raw {
 protected:
  RawSmallCq() : Raw({.entries = 4}) {}
};

TEST_F(RawSmallCq, AnOverrunStopsTheQp) {
  for (int i = 0; i < 5; ++i) write(wqe());
  ring();
  rig_.run();
  EXPECT_EQ(rig_.findings(), Strings{"CQ overrun"});
  EXPECT_EQ(rig_.device.state(rig_.kn.qpn(0)), softhca::QpState::kError);
}

TEST_F(Raw, APeerThatIsNotReadyIsOutOfReach) {
  rig_.dpm.move(softhca::QpState::kInit);
  EXPECT_EQ(run(wqe()), MLX5_CQE_SYNDROME_TRANSPORT_RETRY_EXC_ERR);
  EXPECT_EQ(vendor_, 0x81);
}

TEST_F(Raw, ResetForgetsWhatWasPosted) {
  write(wqe());
  ring();
  rig_.reset();
  rig_.connect();
  EXPECT_EQ(completion(), -1);
  next_ = 0;
  half_ = 0;
  EXPECT_EQ(run(wqe()), 0);
}

// Faults ----------------------------------------------------------------------------------------

TEST(Faults, ATornPayloadIsSeenInPiecesAndCompletesWhenItIsWhole) {
  Rig rig({.faults = {.seed = 1, .tear = 1000, .tear_bytes = 64}});
  std::memset(rig.local.data(), 0xaa, 512);
  rig.sq().write(rig.at(0), rig.mine(0, 512), 1);
  rig.sq().ring();
  uint32_t steps = 0;
  while (rig.poll().empty() && steps < 100) {
    const bool first = rig.remote[0] == std::byte{0xaa};
    const bool last = rig.remote[511] == std::byte{0xaa};
    if (first && !last) ++steps;
    rig.device.step();
  }
  EXPECT_EQ(steps, 7u);  // eight pieces
  EXPECT_EQ(rig.remote[511], std::byte{0xaa});
}

TEST(Faults, AnAtomicIsNoneForTheCpu) {
  Rig rig({.faults = {.hca_only_atomics = true}});
  rig.sq().atomic(MLX5_OPCODE_ATOMIC_FA, rig.at(0), 1, 0, rig.mine(0, 8), 1);
  rig.sq().ring();
  rig.device.step();  // loaded
  store(rig.remote.data(), uint64_t{100});
  rig.run();
  EXPECT_EQ(load<uint64_t>(rig.remote.data()), 1u);  // the CPU's store is gone
}

TEST(Faults, AreTheSameFromTheSameSeed) {
  std::vector<std::vector<uint64_t>> runs;
  for (int run = 0; run < 2; ++run) {
    Rig rig({.pairs = 2, .faults = {.seed = 9, .delay_cqe = 300, .tear = 300, .read_again = 300}});
    std::vector<uint64_t> order;
    for (uint64_t i = 0; i < 200; ++i) {
      SendQueue& pair = rig.pairs[i % 2];
      pair.read(rig.at(64 * i), rig.mine(64 * i, 64), i);
      pair.ring();
      rig.device.step();
      for (const Done& d : rig.poll()) order.push_back(d.tag << 32 | i);
    }
    rig.run();
    runs.push_back(order);
  }
  EXPECT_EQ(runs[0], runs[1]);
  EXPECT_FALSE(runs[0].empty());
}

}  // namespace
}  // namespace dinomo::fabric::mlx5
