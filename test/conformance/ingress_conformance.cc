// SPDX-License-Identifier: BSD-3-Clause
#include "test/conformance/ingress_conformance.h"

#include <poll.h>

#include <algorithm>
#include <array>

namespace dinomo::test {

namespace {

using ingress::Datagram;
using ingress::QueueCounters;
using ingress::TransmitBuffer;

constexpr int kEmptyTurnsMax = 2000;  // bounds every wait for something that does not come

bool readable(int descriptor) {
  pollfd p{.fd = descriptor, .events = POLLIN, .revents = 0};
  return poll(&p, 1, 0) > 0;
}

}  // namespace

void IngressConformance::SetUp() {
  workers_ = GetParam().workers;
  ingress::Config config;
  config.workers = workers_;
  config.queues = GetParam().queues;
  config.base_port = kBasePort;
  config.buffers = 4095;
  config.shared_port = kSharedPort;
  config.handover_slots = 256;
  config.rx_descriptors = 256;
  config.tx_descriptors = 256;
  config.addresses = {*ingress::parse_address("10.0.0.2/24"),
                      *ingress::parse_address("fd00::2/64")};
  std::string why;
  harness_ = GetParam().make(config, &why);
  ASSERT_NE(harness_, nullptr) << why;
}

Station IngressConformance::us(uint16_t worker, bool v6) const {
  return {harness_->ingress().endpoint().mac, ip(v6 ? "fd00::2" : "10.0.0.2"),
          static_cast<uint16_t>(kBasePort + worker)};
}

Station IngressConformance::them(bool v6) const {
  return {harness_->far_mac(), ip(v6 ? "fd00::9" : "10.0.0.9"), kRemotePort};
}

void IngressConformance::turn_of_others(uint16_t worker) {
  for (uint16_t w = 0; w < workers_; ++w) {
    if (w == worker) continue;
    std::array<Datagram, 32> in;
    const uint32_t n = queue(w).receive(in);
    queue(w).release(std::span(in).first(n));
    queue(w).flush();
  }
}

std::vector<Datagram> IngressConformance::receive(uint16_t worker, size_t count) {
  std::vector<Datagram> all;
  for (int empty = 0; all.size() < count && empty < kEmptyTurnsMax;) {
    turn_of_others(worker);
    std::array<Datagram, 32> in;
    const size_t room = std::min(in.size(), count - all.size());
    const uint32_t n = queue(worker).receive(std::span(in).first(room));
    queue(worker).flush();
    all.insert(all.end(), in.begin(), in.begin() + n);
    empty = n == 0 ? empty + 1 : 0;
  }
  return all;
}

void IngressConformance::flush_all() {
  for (uint16_t w = workers_; w-- != 0;) queue(w).flush();
}

bool IngressConformance::send_reply(uint16_t worker, const ingress::Peer& peer, Bytes payload) {
  const TransmitBuffer out = queue(worker).allocate(peer);
  if (!out || out.payload.size() < payload.size()) return false;
  std::ranges::copy(payload, out.payload.begin());
  queue(worker).send(out, payload.size());
  flush_all();
  return true;
}

QueueCounters IngressConformance::total() const {
  QueueCounters sum;
  for (uint16_t w = 0; w < workers_; ++w) {
    const QueueCounters& c = harness_->ingress().queue(w).counters();
    sum.datagrams_in += c.datagrams_in;
    sum.bytes_in += c.bytes_in;
    sum.datagrams_out += c.datagrams_out;
    sum.bytes_out += c.bytes_out;
    sum.handed_over_in += c.handed_over_in;
    sum.handed_over_out += c.handed_over_out;
    sum.dropped_malformed += c.dropped_malformed;
    sum.dropped_not_ours += c.dropped_not_ours;
    sum.dropped_checksum += c.dropped_checksum;
    sum.dropped_fragment += c.dropped_fragment;
    sum.fragments_out += c.fragments_out;
    sum.reassembled += c.reassembled;
    sum.dropped_full += c.dropped_full;
    sum.no_buffer += c.no_buffer;
    sum.answered_arp += c.answered_arp;
    sum.answered_ping += c.answered_ping;
    sum.answered_neighbour += c.answered_neighbour;
  }
  return sum;
}

TEST_P(IngressConformance, SaysWhatItIs) {
  const ingress::Capabilities& c = harness_->ingress().capabilities();
  EXPECT_FALSE(c.port.empty());
  EXPECT_GE(c.rx_queues, 1);
  EXPECT_LE(c.rx_queues, GetParam().queues);
  EXPECT_EQ(c.steering == ingress::Steering::kSingle, workers_ == 1);
  EXPECT_EQ(c.steering_why.empty(), workers_ == 1 || c.steering == ingress::Steering::kHardware);
  EXPECT_GE(c.payload_bytes_max(false), 1472);
}

TEST_P(IngressConformance, EverySizeArrivesAndItsReplyComesBack) {
  for (const bool v6 : {false, true}) {
    const size_t largest = v6 ? 1452 : 1472;
    for (size_t n = 0; n <= largest; n += n < 80 || n + 11 > largest ? 1 : 11) {
      const Frame payload = bytes(n, static_cast<uint8_t>(n));
      ASSERT_TRUE(harness_->send(them(v6), us(0, v6), payload)) << n;
      auto in = receive(0, 1);
      ASSERT_EQ(in.size(), 1u) << n;
      ASSERT_TRUE(equal(in[0].payload, payload)) << n;
      ASSERT_EQ(in[0].peer.remote_port, kRemotePort);
      ASSERT_EQ(in[0].peer.local_port, kBasePort);
      ASSERT_EQ(in[0].peer.remote_address, them(v6).ip);
      const ingress::Peer peer = in[0].peer;
      queue(0).release(in);
      Frame reply = bytes(n, static_cast<uint8_t>(n + 1));
      ASSERT_TRUE(send_reply(0, peer, reply)) << n;
      const auto got = harness_->receive();
      ASSERT_TRUE(got.has_value()) << n;
      ASSERT_EQ(got->payload, reply) << n;
      ASSERT_EQ(got->to.port, kRemotePort);
      ASSERT_EQ(got->from.port, kBasePort);
      ASSERT_EQ(got->to.ip, them(v6).ip);
      ASSERT_EQ(got->from.ip, us(0, v6).ip);
      ASSERT_EQ(got->to.mac, harness_->far_mac());
    }
  }
  const QueueCounters c = total();
  EXPECT_EQ(c.datagrams_in, c.datagrams_out);
  EXPECT_EQ(c.bytes_in, c.bytes_out);
  EXPECT_EQ(c.dropped_malformed + c.dropped_checksum + c.dropped_full + c.no_buffer, 0u);
}

TEST_P(IngressConformance, LargeDatagramsArriveAndTheirRepliesComeBack) {
  uint32_t id = 100;
  for (const bool v6 : {false, true}) {
    for (const size_t n :
         {1473ul, 1473ul + 1480ul, 20'001ul, 61'528ul, ingress::kDatagramBytesMax}) {
      for (uint16_t w = 0; w < workers_; ++w) {
        const Frame payload = bytes(n, static_cast<uint8_t>(n + w));
        ASSERT_TRUE(harness_->send_large(them(v6), us(w, v6), payload, ++id)) << n;
        auto in = receive(w, 1);
        ASSERT_EQ(in.size(), 1u) << n << " to worker " << w;
        ASSERT_TRUE(equal(in[0].payload, payload)) << n;
        EXPECT_EQ(in[0].peer.remote_port, kRemotePort);
        EXPECT_EQ(in[0].peer.local_port, kBasePort + w);
        const ingress::Peer peer = in[0].peer;
        const Bytes whole = in[0].payload;
        const std::array<Bytes, 4> pieces{whole.first(33), whole.subspan(33, 0),
                                          whole.subspan(33, 700), whole.subspan(733)};
        ASSERT_TRUE(queue(w).send_pieces(peer, pieces));
        queue(w).release(in);
        flush_all();
        const auto got = harness_->receive_large();
        ASSERT_TRUE(got.has_value()) << n;
        ASSERT_EQ(got->payload, payload) << n;
        EXPECT_EQ(got->to.port, kRemotePort);
        EXPECT_EQ(got->from.port, kBasePort + w);
        EXPECT_EQ(got->to.ip, them(v6).ip);
      }
    }
  }
  const QueueCounters c = total();
  EXPECT_EQ(c.reassembled, c.datagrams_in);
  EXPECT_EQ(c.datagrams_in, c.datagrams_out);
  EXPECT_EQ(c.bytes_in, c.bytes_out);
  EXPECT_EQ(c.dropped_fragment + c.dropped_full + c.no_buffer + c.dropped_checksum, 0u);
}

TEST_P(IngressConformance, PiecesThatFitAFrameAreOne) {
  ASSERT_TRUE(harness_->send(them(), us(0), bytes(8, 1)));
  auto in = receive(0, 1);
  ASSERT_EQ(in.size(), 1u);
  const Frame payload = bytes(1472, 5);
  const std::array<Bytes, 2> pieces{Bytes(payload).first(1), Bytes(payload).subspan(1)};
  ASSERT_TRUE(queue(0).send_pieces(in[0].peer, pieces));
  queue(0).release(in);
  flush_all();
  const auto got = harness_->receive();
  ASSERT_TRUE(got.has_value());
  EXPECT_EQ(got->payload, payload);
  EXPECT_EQ(total().fragments_out, 0u);
  const Frame too_much = bytes(ingress::kDatagramBytesMax + 1, 5);
  const Bytes whole(too_much);
  EXPECT_FALSE(queue(0).send_pieces({}, std::span(&whole, 1)));
}

TEST_P(IngressConformance, HeldLargeDatagramsAreBoundedAndComeBack) {
  std::vector<Datagram> held;
  const Frame payload = bytes(3000, 1);
  const uint32_t limit = 4000;
  uint32_t id = 1;
  while (held.size() < limit) {
    ASSERT_TRUE(harness_->send_large(them(), us(0), payload, ++id));
    auto in = receive(0, 1);
    if (in.empty()) break;
    held.push_back(in[0]);
  }
  ASSERT_LT(held.size(), limit) << "memory without end";
  EXPECT_GE(held.size(), 64u);
  for (const Datagram& d : held) ASSERT_TRUE(equal(d.payload, payload));
  queue(0).release(held);
  ASSERT_TRUE(harness_->send_large(them(), us(0), payload, ++id));
  auto in = receive(0, 1);
  ASSERT_EQ(in.size(), 1u);
  queue(0).release(in);
}

TEST_P(IngressConformance, FragmentsThatNeverCompleteStopNobody) {
  if (!harness_->has_frames()) GTEST_SKIP() << "carries no frames";
  for (uint32_t id = 0; id < 500; ++id) {
    Station from = them();
    from.ip[15] = static_cast<uint8_t>(20 + id % 200);
    ASSERT_TRUE(harness_->inject(udp_fragments(from, us(0), bytes(3000, 1), 1000 + id)[0]));
    std::array<Datagram, 32> in;
    ASSERT_EQ(queue(0).receive(in), 0u);
  }
  const Frame payload = bytes(61'440, 7);
  ASSERT_TRUE(harness_->send_large(them(), us(0), payload, 77));
  auto in = receive(0, 1);
  ASSERT_EQ(in.size(), 1u);
  EXPECT_TRUE(equal(in[0].payload, payload));
  queue(0).release(in);
}

TEST_P(IngressConformance, PeersAreValuesAndCanBeAnsweredLater) {
  constexpr uint16_t kPeers = 100;
  std::vector<ingress::Peer> peers;
  for (uint16_t i = 0; i < kPeers; ++i) {
    Station from = them(i % 2 == 1);
    from.port = static_cast<uint16_t>(1000 + i);
    from.ip[15] = static_cast<uint8_t>(100 + i);
    ASSERT_TRUE(harness_->send(from, us(0, i % 2 == 1), object_bytes(i)));
    auto in = receive(0, 1);
    ASSERT_EQ(in.size(), 1u);
    peers.push_back(in[0].peer);
    queue(0).release(in);
  }
  for (uint16_t i = kPeers; i-- != 0;) {
    ASSERT_TRUE(send_reply(0, peers[i], object_bytes(i)));
    const auto got = harness_->receive();
    ASSERT_TRUE(got.has_value());
    EXPECT_EQ(got->to.port, 1000 + i);
    EXPECT_EQ(got->to.ip[15], 100 + i);
    EXPECT_EQ(load<uint16_t>(got->payload.data()), i);
  }
}

TEST_P(IngressConformance, OrderOfAFlowIsKept) {
  constexpr uint16_t kCount = 100;
  for (uint16_t i = 0; i < kCount; ++i) {
    ASSERT_TRUE(harness_->send(them(), us(0), object_bytes(i)));
  }
  auto in = receive(0, kCount);
  ASSERT_EQ(in.size(), kCount);
  for (uint16_t i = 0; i < kCount; ++i) EXPECT_EQ(load<uint16_t>(in[i].payload.data()), i);
  queue(0).release(in);
}

TEST_P(IngressConformance, ExhaustedBuffersAreCountedAndComeBack) {
  ASSERT_TRUE(harness_->send(them(), us(0), bytes(8, 1)));
  auto in = receive(0, 1);
  ASSERT_EQ(in.size(), 1u);
  const ingress::Peer peer = in[0].peer;
  queue(0).release(in);
  std::vector<TransmitBuffer> held;
  const uint32_t limit = harness_->ingress().capabilities().buffers + 1;
  while (held.size() < limit) {
    const TransmitBuffer b = queue(0).allocate(peer);
    if (!b) break;
    held.push_back(b);
  }
  ASSERT_LT(held.size(), limit);
  EXPECT_GT(held.size(), 64u);
  EXPECT_EQ(queue(0).counters().no_buffer, 1u);
  EXPECT_TRUE(queue(0).allocate(peer).payload.empty());
  EXPECT_EQ(queue(0).counters().no_buffer, 2u);
  for (const TransmitBuffer& b : held) queue(0).drop(b);
  const Frame reply = bytes(100, 2);
  ASSERT_TRUE(send_reply(0, peer, reply));
  const auto got = harness_->receive();
  ASSERT_TRUE(got.has_value());
  EXPECT_EQ(got->payload, reply);
}

TEST_P(IngressConformance, ReleaseIsWhatGivesBuffersBack) {
  // Held datagrams stay intact and take buffers; once they run out nothing more is delivered, until
  // some are released.
  std::vector<Datagram> held;
  const uint32_t limit = harness_->ingress().capabilities().buffers + 1;
  uint32_t sent = 0;
  while (held.size() < limit) {
    if (!harness_->send(them(), us(0), object_bytes(sent))) break;
    ++sent;
    auto in = receive(0, 1);
    if (in.empty()) break;
    held.push_back(in[0]);
  }
  ASSERT_LT(held.size(), limit) << "buffers without end";
  ASSERT_GT(held.size(), 64u);
  for (uint32_t i = 0; i < held.size(); ++i) {
    ASSERT_EQ(load<uint32_t>(held[i].payload.data()), i) << "a held datagram was overwritten";
  }
  queue(0).release(held);
  std::vector<Datagram> late = receive(0, 1);  // what waited in the port, if it waits there
  queue(0).release(late);
  const uint32_t again = 0xabcd;
  ASSERT_TRUE(harness_->send(them(), us(0), object_bytes(again)));
  auto in = receive(0, 1);
  ASSERT_EQ(in.size(), 1u);
  EXPECT_EQ(load<uint32_t>(in[0].payload.data()), again);
  queue(0).release(in);
}

TEST_P(IngressConformance, TooLongASendIsRefused) {
  ASSERT_TRUE(harness_->send(them(), us(0), bytes(8, 1)));
  auto in = receive(0, 1);
  ASSERT_EQ(in.size(), 1u);
  const TransmitBuffer out = queue(0).allocate(in[0].peer);
  ASSERT_TRUE(out);
  EXPECT_EQ(out.payload.size(), harness_->ingress().capabilities().payload_bytes_max(false));
  queue(0).send(out, out.payload.size() + 1);
  queue(0).release(in);
  flush_all();
  EXPECT_FALSE(harness_->receive().has_value());
  EXPECT_EQ(total().datagrams_out, 0u);
}

TEST_P(IngressConformance, EveryWorkerGetsItsOwnByEveryPath) {
  const uint16_t paths = harness_->ingress().capabilities().rx_queues;
  for (uint16_t path = 0; path < paths; ++path) {
    for (uint16_t w = 0; w < workers_; ++w) {
      const Frame payload = bytes(50, static_cast<uint8_t>(w));
      ASSERT_TRUE(harness_->send(them(), us(w), payload, path));
      auto in = receive(w, 1);
      ASSERT_EQ(in.size(), 1u) << "worker " << w << " by path " << path;
      EXPECT_EQ(in[0].peer.local_port, kBasePort + w);
      EXPECT_TRUE(equal(in[0].payload, payload));
      const ingress::Peer peer = in[0].peer;
      queue(w).release(in);
      ASSERT_TRUE(send_reply(w, peer, payload));
      const auto got = harness_->receive();
      ASSERT_TRUE(got.has_value()) << "reply of worker " << w;
      EXPECT_EQ(got->from.port, kBasePort + w);
    }
  }
  const QueueCounters c = total();
  EXPECT_EQ(c.handed_over_in, c.handed_over_out);
  EXPECT_EQ(c.datagrams_in, uint64_t{paths} * workers_);
  EXPECT_EQ(c.handed_over_in, uint64_t{paths} * (workers_ - 1u));
}

TEST_P(IngressConformance, WhoeverReceivesOnTheSharedPortKeepsIt) {
  const uint16_t paths = harness_->ingress().capabilities().rx_queues;
  Station to = us(0);
  to.port = kSharedPort;
  for (uint16_t path = 0; path < paths; ++path) {
    for (const size_t size : {size_t{50}, size_t{5000}}) {
      const Frame payload = bytes(size, static_cast<uint8_t>(path));
      ASSERT_TRUE(size > 1400 ? harness_->send_large(them(), to, payload, 1 + path)
                              : harness_->send(them(), to, payload, path));
      // Whichever worker it is, it answers from that port.
      bool answered = false;
      for (int turn = 0; turn < kEmptyTurnsMax && !answered; ++turn) {
        for (uint16_t w = 0; w < workers_; ++w) {
          std::array<Datagram, 4> in;
          const uint32_t n = queue(w).receive(in);
          if (n == 0) continue;
          ASSERT_EQ(n, 1u);
          EXPECT_EQ(in[0].peer.local_port, kSharedPort);
          EXPECT_TRUE(equal(in[0].payload, payload));
          const ingress::Peer peer = in[0].peer;
          queue(w).release(std::span(in).first(n));
          answered = send_reply(w, peer, bytes(20, 1));
        }
      }
      ASSERT_TRUE(answered) << "by path " << path;
      const auto got = harness_->receive();
      ASSERT_TRUE(got.has_value());
      EXPECT_EQ(got->from.port, kSharedPort);
    }
  }
  EXPECT_EQ(total().handed_over_in, 0u);
}

TEST_P(IngressConformance, FullHandoverDropsAndCounts) {
  if (workers_ < 2) GTEST_SKIP() << "one worker hands nothing over";
  constexpr uint64_t kSent = 700;
  std::array<Datagram, 32> in;
  for (uint64_t i = 0; i < kSent; ++i) {
    ASSERT_TRUE(harness_->send(them(), us(1), object_bytes(i), 0));
    ASSERT_EQ(queue(0).receive(in), 0u);
  }
  for (int i = 0; i < kEmptyTurnsMax && total().handed_over_out + total().dropped_full < kSent;
       ++i) {
    ASSERT_EQ(queue(0).receive(in), 0u);
  }
  const QueueCounters c = total();
  EXPECT_EQ(c.handed_over_out + c.dropped_full, kSent);
  EXPECT_GE(c.handed_over_out, 255u);
  EXPECT_GT(c.dropped_full, 0u);
  auto got = receive(1, kSent);
  EXPECT_EQ(got.size(), c.handed_over_out);
  for (uint64_t i = 0; i < got.size(); ++i) EXPECT_EQ(load<uint64_t>(got[i].payload.data()), i);
  queue(1).release(got);
}

TEST_P(IngressConformance, NeitherWayStarvesTheOther) {
  if (workers_ < 2 || harness_->ingress().capabilities().rx_queues < 2) {
    GTEST_SKIP() << "needs a worker that has both a receive queue and a hand-over ring";
  }
  std::array<Datagram, 32> in;
  for (int i = 0; i < 64; ++i) {
    ASSERT_TRUE(harness_->send(them(), us(1), bytes(10, 1), 0));
    ASSERT_TRUE(harness_->send(them(), us(1), bytes(10, 1), 1));
  }
  for (int i = 0; i < 8; ++i) ASSERT_EQ(queue(0).receive(in), 0u);
  for (const size_t room : {1ul, 2ul, 32ul}) {
    const uint64_t handed = queue(1).counters().handed_over_in;
    const uint64_t all = queue(1).counters().datagrams_in;
    for (int i = 0; i < 2; ++i) {
      const uint32_t n = queue(1).receive(std::span(in).first(room));
      ASSERT_EQ(n, room);
      queue(1).release(std::span(in).first(n));
    }
    const uint64_t handed_now = queue(1).counters().handed_over_in - handed;
    EXPECT_GT(handed_now, 0u) << room;
    EXPECT_LT(handed_now, queue(1).counters().datagrams_in - all) << room;
  }
}

TEST_P(IngressConformance, ArmedWorkerIsWokenByItsPortAndByOthers) {
  ingress::Ingress& ingress = harness_->ingress();
  std::array<Datagram, 32> in;
  for (uint16_t w = 0; w < workers_; ++w) {
    ingress::WaitSource& wait = ingress.wait_source(w);
    if (wait.descriptor() < 0) continue;  // says itself that it must be polled
    ASSERT_TRUE(wait.arm());
    ASSERT_EQ(queue(w).receive(in), 0u);
    EXPECT_FALSE(readable(wait.descriptor())) << w;
    ASSERT_TRUE(harness_->send(them(), us(w), bytes(4, 1), 0));
    bool woken = false;
    for (int i = 0; i < kEmptyTurnsMax && !woken; ++i) {
      if (w != 0) ASSERT_EQ(queue(0).receive(in), 0u);  // worker 0 polls the port and hands over
      woken = readable(wait.descriptor());
    }
    EXPECT_TRUE(woken) << w;
    wait.disarm();
    auto got = receive(w, 1);
    EXPECT_EQ(got.size(), 1u);
    queue(w).release(got);
  }
}

TEST_P(IngressConformance, WorkBeforeArmingIsFoundByTheTurnAfterIt) {
  if (workers_ < 2) GTEST_SKIP() << "one worker hands nothing over";
  std::array<Datagram, 32> in;
  ASSERT_TRUE(harness_->send(them(), us(1), bytes(4, 1), 0));
  for (int i = 0; i < kEmptyTurnsMax && total().handed_over_out == 0; ++i) {
    ASSERT_EQ(queue(0).receive(in), 0u);
  }
  ASSERT_TRUE(harness_->ingress().wait_source(1).arm());
  EXPECT_EQ(queue(1).receive(in), 1u);
  queue(1).release(std::span(in).first(1));
  harness_->ingress().wait_source(1).disarm();
}

TEST_P(IngressConformance, AnswersArpPingAndNeighbourSolicitation) {
  if (!harness_->has_frames()) GTEST_SKIP() << "carries no frames";
  const auto answer_to = [this](const Frame& request) {
    EXPECT_TRUE(harness_->inject(request));
    std::array<Datagram, 32> in;
    Frame reply;
    for (int i = 0; i < 100 && reply.empty(); ++i) {
      EXPECT_EQ(queue(0).receive(in), 0u);
      flush_all();
      reply = harness_->capture();
    }
    EXPECT_LE(reply.size(), std::max<size_t>(request.size(), 60));
    return reply;
  };
  Frame reply = answer_to(arp_request(them(), us(0).ip));
  ASSERT_GE(reply.size(), 42u);
  EXPECT_EQ(be16(reply, 12), 0x0806);
  EXPECT_EQ(be16(reply, 20), 2);
  reply = answer_to(echo_request(them(), us(0), bytes(56, 3)));
  ASSERT_GE(reply.size(), 42u);
  EXPECT_EQ(be16(reply, 34), 0);
  reply = answer_to(solicitation(them(true), us(0, true).ip));
  ASSERT_GE(reply.size(), 86u);
  EXPECT_EQ(be16(reply, 54), 136 << 8);
  reply = answer_to(echo_request(them(true), us(0, true), bytes(56, 3)));
  ASSERT_GE(reply.size(), 62u);
  EXPECT_EQ(be16(reply, 54), 129 << 8);
  const QueueCounters c = total();
  EXPECT_EQ(c.answered_arp, 1u);
  EXPECT_EQ(c.answered_ping, 2u);
  EXPECT_EQ(c.answered_neighbour, 1u);
  EXPECT_EQ(c.datagrams_in, 0u);
}

TEST_P(IngressConformance, DropsWhatItMustAndCountsIt) {
  if (!harness_->has_frames()) GTEST_SKIP() << "carries no frames";
  Frame truncated = udp_frame(them(), us(0), bytes(40, 1));
  truncated.resize(60);
  Frame fragment = udp_frame(them(), us(0), bytes(40, 1));
  put16(&fragment, 20, 0x2000);
  put16(&fragment, 24, 0);
  put16(&fragment, 24, internet_checksum(Bytes(fragment).subspan(14, 20)));
  Frame broken = udp_frame(them(), us(0), bytes(40, 1));
  broken.back() ^= std::byte{1};
  Station elsewhere = us(0);
  elsewhere.port = static_cast<uint16_t>(kBasePort + workers_);
  const Frame not_ours = udp_frame(them(), elsewhere, bytes(40, 1));
  for (const Frame& f : {truncated, fragment, broken, not_ours}) ASSERT_TRUE(harness_->inject(f));
  ASSERT_TRUE(harness_->send(them(), us(0), bytes(3, 1)));
  auto in = receive(0, 1);
  ASSERT_EQ(in.size(), 1u);
  EXPECT_EQ(in[0].payload.size(), 3u);
  queue(0).release(in);
  const QueueCounters c = total();
  EXPECT_EQ(c.dropped_malformed, 1u);
  EXPECT_EQ(c.dropped_fragment, 1u);
  EXPECT_EQ(c.dropped_checksum, 1u);
  EXPECT_EQ(c.dropped_not_ours, 1u);
}

}  // namespace dinomo::test
