// SPDX-License-Identifier: BSD-3-Clause
// What goes to ibv_post_send(), on a queue pair whose library is the test.
#include "drivers/fabric/verbs/send_list.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>

namespace dinomo::fabric::verbs {
namespace {

/// A request as the device was given it.
struct Seen {
  uint64_t id;
  ibv_wr_opcode opcode;
  bool signalled;
  bool inlined;
  uint64_t remote;
  uint64_t first;  // eight bytes of inline data
};

class SendListTest : public testing::Test {
 protected:
  SendListTest() : list_(&qp_, 64) {
    self = this;
    qp_.context = &context_;
    context_.ops.post_send = &post;
  }
  static int post(ibv_qp*, ibv_send_wr* wr, ibv_send_wr** bad) {
    ++self->posts_;
    for (; wr != nullptr; wr = wr->next) {
      if (self->seen_.size() == self->room_) {
        *bad = wr;
        return ENOMEM;
      }
      uint64_t first = 0;
      const bool inlined = (wr->send_flags & IBV_SEND_INLINE) != 0;
      if (inlined && wr->num_sge != 0) {
        std::memcpy(&first, reinterpret_cast<const void*>(wr->sg_list->addr),
                    std::min<size_t>(wr->sg_list->length, sizeof first));
      }
      const bool atomic =
          wr->opcode == IBV_WR_ATOMIC_CMP_AND_SWP || wr->opcode == IBV_WR_ATOMIC_FETCH_AND_ADD;
      self->seen_.push_back({wr->wr_id, wr->opcode, (wr->send_flags & IBV_SEND_SIGNALED) != 0,
                             inlined, atomic ? wr->wr.atomic.remote_addr : wr->wr.rdma.remote_addr,
                             first});
    }
    return 0;
  }
  std::vector<std::pair<uint64_t, Status>> retire(uint64_t id, Status status) {
    std::vector<std::pair<uint64_t, Status>> done;
    list_.retire(id, status, [&](uint64_t tag, Status s) { done.emplace_back(tag, s); });
    return done;
  }

