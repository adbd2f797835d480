// SPDX-License-Identifier: BSD-3-Clause
// Each trap of mlx5's send queues and doorbells: what the driver writes, byte for byte, and what
// the device makes of it.
#include "drivers/fabric/mlx5/send_queue.h"

#include <signal.h>  // NOLINT(modernize-deprecated-headers): sigaction
#include <sys/mman.h>

#include <random>

#include "test/unit/mlx5/rig.h"

namespace dinomo::fabric::mlx5 {
namespace {

constexpr uint32_t kOdd = 0x0102'0304;
constexpr uint64_t kAddress = 0x1122'3344'5566'7788;

std::vector<uint8_t> bytes_at(const std::byte* from, size_t count) {
  const auto* p = reinterpret_cast<const uint8_t*>(from);
  return {p, p + count};
}
/// Big-endian fields of the sizes given, one after the other.
struct Wire {
  std::vector<uint8_t> bytes;
  Wire& put(uint64_t value, int size) {
    for (int i = size - 1; i >= 0; --i) bytes.push_back(static_cast<uint8_t>(value >> (8 * i)));
    return *this;
  }
  Wire& control(uint16_t index, uint8_t opcode, uint32_t qpn, uint8_t segments, uint8_t flags) {
    return put(0, 1)
        .put(index, 2)
        .put(opcode, 1)
        .put(qpn, 3)
        .put(segments, 1)
        .put(0, 3)
        .put(flags, 1)
        .put(0, 4);
  }
  Wire& remote(uint64_t address, uint32_t key) { return put(address, 8).put(key, 4).put(0, 4); }
};

void soil(Rig& rig) {  // what a WQE of the last lap left behind
  std::memset(rig.kn.qp(0).sq.buf, 0xff, size_t{rig.kn.qp(0).sq.wqe_cnt} * kBlockBytes);
}

// What the device reads -------------------------------------------------------------------------

TEST(Wqe, ReadIsThreeSegments) {
  Rig rig;
  soil(rig);
  rig.sq().read({kAddress, kOdd}, {rig.local.data(), 512, 0x0a0b'0c0d}, 1);
  Wire wire;
  wire.control(0, MLX5_OPCODE_RDMA_READ, rig.kn.qpn(0), 3, 0).remote(kAddress, kOdd);
  wire.put(512, 4).put(0x0a0b'0c0d, 4).put(reinterpret_cast<uintptr_t>(rig.local.data()), 8);
  EXPECT_EQ(bytes_at(rig.block(0), 48), wire.bytes);
}

TEST(Wqe, WriteIsThreeSegments) {
  Rig rig;
  soil(rig);
  rig.sq().write({kAddress, kOdd}, {rig.local.data(), 0x7fff'ffff, 0x0a0b'0c0d}, 1);
  Wire wire;
  wire.control(0, MLX5_OPCODE_RDMA_WRITE, rig.kn.qpn(0), 3, 0).remote(kAddress, kOdd);
  wire.put(0x7fff'ffff, 4)
      .put(0x0a0b'0c0d, 4)
      .put(reinterpret_cast<uintptr_t>(rig.local.data()), 8);
  EXPECT_EQ(bytes_at(rig.block(0), 48), wire.bytes);
}

TEST(Wqe, AtomicsAreFourSegmentsAndOneBlock) {
  Rig rig;
  soil(rig);
  rig.sq().atomic(MLX5_OPCODE_ATOMIC_CS, {kAddress, kOdd}, 0x10, 0x20,
                  {rig.local.data(), 8, 0x0a0b'0c0d}, 1);
  rig.sq().atomic(MLX5_OPCODE_ATOMIC_FA, {kAddress, kOdd}, 0x30, 0,
                  {rig.local.data(), 8, 0x0a0b'0c0d}, 2);
  const auto local = reinterpret_cast<uintptr_t>(rig.local.data());
  Wire swap;
  swap.control(0, MLX5_OPCODE_ATOMIC_CS, rig.kn.qpn(0), 4, 0).remote(kAddress, kOdd);
  swap.put(0x10, 8).put(0x20, 8).put(8, 4).put(0x0a0b'0c0d, 4).put(local, 8);
  EXPECT_EQ(bytes_at(rig.block(0), 64), swap.bytes);
  Wire add;
  add.control(1, MLX5_OPCODE_ATOMIC_FA, rig.kn.qpn(0), 4, 0).remote(kAddress, kOdd);
  add.put(0x30, 8).put(0, 8).put(8, 4).put(0x0a0b'0c0d, 4).put(local, 8);
  EXPECT_EQ(bytes_at(rig.block(1), 64), add.bytes);
}

TEST(Wqe, InlineDataFollowTheirLengthAndDecideTheSize) {
  for (uint32_t size = 0; size <= kInlineBytesMax; ++size) {
    Rig rig;
    rig.sq().write_inline(rig.at(0), rig.bytes(0, size), 1);
    rig.sq().read(rig.at(0), rig.mine(4096, 8), 2);
    const uint32_t segments = 2 + (4 + size + 15) / 16;
    const uint32_t blocks = size <= 28 ? 1 : 2;
    Wire wire;
    wire.control(0, MLX5_OPCODE_RDMA_WRITE, rig.kn.qpn(0), static_cast<uint8_t>(segments), 0);
    wire.remote(kRemoteBase, rig.rkey).put(size | 0x8000'0000, 4);
    for (uint32_t i = 0; i < size; ++i) wire.put(static_cast<uint8_t>(rig.local[i]), 1);
    EXPECT_EQ(bytes_at(rig.block(0), 36 + size), wire.bytes) << size;
    // The next one begins where this one's blocks end.
    EXPECT_EQ(be32toh(load<uint32_t>(rig.block(blocks))),
              blocks << 8 | uint32_t{MLX5_OPCODE_RDMA_READ})
        << size;
    rig.sq().ring();
    EXPECT_EQ(rig.run_and_poll(), (std::vector<Done>{{1, Status::kOk}, {2, Status::kOk}})) << size;
    EXPECT_EQ(std::memcmp(rig.remote.data(), rig.local.data(), size), 0) << size;
  }
}

/// A count of 0 means 2 GiB to the device, which no region has.
TEST(Wqe, NoDataMeansNoDataSegment) {
  Rig rig;
  rig.sq().read(rig.at(0), rig.mine(0, 0), 1);
  rig.sq().write(rig.at(0), rig.mine(0, 0), 2);
  EXPECT_EQ(static_cast<uint8_t>(rig.block(0)[7]) & 0x3f, 2);
  EXPECT_EQ(static_cast<uint8_t>(rig.block(1)[7]) & 0x3f, 2);
  rig.sq().ring();
  EXPECT_EQ(rig.run_and_poll(), (std::vector<Done>{{1, Status::kOk}, {2, Status::kOk}}));
}

TEST(Wqe, AtomicsReturnWhatWasThereInHostOrder) {
  Rig rig;
  store(rig.remote.data() + 64, uint64_t{0x0102'0304'0506'0708});
  rig.sq().atomic(MLX5_OPCODE_ATOMIC_FA, rig.at(64), 0x10, 0, rig.mine(0, 8), 1);
  rig.sq().atomic(MLX5_OPCODE_ATOMIC_CS, rig.at(64), 77, 0x0102'0304'0506'0718, rig.mine(8, 8), 2);
  rig.sq().atomic(MLX5_OPCODE_ATOMIC_CS, rig.at(64), 99, 5, rig.mine(16, 8), 3);  // no match
  rig.sq().ring();
  rig.run_and_poll();
  EXPECT_EQ(load<uint64_t>(rig.local.data()), 0x0102'0304'0506'0708u);
  EXPECT_EQ(load<uint64_t>(rig.local.data() + 8), 0x0102'0304'0506'0718u);
  EXPECT_EQ(load<uint64_t>(rig.local.data() + 16), 77u);
  EXPECT_EQ(load<uint64_t>(rig.remote.data() + 64), 77u);
}

// The ring --------------------------------------------------------------------------------------

/// Sizes that make WQEs of one and of two blocks, over both ends: of the ring, and of the 16-bit
/// count. Every write is read back.
TEST(Ring, WrapsWithItsInlineDataAndWithItsIndex) {
  Rig rig({.blocks = 16});
  std::mt19937 random(5);
  uint32_t blocks = 0;
  for (uint32_t i = 0; blocks < 3 * 65536; ++i) {
    const uint32_t size = 1 + random() % kInlineBytesMax;
    const uint64_t to = 8 * (random() % 1024);
    const uint64_t from = random() % 1000;
    ASSERT_TRUE(rig.sq().room(2));
    rig.sq().write_inline(rig.at(to), rig.bytes(from, size), i);
    rig.sq().ring();
    ASSERT_EQ(rig.run_and_poll(), (std::vector<Done>{{i, Status::kOk}})) << i;
    ASSERT_EQ(std::memcmp(rig.remote.data() + to, rig.local.data() + from, size), 0) << i;
    blocks += size <= 28 ? 1 : 2;
    ASSERT_EQ(rig.record(), blocks & 0xffff);
  }
}

TEST(Ring, IsFullWhenItsBlocksAreAndFreesThoseOfTheDoneOnly) {
  Rig rig({.blocks = 8});
  SendQueue& sq = rig.sq();
  for (uint64_t i = 0; i < 4; ++i) {
    ASSERT_TRUE(sq.room(2));
    sq.write_inline(rig.at(i * 128), rig.bytes(0, 92), i);
  }
  EXPECT_FALSE(sq.room(1));
  EXPECT_EQ(rig.run_and_poll(), std::vector<Done>{});  // not rung: the device knows nothing of it
  EXPECT_FALSE(sq.room(1));
  sq.ring();
  EXPECT_EQ(rig.run_and_poll().size(), 4u);
  EXPECT_TRUE(sq.room(8));
  EXPECT_FALSE(sq.room(9));
  EXPECT_TRUE(sq.idle());
  sq.write_inline(rig.at(0), rig.bytes(0, 92), 9);  // two of eight blocks
  EXPECT_TRUE(sq.room(6));
  EXPECT_FALSE(sq.room(7));
  sq.ring();
  rig.run();
  EXPECT_FALSE(sq.room(7));  // done, but nobody has looked
  rig.poll();
  EXPECT_TRUE(sq.room(8));
}

TEST(Ring, IsNeverOverwrittenWhileTheDeviceIsBehind) {
  Rig rig({.blocks = 16});
  std::deque<uint64_t> expected;
  uint64_t next = 0;
  for (int turn = 0; turn < 500; ++turn) {
    for (int n = 0; n < 16 && rig.sq().room(kBlocksPerPostMax); ++n) {
      rig.sq().write_inline(rig.at(8 * (next % 512)), object_bytes(next), next);
      expected.push_back(next++);
    }
    rig.sq().ring();
    rig.device.step();
    for (const Done& done : rig.poll(1)) {
      ASSERT_FALSE(expected.empty());
      ASSERT_EQ(done, (Done{expected.front(), Status::kOk}));
      ASSERT_EQ(load<uint64_t>(rig.remote.data() + 8 * (done.tag % 512)), done.tag);
      expected.pop_front();
    }
  }
  EXPECT_GT(next, 1000u);
}

// Doorbells -------------------------------------------------------------------------------------

TEST(Doorbell, WithoutItNothingHappens) {
  Rig rig;
  rig.sq().write_inline(rig.at(0), object_bytes(kAddress), 1);
  EXPECT_EQ(rig.run_and_poll(), std::vector<Done>{});
  EXPECT_EQ(rig.record(), 0u);
  EXPECT_EQ(load<uint64_t>(rig.remote.data()), 0u);
  rig.sq().ring();
  EXPECT_EQ(rig.record(), 1u);
  EXPECT_EQ(rig.run_and_poll(), (std::vector<Done>{{1, Status::kOk}}));
}

TEST(Doorbell, RingingWithNothingPostedTouchesNothing) {
  Rig rig;
  rig.sq().ring();
  EXPECT_EQ(rig.flame.offset, 0u);
  rig.sq().read(rig.at(0), rig.mine(0, 8), 1);
  rig.sq().ring();
  rig.sq().ring();
  EXPECT_EQ(rig.flame.offset, 256u);
  EXPECT_EQ(rig.run_and_poll().size(), 1u);
  EXPECT_EQ(rig.device.counters(rig.kn.qpn(0)).doorbells, 1u);
}

TEST(Doorbell, IsTheFirstWordOfTheLastWqe) {
  Rig rig;
  for (uint64_t i = 0; i < 3; ++i) rig.sq().read(rig.at(0), rig.mine(0, 8), i);
  rig.sq().ring();
  EXPECT_EQ(load<uint64_t>(rig.kn.bf_register()), load<uint64_t>(rig.block(2)));
  EXPECT_EQ(load<uint64_t>(rig.kn.bf_register() + 8), 0u);  // and no more: three are no BlueFlame
  rig.run_and_poll();
  EXPECT_EQ(rig.device.counters(rig.kn.qpn(0)).doorbells, 1u);
  EXPECT_EQ(rig.device.counters(rig.kn.qpn(0)).blueflames, 0u);
}

/// The first store to the register finds WQE and record written: the page is closed, and the fault
/// handler looks.
class Closed {
 public:
  explicit Closed(const Rig& rig) : page_(rig.kn.bf_register() - 0x800) {
    self = this;
    watched = &rig.kn.qp(0).dbrec[MLX5_SND_DBR];
    struct sigaction action{};
    action.sa_handler = &on_fault;
    ::sigaction(SIGSEGV, &action, &before_);
    EXPECT_EQ(::mprotect(page_, 4096, PROT_READ), 0);
  }
  ~Closed() {
    open();
    ::sigaction(SIGSEGV, &before_, nullptr);
  }
  Closed(const Closed&) = delete;
  Closed& operator=(const Closed&) = delete;
  uint32_t record_at_first_store() const { return record_; }

 private:
  static void on_fault(int) {
    self->record_ = be32toh(*watched);
    self->open();
  }
  void open() const { ::mprotect(page_, 4096, PROT_READ | PROT_WRITE); }

  static inline Closed* self = nullptr;
  static inline const __be32* watched = nullptr;
  std::byte* page_;
  struct sigaction before_{};
  volatile uint32_t record_ = ~0u;
};

TEST(Doorbell, TheRecordIsWrittenBeforeTheRegister) {
  Rig rig;
  for (uint64_t i = 0; i < 2; ++i) rig.sq().read(rig.at(0), rig.mine(0, 8), i);
  uint32_t seen = 0;
  {
    const Closed closed(rig);
    rig.sq().ring();
    seen = closed.record_at_first_store();
  }
  EXPECT_EQ(seen, 2u);
  EXPECT_EQ(rig.run_and_poll().size(), 2u);
}

TEST(BlueFlame, OnlyForASingleWqeAndThenAllOfIt) {
  Rig rig;
  for (uint64_t i = 0; i < 10; ++i) {
    rig.sq().write_inline(rig.at(0), rig.bytes(i, i % 2 == 0 ? 20 : 80), i);
    rig.sq().ring();
    rig.run_and_poll();
    EXPECT_EQ(rig.device.counters(rig.kn.qpn(0)).blueflames, i + 1) << i;
  }
  for (uint64_t i = 0; i < 2; ++i) rig.sq().write_inline(rig.at(0), rig.bytes(0, 20), i);
  rig.sq().ring();
  rig.run_and_poll();
  EXPECT_EQ(rig.device.counters(rig.kn.qpn(0)).blueflames, 10u);
}

TEST(BlueFlame, TheCopyWrapsWithTheRing) {
  Rig rig({.blocks = 8});
  rig.sq().read(rig.at(0), rig.mine(0, 8), 0);  // so that pairs of blocks do not fit evenly
  rig.sq().ring();
  rig.run_and_poll();
  for (uint64_t i = 1; i <= 64; ++i) {
    rig.sq().write_inline(rig.at(0), rig.bytes(i, 92), i);
    rig.sq().ring();
    ASSERT_EQ(rig.run_and_poll().size(), 1u);
    ASSERT_EQ(rig.device.counters(rig.kn.qpn(0)).blueflames, i + 1) << i;
  }
}

TEST(BlueFlame, HalvesAlternateAlsoBetweenPairsOfOneRegister) {
  Rig rig({.pairs = 3});
  for (uint64_t i = 0; i < 30; ++i) {
    SendQueue& pair = rig.pairs[i * i % 3];
    std::byte* half = rig.kn.bf_register() + (i % 2) * 256;
    pair.read(rig.at(0), rig.mine(0, 8), i);
    pair.ring();
    const auto words = load<uint64_t>(half);
    EXPECT_EQ(be64toh(words) >> 8 & 0xff'ffff, pair.qpn()) << i;
    rig.run_and_poll();  // the rig fails if the device saw the same half twice
  }
}

TEST(BlueFlame, ARegisterWithoutItGetsEightBytesAlwaysAtTheSamePlace) {
  Rig rig({.bf_half_bytes = 0});
  for (uint64_t i = 0; i < 5; ++i) {
    rig.sq().write_inline(rig.at(0), rig.bytes(0, 20), i);
    rig.sq().ring();
    EXPECT_EQ(load<uint64_t>(rig.kn.bf_register()),
              load<uint64_t>(rig.block(static_cast<uint32_t>(i))));
    EXPECT_EQ(load<uint64_t>(rig.kn.bf_register() + 8), 0u);
    EXPECT_EQ(rig.run_and_poll().size(), 1u);
  }
}

// Signalling ------------------------------------------------------------------------------------

TEST(Signalling, TheLastOfARingAndEverySixteenth) {
  for (uint32_t count = 1; count <= 60; ++count) {
    Rig rig;
    for (uint64_t i = 0; i < count; ++i) rig.sq().read(rig.at(0), rig.mine(0, 8), i);
    rig.sq().ring();
    const std::vector<Done> done = rig.run_and_poll();
    ASSERT_EQ(done.size(), count);
    for (uint64_t i = 0; i < count; ++i) EXPECT_EQ(done[i], (Done{i, Status::kOk}));
    EXPECT_EQ(rig.last_entries, (count + kSignalEvery - 1) / kSignalEvery) << count;
  }
}

TEST(Signalling, CountsAnewAfterARing) {
  Rig rig;
  for (int turn = 0; turn < 20; ++turn) {
    for (uint64_t i = 0; i < 15; ++i) rig.sq().read(rig.at(0), rig.mine(0, 8), i);
    rig.sq().ring();
    EXPECT_EQ(rig.run_and_poll().size(), 15u);
    EXPECT_EQ(rig.last_entries, 1u);
  }
}

// Errors ----------------------------------------------------------------------------------------

TEST(Errors, WhatWasBeforeIsDoneAndWhatComesAfterIsFlushed) {
  Rig rig;
  uint64_t value = 5;
  for (uint64_t i = 0; i < 6; ++i) {
    rig.sq().write_inline(i == 2 ? rdma::Remote{kRemoteBase, rig.rkey ^ 1} : rig.at(64 * i),
                          object_bytes(value), i);
  }
  rig.sq().ring();
  std::vector<Done> expected;
  for (uint64_t i = 0; i < 2; ++i) expected.push_back({i, Status::kOk});
  expected.push_back({2, Status::kFenced});
  for (uint64_t i = 3; i < 6; ++i) expected.push_back({i, Status::kUnreachable});
  EXPECT_EQ(rig.run_and_poll(), expected);  // each has an entry, although none but the last asked
  EXPECT_EQ(rig.last_entries, 4u);
  EXPECT_EQ(load<uint64_t>(rig.remote.data() + 64), 5u);
  EXPECT_EQ(load<uint64_t>(rig.remote.data() + 192), 0u);
  EXPECT_EQ(rig.device.state(rig.kn.qpn(0)), softhca::QpState::kError);
  EXPECT_EQ(rig.device.state(rig.dpm.qpn(0)), softhca::QpState::kError);  // the refusal takes both
  rig.sq().read(rig.at(0), rig.mine(0, 8), 9);  // posted afterwards: flushed as well
  rig.sq().ring();
  EXPECT_EQ(rig.run_and_poll(), (std::vector<Done>{{9, Status::kUnreachable}}));
}

/// The CQ has an entry for each block of the ring, since a failure takes one for each WQE.
TEST(Errors, AFullRingCanBeFlushedIntoTheCq) {
  Rig rig({.pairs = 2, .blocks = 64, .entries = 128});
  for (SendQueue& pair : rig.pairs) {
    for (uint64_t i = 0; i < 64; ++i) pair.read(rig.at(0), rig.mine(0, 8), i);
    pair.ring();
  }
  rig.kn.move(softhca::QpState::kError);
  rig.run();
  EXPECT_EQ(rig.poll().size(), 128u);
  EXPECT_EQ(rig.last_entries, 128u);
}

TEST(Errors, AfterResetEverythingBeginsAtZero) {
  Rig rig({.blocks = 16});
  for (uint64_t round = 0; round < 20; ++round) {
    for (uint64_t i = 0; i < 3 + round % 5; ++i) rig.sq().read(rig.at(0), rig.mine(0, 8), i);
    rig.sq().ring();
    if (round % 2 == 0) rig.device.step();
    rig.kn.move(softhca::QpState::kError);
    rig.sq().read(rig.at(0), rig.mine(0, 8), 99);
    rig.sq().ring();
    rig.run();
    rig.reset();
    CompletionQueue::Entry entry{};
    while (rig.cq.next(&entry)) {
    }
    rig.cq.update(true);
    rig.connect();
    rig.sq().write_inline(rig.at(8), object_bytes(round), round);
    rig.sq().ring();
    ASSERT_EQ(rig.record(), 1u);
    ASSERT_EQ(rig.run_and_poll(), (std::vector<Done>{{round, Status::kOk}}));
    ASSERT_EQ(load<uint64_t>(rig.remote.data() + 8), round);
  }
}

TEST(Errors, EachSyndromeSaysWhatHasToBeReplaced) {
  EXPECT_EQ(status_of_syndrome(0), Status::kOk);
  EXPECT_EQ(status_of_syndrome(MLX5_CQE_SYNDROME_REMOTE_ACCESS_ERR), Status::kFenced);
  for (const uint8_t s :
       {MLX5_CQE_SYNDROME_TRANSPORT_RETRY_EXC_ERR, MLX5_CQE_SYNDROME_RNR_RETRY_EXC_ERR,
        MLX5_CQE_SYNDROME_REMOTE_ABORTED_ERR, MLX5_CQE_SYNDROME_WR_FLUSH_ERR}) {
    EXPECT_EQ(status_of_syndrome(s), Status::kUnreachable) << int{s};
  }
  for (const uint8_t s :
       {MLX5_CQE_SYNDROME_LOCAL_LENGTH_ERR, MLX5_CQE_SYNDROME_LOCAL_QP_OP_ERR,
        MLX5_CQE_SYNDROME_LOCAL_PROT_ERR, MLX5_CQE_SYNDROME_MW_BIND_ERR,
        MLX5_CQE_SYNDROME_BAD_RESP_ERR, MLX5_CQE_SYNDROME_LOCAL_ACCESS_ERR,
        MLX5_CQE_SYNDROME_REMOTE_INVAL_REQ_ERR, MLX5_CQE_SYNDROME_REMOTE_OP_ERR}) {
    EXPECT_EQ(status_of_syndrome(s), Status::kInternal) << int{s};
  }
}

TEST(Errors, ALostLinkIsUnreachable) {
  Rig rig;
  rig.device.set_link(rig.dpm.qpn(0), false);
  rig.sq().read(rig.at(0), rig.mine(0, 8), 1);
  rig.sq().ring();
  EXPECT_EQ(rig.run_and_poll(), (std::vector<Done>{{1, Status::kUnreachable}}));
}

TEST(Errors, RightsTakenAwayAreFenced) {
  Rig rig;
  ASSERT_TRUE(rig.device.change_access(rig.rkey, 0));
  rig.sq().write_inline(rig.at(0), object_bytes(kAddress), 1);
  rig.sq().ring();
  EXPECT_EQ(rig.run_and_poll(), (std::vector<Done>{{1, Status::kFenced}}));
  EXPECT_EQ(load<uint64_t>(rig.remote.data()), 0u);
}

}  // namespace
}  // namespace dinomo::fabric::mlx5
