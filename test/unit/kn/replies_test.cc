// SPDX-License-Identifier: BSD-3-Clause
#include "kn/replies.h"

#include <gtest/gtest.h>

#include <string>

#include "test/support/loopback_ingress.h"

namespace dinomo::kn {
namespace {

ReplyTo to(uint16_t port, uint64_t session, uint64_t sequence) {
  ReplyTo r;
  r.peer.remote_port = port;
  r.session = session;
  r.sequence = sequence;
  r.opcode = static_cast<uint8_t>(wire::Opcode::kGet);
  return r;
}

std::vector<uint64_t> sequences(const test::LoopbackQueue::Sent& sent) {
  std::vector<uint64_t> found;
  wire::Reader reader(sent.payload, wire::Kind::kReply);
  wire::Message m;
  while (reader.next(&m)) found.push_back(m.header.sequence);
  EXPECT_EQ(reader.error(), wire::ReadError::kNone);
  return found;
}

TEST(Replies, OneClientsRepliesShareADatagram) {
  test::LoopbackQueue queue;
  Replies replies(&queue);
  replies.set_ring_version(3);
  for (uint64_t s = 1; s <= 5; ++s) replies.add(to(1000, 9, s), wire::Status::kOk);
  EXPECT_TRUE(queue.take().empty());  // not before flush
  replies.flush();
  const auto sent = queue.take();
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sequences(sent[0]), (std::vector<uint64_t>{1, 2, 3, 4, 5}));
  wire::Reader reader(sent[0].payload, wire::Kind::kReply);
  EXPECT_EQ(reader.header().session, 9u);
  EXPECT_EQ(reader.header().ring_version, 3u);
}

TEST(Replies, ClientsNeverShareADatagram) {
  test::LoopbackQueue queue;
  Replies replies(&queue);
  // 1000 and 1032 meet in one slot; sessions of one address are kept apart as well.
  for (const uint16_t port : {1000, 1032}) {
    for (const uint64_t session : {1u, 2u}) {
      replies.add(to(port, session, port + session), wire::Status::kOk);
    }
  }
  replies.flush();
  const auto sent = queue.take();
  ASSERT_EQ(sent.size(), 4u);
  for (const auto& s : sent) EXPECT_EQ(sequences(s).size(), 1u);
  EXPECT_EQ(queue.open_buffers(), 0u);
}

TEST(Replies, AFullDatagramIsFollowedByAnother) {
  test::LoopbackQueue queue;
  Replies replies(&queue);
  const std::string value(600, 'v');
  for (uint64_t s = 1; s <= 5; ++s) {
    replies.add(to(1000, 9, s), wire::Status::kOk, {}, as_bytes(value));
  }
  replies.flush();
  EXPECT_EQ(queue.take().size(), 3u);
}

TEST(Replies, WhatFitsNoFrameTravelsAlone) {
  for (const size_t bytes : {1500ul, 2003ul, 61'440ul}) {
    test::LoopbackQueue queue;
    Replies replies(&queue);
    replies.set_ring_version(7);
    const std::string value(bytes, 'v');
    const wire::ItemExtras item{5, 0, 9, 0};
    replies.add(to(1000, 9, 1), wire::Status::kOk, {}, as_bytes("small"));
    replies.add(to(1000, 9, 2), wire::Status::kOk, object_bytes(item), as_bytes(value));
    replies.add(to(1000, 9, 3), wire::Status::kOk, {}, as_bytes("small"));
    replies.flush();
    EXPECT_EQ(queue.open_buffers(), 0u);
    const auto sent = queue.take();
    ASSERT_EQ(sent.size(), 3u);
    uint32_t large = 0;
    for (const auto& datagram : sent) {
      wire::Reader reader(datagram.payload, wire::Kind::kReply);
      wire::Message m;
      ASSERT_TRUE(reader.next(&m));
      EXPECT_EQ(reader.header().ring_version, 7u);
      if (m.header.sequence == 2) {
        ++large;
        EXPECT_TRUE(equal(m.value, as_bytes(value)));
        EXPECT_EQ(m.extras_as<wire::ItemExtras>()->item_flags, 9u);
      }
      EXPECT_FALSE(reader.next(&m));
      EXPECT_EQ(reader.error(), wire::ReadError::kNone);
    }
    EXPECT_EQ(large, 1u);
  }
}

TEST(Replies, WithoutABufferTheReplyIsDroppedAndCounted) {
  test::LoopbackQueue queue;
  queue.buffers_max = 0;
  Replies replies(&queue);
  replies.add(to(1000, 9, 1), wire::Status::kOk);
  replies.flush();
  EXPECT_TRUE(queue.take().empty());
  EXPECT_EQ(queue.counters().no_buffer, 1u);
}

}  // namespace
}  // namespace dinomo::kn
