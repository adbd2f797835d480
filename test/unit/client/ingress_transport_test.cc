// SPDX-License-Identifier: BSD-3-Clause
#include "client/ingress_transport.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <vector>

#include "test/support/loopback_ingress.h"

namespace dinomo::client {
namespace {

constexpr std::array<uint8_t, 6> kNextHop{2, 0, 0, 0, 0, 1};
constexpr std::array<uint8_t, 6> kServer{2, 0, 0, 0, 0, 9};

class IngressTransportTest : public ::testing::Test {
 protected:
  static IngressTransport::Local local() {
    IngressTransport::Local local;
    local.address = *parse_address("10.0.0.1:20000", 1);
    local.next_hop_mac = kNextHop;
    return local;
  }
  ingress::Peer from(const char* address) {
    const Address a = *parse_address(address, 1);
    ingress::Peer peer;
    peer.remote_address = a.ip;
    peer.remote_port = a.port;
    peer.remote_mac = kServer;
    return peer;
  }
  void send_one(LinkId link) {
    const MutableBytes buffer = transport_.allocate(link, 100);
    ASSERT_EQ(buffer.size(), 100u);
    transport_.send(7);
    transport_.flush();
  }

  test::LoopbackQueue queue_;
  IngressTransport transport_{&queue_, local()};
};

TEST_F(IngressTransportTest, AddressesWhatItSends) {
  const LinkId link = *transport_.open(*parse_address("10.0.0.2:11300", 1));
  EXPECT_EQ(*transport_.open(*parse_address("10.0.0.2:11300", 1)), link);
  send_one(link);
  const auto sent = queue_.take();
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].payload.size(), 7u);
  EXPECT_EQ(sent[0].peer.remote_port, 11300);
  EXPECT_EQ(sent[0].peer.local_port, 20000);
  EXPECT_EQ(sent[0].peer.local_address, local().address.ip);
  EXPECT_EQ(sent[0].peer.remote_mac, kNextHop);
}

TEST_F(IngressTransportTest, CarriesWhatIsLargerThanAFrame) {
  const LinkId link = *transport_.open(*parse_address("10.0.0.2:11300", 1));
  EXPECT_TRUE(transport_.allocate(link, ingress::kDatagramBytesMax + 1).empty());
  const MutableBytes buffer = transport_.allocate(link, 60'000);
  ASSERT_EQ(buffer.size(), 60'000u);
  std::fill(buffer.begin(), buffer.end(), std::byte{7});
  transport_.send(59'999);
  send_one(link);
  const auto sent = queue_.take();
  ASSERT_EQ(sent.size(), 2u);
  EXPECT_EQ(sent[0].payload, std::vector<std::byte>(59'999, std::byte{7}));
  EXPECT_EQ(sent[0].peer.remote_port, 11300);
  EXPECT_EQ(sent[1].payload.size(), 7u);
  EXPECT_EQ(queue_.open_buffers(), 0u);
}

TEST_F(IngressTransportTest, LearnsTheMacFromReplies) {
  const LinkId link = *transport_.open(*parse_address("10.0.0.2:11300", 1));
  queue_.put(from("10.0.0.2:11300"), as_bytes("reply"));
  std::array<Bytes, 8> in;
  ASSERT_EQ(transport_.receive(in), 1u);
  EXPECT_EQ(as_text(in[0]), "reply");
  send_one(link);
  EXPECT_EQ(queue_.take()[0].peer.remote_mac, kServer);
}

TEST_F(IngressTransportTest, ReceivesFromItsLinksOnlyAndGivesEverythingBack) {
  ASSERT_TRUE(transport_.open(*parse_address("10.0.0.2:11300", 1)).has_value());
  const LinkId second = *transport_.open(*parse_address("10.0.0.2:11301", 1));
  queue_.put(from("10.0.0.3:11300"), as_bytes("stranger"));
  queue_.put(from("10.0.0.2:11301"), as_bytes("mine"));
  std::array<Bytes, 8> in;
  ASSERT_EQ(transport_.receive(in), 1u);
  EXPECT_EQ(as_text(in[0]), "mine");
  EXPECT_EQ(transport_.counters().foreign, 1u);
  EXPECT_EQ(transport_.receive(in), 0u);
  EXPECT_EQ(queue_.held(), 0u);
  transport_.close(second);
  queue_.put(from("10.0.0.2:11301"), as_bytes("late"));
  EXPECT_EQ(transport_.receive(in), 0u);
}

TEST_F(IngressTransportTest, AnUnsentBufferIsTakenBack) {
  const LinkId link = *transport_.open(*parse_address("10.0.0.2:11300", 1));
  (void)transport_.allocate(link, 100);
  (void)transport_.allocate(link, 100);
  EXPECT_EQ(queue_.open_buffers(), 1u);
  transport_.send(10);
  EXPECT_EQ(queue_.open_buffers(), 0u);
}

TEST_F(IngressTransportTest, AnotherAddressFamilyIsUnreachable) {
  EXPECT_EQ(transport_.open(*parse_address("[fd00::2]:1", 1)).error(), Status::kUnreachable);
}

}  // namespace
}  // namespace dinomo::client