  static inline SendListTest* self = nullptr;
  ibv_context context_{};
  ibv_qp qp_{};
  SendList list_;
  std::vector<Seen> seen_;
  size_t room_ = 1000;
  int posts_ = 0;
  std::byte buffer_[64]{};
};

TEST_F(SendListTest, OneListForEverythingSinceTheLastRing) {
  for (uint64_t i = 0; i < 5; ++i) list_.read({i, 7}, {buffer_, 8, 9}, 100 + i);
  EXPECT_EQ(posts_, 0);
  EXPECT_TRUE(list_.ring());
  EXPECT_TRUE(list_.ring());  // nothing
  EXPECT_EQ(posts_, 1);
  ASSERT_EQ(seen_.size(), 5u);
  for (uint64_t i = 0; i < 5; ++i) {
    EXPECT_EQ(seen_[i].id, i);
    EXPECT_EQ(seen_[i].remote, i);
    EXPECT_EQ(seen_[i].signalled, i == 4);
  }
  list_.read({5, 7}, {buffer_, 8, 9}, 105);
  EXPECT_TRUE(list_.ring());
  EXPECT_EQ(seen_.size(), 6u);  // the first list is not given again
}

TEST_F(SendListTest, EverySixteenthAsksForACompletion) {
  for (uint64_t i = 0; i < 40; ++i) list_.read({i, 7}, {buffer_, 8, 9}, i);
  list_.ring();
  for (uint64_t i = 0; i < 40; ++i) EXPECT_EQ(seen_[i].signalled, i % 16 == 15 || i == 39) << i;
}

TEST_F(SendListTest, InlineBytesAreCopiedWhenPosted) {
  uint64_t value = 0x1122;
  list_.write_inline({1, 7}, object_bytes(value), 1);
  value = 0;
  list_.write_inline({2, 7}, {}, 2);
  list_.ring();
  EXPECT_EQ(seen_[0].first, 0x1122u);
  EXPECT_TRUE(seen_[0].inlined);
  EXPECT_EQ(seen_[1].first, 0u);
}

TEST_F(SendListTest, AtomicsAndPlainWritesCarryTheirAddress) {
  list_.atomic(IBV_WR_ATOMIC_CMP_AND_SWP, {64, 7}, 1, 2, {buffer_, 8, 9}, 1);
  list_.write({128, 7}, {buffer_, 64, 9}, 2);
  list_.ring();
  EXPECT_EQ(seen_[0].opcode, IBV_WR_ATOMIC_CMP_AND_SWP);
  EXPECT_EQ(seen_[0].remote, 64u);
  EXPECT_EQ(seen_[1].opcode, IBV_WR_RDMA_WRITE);
  EXPECT_FALSE(seen_[1].inlined);
}

TEST_F(SendListTest, ACompletionSpeaksForAllBeforeIt) {
  for (uint64_t i = 0; i < 6; ++i) list_.read({i, 7}, {buffer_, 8, 9}, 100 + i);
  list_.ring();
  using Done = std::vector<std::pair<uint64_t, Status>>;
  EXPECT_EQ(retire(1, Status::kOk), (Done{{100, Status::kOk}, {101, Status::kOk}}));
  EXPECT_EQ(retire(3, Status::kFenced), (Done{{102, Status::kOk}, {103, Status::kFenced}}));
  EXPECT_EQ(retire(4, Status::kUnreachable), (Done{{104, Status::kUnreachable}}));
  EXPECT_EQ(retire(2, Status::kOk), Done{});  // long done
}

TEST_F(SendListTest, IsFullWithItsRequestsUnderWay) {
  for (uint64_t i = 0; i < 62; ++i) list_.read({i, 7}, {buffer_, 8, 9}, i);
  EXPECT_TRUE(list_.room(kRequestsPerPostMax));
  list_.read({62, 7}, {buffer_, 8, 9}, 62);
  EXPECT_FALSE(list_.room(kRequestsPerPostMax));
  list_.ring();
  retire(0, Status::kOk);
  EXPECT_TRUE(list_.room(kRequestsPerPostMax));
}

/// As when the device was taken out. The last one, which would have told of those before it, is
/// among the refused.
TEST_F(SendListTest, ARefusalEndsTheList) {
  room_ = 2;
  for (uint64_t i = 0; i < 5; ++i) list_.read({i, 7}, {buffer_, 8, 9}, 100 + i);
  std::vector<uint64_t> over;
  const auto abandon = [&] {
    list_.abandon([&](uint64_t tag, Status s) {
      EXPECT_EQ(s, Status::kUnreachable);
      over.push_back(tag);
    });
  };
  abandon();
  EXPECT_EQ(over, std::vector<uint64_t>{});  // nothing is wrong yet
  EXPECT_FALSE(list_.ring());
  EXPECT_FALSE(list_.ring());
  EXPECT_EQ(posts_, 1);  // the device is not asked again
  abandon();
  EXPECT_EQ(over, (std::vector<uint64_t>{100, 101, 102, 103, 104}));
  EXPECT_TRUE(retire(1, Status::kOk).empty());  // too late
}

TEST(StatusOf, SaysWhatHasToBeReplaced) {
  EXPECT_EQ(status_of(IBV_WC_SUCCESS), Status::kOk);
  EXPECT_EQ(status_of(IBV_WC_REM_ACCESS_ERR), Status::kFenced);
  for (const ibv_wc_status s : {IBV_WC_RETRY_EXC_ERR, IBV_WC_RNR_RETRY_EXC_ERR,
                                IBV_WC_REM_ABORT_ERR, IBV_WC_WR_FLUSH_ERR, IBV_WC_FATAL_ERR}) {
    EXPECT_EQ(status_of(s), Status::kUnreachable) << s;
  }
  for (const ibv_wc_status s : {IBV_WC_LOC_LEN_ERR, IBV_WC_LOC_QP_OP_ERR, IBV_WC_LOC_PROT_ERR,
                                IBV_WC_REM_INV_REQ_ERR, IBV_WC_REM_OP_ERR}) {
    EXPECT_EQ(status_of(s), Status::kInternal) << s;
  }
}

}  // namespace
}  // namespace dinomo::fabric::verbs
