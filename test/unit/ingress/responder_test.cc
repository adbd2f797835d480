// SPDX-License-Identifier: BSD-3-Clause
#include "ingress/responder.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "test/support/frames.h"

namespace dinomo::ingress {
namespace {

using test::Frame;
using test::ip;
using test::Station;

const MacAddress kOurMac{2, 0, 0, 0, 0, 1};
const MacAddress kTheirMac{2, 0, 0, 0, 0, 9};

Endpoint endpoint() {
  Endpoint us;
  us.mac = kOurMac;
  us.base_port = 9000;
  us.ports = 4;
  us.add(*parse_address("10.0.0.2/24"));
  us.add(*parse_address("fd00::2/64"));
  return us;
}

const Endpoint kUs = endpoint();
const Station kUs4{kOurMac, ip("10.0.0.2"), 9001};
const Station kUs6{kOurMac, ip("fd00::2"), 9001};
const Station kThem4{kTheirMac, ip("10.0.0.9"), 4444};
const Station kThem6{kTheirMac, ip("fd00::9"), 4444};

Verdict sort(Bytes frame, Vouched vouched = {}) {
  Datagram d;
  Fragment fragment;
  return sort_frame(frame, kUs, vouched, &d, &fragment);
}

struct Family {
  Station us;
  Station them;
  size_t l4;  // where UDP or ICMP starts
};

class BothFamilies : public testing::TestWithParam<Family> {};
INSTANTIATE_TEST_SUITE_P(Ip, BothFamilies,
                         testing::Values(Family{kUs4, kThem4, 34}, Family{kUs6, kThem6, 54}),
                         [](const auto& info) { return info.index == 0 ? "v4" : "v6"; });

TEST_P(BothFamilies, DatagramKeepsPeerAndPayload) {
  const auto& [us, them, l4] = GetParam();
  for (size_t n : {0, 1, 2, 3, 7, 64, 1023, 1452}) {
    const Frame payload = test::bytes(n, 3);
    const Frame frame = test::udp_frame(them, us, payload);
    Datagram d;
    Fragment fragment;
    ASSERT_EQ(sort_frame(frame, kUs, {}, &d, &fragment), Verdict::kDatagram) << n;
    EXPECT_EQ(d.peer.remote_address, them.ip);
    EXPECT_EQ(d.peer.local_address, us.ip);
    EXPECT_EQ(d.peer.remote_mac, them.mac);
    EXPECT_EQ(d.peer.remote_port, 4444);
    EXPECT_EQ(d.peer.local_port, 9001);
    EXPECT_TRUE(equal(d.payload, payload));
  }
}

TEST_P(BothFamilies, EthernetPaddingIsNotPayload) {
  const auto& [us, them, l4] = GetParam();
  Frame frame = test::udp_frame(them, us, test::bytes(1, 3));
  frame.resize(frame.size() + 20);
  Datagram d;
  Fragment fragment;
  ASSERT_EQ(sort_frame(frame, kUs, {}, &d, &fragment), Verdict::kDatagram);
  EXPECT_EQ(d.payload.size(), 1u);
}

TEST_P(BothFamilies, HeadersWrittenReadBack) {
  const auto& [us, them, l4] = GetParam();
  Datagram d;
  Fragment fragment;
  const Frame request = test::udp_frame(them, us, test::bytes(5, 1));
  ASSERT_EQ(sort_frame(request, kUs, {}, &d, &fragment), Verdict::kDatagram);
  for (size_t n : {0, 1, 2, 3, 4, 5, 63, 64, 65, 1000, 1452}) {
    const Frame payload = test::bytes(n, 8);
    Frame reply(header_bytes(d.peer) + n);
    std::ranges::copy(payload, reply.begin() + static_cast<long>(header_bytes(d.peer)));
    write_headers(reply.data(), d.peer, kOurMac, n, ChecksumWork::kFull);
    const auto read = test::read_udp(reply);
    ASSERT_TRUE(read.has_value()) << n;
    EXPECT_EQ(read->from.ip, us.ip);
    EXPECT_EQ(read->to.ip, them.ip);
    EXPECT_EQ(read->from.mac, kOurMac);
    EXPECT_EQ(read->to.mac, them.mac);
    EXPECT_EQ(read->from.port, 9001);
    EXPECT_EQ(read->to.port, 4444);
    EXPECT_EQ(read->payload, payload);
  }
}

TEST_P(BothFamilies, PseudoSumIsWhatThePortNeeds) {
  const auto& [us, them, l4] = GetParam();
  const Peer peer{.remote_address = them.ip,
                  .local_address = us.ip,
                  .remote_mac = them.mac,
                  .remote_port = 4444,
                  .local_port = 9001,
                  .port_id = 0};
  const Frame payload = test::bytes(100, 8);
  Frame reply(header_bytes(peer) + payload.size());
  std::ranges::copy(payload, reply.begin() + static_cast<long>(header_bytes(peer)));
  write_headers(reply.data(), peer, kOurMac, payload.size(), ChecksumWork::kPseudoOnly);
  // A port sums the segment as it stands, checksum field included, and stores the complement.
  const uint16_t completed = test::internet_checksum(Bytes(reply).subspan(l4));
  test::put16(&reply, l4 + 6, completed != 0 ? completed : 0xffff);
  if (l4 == 34) test::put16(&reply, 24, test::internet_checksum(Bytes(reply).subspan(14, 20)));
  EXPECT_TRUE(test::read_udp(reply).has_value());
}

TEST_P(BothFamilies, NoUdpChecksumOnlyOnIpv4) {
  const auto& [us, them, l4] = GetParam();
  const Peer peer{.remote_address = them.ip,
                  .local_address = us.ip,
                  .remote_mac = them.mac,
                  .remote_port = 4444,
                  .local_port = 9001,
                  .port_id = 0};
  Frame reply(header_bytes(peer) + 10);
  write_headers(reply.data(), peer, kOurMac, 10, ChecksumWork::kNoUdp);
  EXPECT_EQ(test::be16(reply, l4 + 6) == 0, l4 == 34);
}

TEST_P(BothFamilies, EveryFlippedBitOfADatagramIsNoticed) {
  const auto& [us, them, l4] = GetParam();
  const Frame good = test::udp_frame(them, us, test::bytes(32, 5));
  Datagram d;
  Fragment fragment;
  for (size_t bit = 14 * 8; bit < good.size() * 8; ++bit) {
    Frame bad = good;
    bad[bit / 8] ^= std::byte{1} << (bit % 8);
    const bool flow_label = l4 == 54 && bit / 8 < 18;  // traffic class, flow label: unprotected
    const bool hop_limit = l4 == 54 && bit / 8 == 21;
    const Verdict v = sort_frame(bad, kUs, {}, &d, &fragment);
    if ((flow_label && bit / 8 != 14) || (flow_label && bit % 8 < 4) || hop_limit) {
      EXPECT_EQ(v, Verdict::kDatagram) << bit;
    } else {
      EXPECT_NE(v, Verdict::kDatagram) << bit;
    }
  }
}

TEST_P(BothFamilies, WrongChecksumPassesOnlyIfVouchedFor) {
  const auto& [us, them, l4] = GetParam();
  Frame frame = test::udp_frame(them, us, test::bytes(32, 5));
  frame.back() ^= std::byte{1};
  EXPECT_EQ(sort(frame), Verdict::kChecksum);
  EXPECT_EQ(sort(frame, {.ip_header = true, .udp = false}), Verdict::kChecksum);
  EXPECT_EQ(sort(frame, {.ip_header = true, .udp = true}), Verdict::kDatagram);
}

TEST_P(BothFamilies, ZeroChecksumIsLegalOnIpv4Only) {
  const auto& [us, them, l4] = GetParam();
  Frame frame = test::udp_frame(them, us, test::bytes(32, 5));
  test::put16(&frame, l4 + 6, 0);
  EXPECT_EQ(sort(frame), l4 == 34 ? Verdict::kDatagram : Verdict::kChecksum);
}

TEST_P(BothFamilies, TruncationsNeverPass) {
  const auto& [us, them, l4] = GetParam();
  const Frame datagram = test::udp_frame(them, us, test::bytes(32, 5));
  const Frame ping = test::echo_request(them, us, test::bytes(32, 5));
  Datagram d;
  Fragment fragment;
  for (const Frame& whole : {datagram, ping}) {
    for (size_t n = 0; n < whole.size(); ++n) {
      const Frame cut(whole.begin(), whole.begin() + static_cast<long>(n));  // exact for ASan
      const Verdict v = sort_frame(cut, kUs, {.ip_header = true, .udp = true}, &d, &fragment);
      EXPECT_EQ(v, Verdict::kMalformed) << n;
    }
  }
}

TEST_P(BothFamilies, OtherPortsAndProtocolsAreNotOurs) {
  const auto& [us, them, l4] = GetParam();
  for (uint16_t port : {8999, 9004, 0, 65535}) {
    Station to = us;
    to.port = port;
    EXPECT_EQ(sort(test::udp_frame(them, to, test::bytes(4, 1))), Verdict::kNotOurs) << port;
  }
  EXPECT_EQ(sort(test::ip_frame(them, us, 6, test::bytes(20, 1))), Verdict::kNotOurs);
  Station other = us;
  other.ip[15] ^= 7;
  EXPECT_EQ(sort(test::udp_frame(them, other, test::bytes(4, 1))), Verdict::kNotOurs);
  other = us;
  other.mac[5] ^= 7;
  EXPECT_EQ(sort(test::udp_frame(them, other, test::bytes(4, 1))), Verdict::kNotOurs);
  other.mac = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
  EXPECT_EQ(sort(test::udp_frame(them, other, test::bytes(4, 1))), Verdict::kNotOurs);
}

TEST_P(BothFamilies, ImpossibleSourcesGetNothing) {
  const auto& [us, them, l4] = GetParam();
  const bool v4 = l4 == 34;
  const std::vector<std::string> sources =
      v4 ? std::vector<std::string>{"0.0.0.0",    "127.0.0.1", "224.0.0.1", "255.255.255.255",
                                    "10.0.0.255", "10.0.0.2",  "240.0.0.1"}
         : std::vector<std::string>{"::", "::1", "ff02::1", "fd00::2"};
  for (const std::string& text : sources) {
    Station from = them;
    from.ip = ip(text);
    EXPECT_EQ(sort(test::udp_frame(from, us, test::bytes(4, 1))), Verdict::kMalformed) << text;
    EXPECT_EQ(sort(test::echo_request(from, us, test::bytes(4, 1))), Verdict::kMalformed) << text;
  }
  Station from = them;
  from.mac = {1, 0, 0, 0, 0, 1};
  EXPECT_EQ(sort(test::udp_frame(from, us, test::bytes(4, 1))), Verdict::kMalformed);
  from.mac = {};
  EXPECT_EQ(sort(test::udp_frame(from, us, test::bytes(4, 1))), Verdict::kMalformed);
  from = them;
  from.port = 0;
  EXPECT_EQ(sort(test::udp_frame(from, us, test::bytes(4, 1))), Verdict::kMalformed);
}

TEST_P(BothFamilies, PingIsAnsweredInFull) {
  const auto& [us, them, l4] = GetParam();
  for (size_t n : {0, 1, 56, 1400}) {
    const Frame data = test::bytes(n, 9);
    Frame frame = test::echo_request(them, us, data);
    const Frame request = frame;
    frame.resize(frame.size() + 6);  // padding of a short frame
    ASSERT_EQ(sort(frame), Verdict::kPing) << n;
    ASSERT_EQ(answer(frame, kUs, Verdict::kPing), request.size());
    frame.resize(request.size());
    Frame expected = test::echo_request(us, them, data);
    expected[l4] = l4 == 34 ? std::byte{0} : std::byte{129};
    test::put16(&expected, l4 + 2, 0);
    const Bytes segment = Bytes(expected).subspan(l4);
    test::put16(&expected, l4 + 2,
                l4 == 34 ? test::internet_checksum(segment)
                         : test::segment_checksum(us.ip, them.ip, 58, segment));
    if (l4 == 34) {  // our own id is 0
      test::put16(&expected, 18, 0);
      test::put16(&expected, 24, 0);
      test::put16(&expected, 24, test::internet_checksum(Bytes(expected).subspan(14, 20)));
    }
    EXPECT_EQ(frame, expected) << n;
  }
}

TEST_P(BothFamilies, BrokenPingIsNotAnswered) {
  const auto& [us, them, l4] = GetParam();
  Frame frame = test::echo_request(them, us, test::bytes(16, 9));
  frame.back() ^= std::byte{1};
  EXPECT_EQ(sort(frame, {.ip_header = true, .udp = true}), Verdict::kChecksum);
  Station group = us;
  group.mac = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
  EXPECT_EQ(sort(test::echo_request(them, group, test::bytes(16, 9))), Verdict::kNotOurs);
}

TEST(Ipv4, OptionsAndFragmentsAreDroppedApart) {
  Frame options = test::udp_frame(kThem4, kUs4, test::bytes(8, 1));
  options[14] = std::byte{0x46};
  EXPECT_EQ(sort(options), Verdict::kMalformed);
  for (uint16_t field : {0x2000, 0x0001, 0x1fff}) {
    Frame fragment = test::udp_frame(kThem4, kUs4, test::bytes(8, 1));
    test::put16(&fragment, 20, field);
    test::put16(&fragment, 24, 0);
    test::put16(&fragment, 24, test::internet_checksum(Bytes(fragment).subspan(14, 20)));
    EXPECT_EQ(sort(fragment), Verdict::kFragment);
  }
}

TEST(Ipv6, ExtensionHeadersAndFragmentsAreDroppedApart) {
  for (uint8_t next : {0, 43, 60}) {
    EXPECT_EQ(sort(test::ip_frame(kThem6, kUs6, next, test::bytes(16, 1))), Verdict::kMalformed);
  }
  EXPECT_EQ(sort(test::fragment_frame(kThem6, kUs6, test::bytes(16, 1), 5, 0, true)),
            Verdict::kFragment);
  EXPECT_EQ(sort(test::ip_frame(kThem6, kUs6, 44, test::bytes(7, 1))), Verdict::kMalformed);
  EXPECT_EQ(sort(test::ip_frame(kThem6, kUs6, 44, test::bytes(16, 58))), Verdict::kNotOurs);
}

TEST(Arp, RequestForUsIsAnswered) {
  Frame frame = test::arp_request(kThem4, kUs4.ip);
  frame.resize(60);
  ASSERT_EQ(sort(frame), Verdict::kArp);
  ASSERT_EQ(answer(frame, kUs, Verdict::kArp), 42u);
  EXPECT_EQ(load<MacAddress>(frame.data()), kTheirMac);
  EXPECT_EQ(load<MacAddress>(frame.data() + 6), kOurMac);
  EXPECT_EQ(test::be16(frame, 20), 2);
  EXPECT_EQ(load<MacAddress>(frame.data() + 22), kOurMac);
  EXPECT_EQ(mapped_ipv4(load<uint32_t>(frame.data() + 28)), kUs4.ip);
  EXPECT_EQ(load<MacAddress>(frame.data() + 32), kTheirMac);
  EXPECT_EQ(mapped_ipv4(load<uint32_t>(frame.data() + 38)), kThem4.ip);
}

TEST(Arp, EverythingElseIsNot) {
  EXPECT_EQ(sort(test::arp_request(kThem4, ip("10.0.0.3"))), Verdict::kNotOurs);
  Station from = kThem4;
  from.ip = kUs4.ip;
  EXPECT_EQ(sort(test::arp_request(from, kUs4.ip)), Verdict::kMalformed);
  from.ip = ip("0.0.0.0");
  EXPECT_EQ(sort(test::arp_request(from, kUs4.ip)), Verdict::kArp) << "a probe";
  Frame reply = test::arp_request(kThem4, kUs4.ip);
  test::put16(&reply, 20, 2);
  EXPECT_EQ(sort(reply), Verdict::kNotOurs);
  Frame group = test::arp_request(kThem4, kUs4.ip);
  group[22] = std::byte{0xff};
  EXPECT_EQ(sort(group), Verdict::kMalformed);
  const Frame whole = test::arp_request(kThem4, kUs4.ip);
  for (size_t n = 0; n < whole.size(); ++n) {
    const Frame cut(whole.begin(), whole.begin() + static_cast<long>(n));
    EXPECT_EQ(sort(cut), Verdict::kMalformed) << n;
  }
}

TEST(Neighbour, SolicitationIsAnsweredWithOurMac) {
  Frame frame = test::solicitation(kThem6, kUs6.ip);
  ASSERT_EQ(sort(frame), Verdict::kNeighbour);
  ASSERT_EQ(answer(frame, kUs, Verdict::kNeighbour), 86u);
  EXPECT_EQ(load<MacAddress>(frame.data()), kTheirMac);
  EXPECT_EQ(load<MacAddress>(frame.data() + 6), kOurMac);
  EXPECT_EQ(frame[21], std::byte{255});
  EXPECT_EQ(load<IpAddress>(frame.data() + 22), kUs6.ip);
  EXPECT_EQ(load<IpAddress>(frame.data() + 38), kThem6.ip);
  EXPECT_EQ(test::be16(frame, 54), 136 << 8);
  EXPECT_EQ(test::be16(frame, 58), 0x6000);
  EXPECT_EQ(load<IpAddress>(frame.data() + 62), kUs6.ip);
  EXPECT_EQ(test::be16(frame, 78), 0x0201);
  EXPECT_EQ(load<MacAddress>(frame.data() + 80), kOurMac);
  EXPECT_EQ(test::segment_checksum(kUs6.ip, kThem6.ip, 58, Bytes(frame).subspan(54)), 0);
}

TEST(Neighbour, DuplicateAddressDetectionIsAnsweredToAllNodes) {
  Station nobody = kThem6;
  nobody.ip = {};
  Frame frame = test::solicitation(nobody, kUs6.ip);
  const size_t asked = frame.size();
  ASSERT_EQ(sort(frame), Verdict::kNeighbour);
  ASSERT_EQ(answer(frame, kUs, Verdict::kNeighbour), asked);
  EXPECT_EQ(load<IpAddress>(frame.data() + 38), ip("ff02::1"));
  EXPECT_EQ(test::be16(frame, 58), 0x2000);
  EXPECT_EQ(test::segment_checksum(kUs6.ip, ip("ff02::1"), 58, Bytes(frame).subspan(54)), 0);
}

TEST(Neighbour, InvalidSolicitationsAreDropped) {
  EXPECT_EQ(sort(test::solicitation(kThem6, kUs6.ip, 254)), Verdict::kMalformed);
  EXPECT_EQ(sort(test::solicitation(kThem6, ip("fd00::3"))), Verdict::kNotOurs);
  Frame bad_sum = test::solicitation(kThem6, kUs6.ip);
  bad_sum.back() ^= std::byte{1};
  EXPECT_EQ(sort(bad_sum), Verdict::kChecksum);
  Frame empty_option = test::solicitation(kThem6, kUs6.ip);
  empty_option[79] = std::byte{0};
  EXPECT_EQ(sort(empty_option), Verdict::kMalformed);
  Frame long_option = test::solicitation(kThem6, kUs6.ip);
  long_option[79] = std::byte{2};
  EXPECT_EQ(sort(long_option), Verdict::kMalformed);
  Frame code = test::solicitation(kThem6, kUs6.ip);
  code[55] = std::byte{1};
  EXPECT_EQ(sort(code), Verdict::kMalformed);
  const Frame whole = test::solicitation(kThem6, kUs6.ip);
  for (size_t n = 0; n < whole.size(); ++n) {
    const Frame cut(whole.begin(), whole.begin() + static_cast<long>(n));
    EXPECT_EQ(sort(cut), Verdict::kMalformed) << n;
  }
}

TEST(Robustness, AnswersAreNeverLongerWhateverComes) {
  std::mt19937 random(20221);
  const std::vector<Frame> seeds = {
      test::udp_frame(kThem4, kUs4, test::bytes(40, 1)),
      test::udp_frame(kThem6, kUs6, test::bytes(40, 1)),
      test::echo_request(kThem4, kUs4, test::bytes(40, 1)),
      test::echo_request(kThem6, kUs6, test::bytes(40, 1)),
      test::arp_request(kThem4, kUs4.ip),
      test::solicitation(kThem6, kUs6.ip),
  };
  std::array<size_t, 8> seen{};
  for (int round = 0; round < 200'000; ++round) {
    Frame frame = seeds[random() % seeds.size()];
    if (random() % 4 == 0) frame.resize(random() % (frame.size() + 1));
    for (unsigned flips = random() % 4; flips > 0 && !frame.empty(); --flips) {
      frame[random() % frame.size()] = static_cast<std::byte>(random());
    }
    if (random() % 8 == 0) frame = test::bytes(random() % 128, static_cast<uint8_t>(random()));
    frame.shrink_to_fit();
    Datagram d;
    Fragment fragment;
    const Vouched vouched{.ip_header = random() % 2 == 0, .udp = random() % 2 == 0};
    const Verdict v = sort_frame(frame, kUs, vouched, &d, &fragment);
    ++seen[static_cast<size_t>(v)];
    if (v == Verdict::kDatagram) {
      const auto* const end = frame.data() + frame.size();
      ASSERT_GE(d.payload.data(), frame.data());
      ASSERT_LE(d.payload.data() + d.payload.size(), end);
    }
    const size_t n = answer(frame, kUs, v);
    ASSERT_LE(n, frame.size());
    const bool answers = v == Verdict::kArp || v == Verdict::kPing || v == Verdict::kNeighbour;
    ASSERT_EQ(n != 0, answers);
  }
  for (size_t v = 0; v < seen.size(); ++v) EXPECT_GT(seen[v], 0u) << v;
}

TEST(Checksum, AgreesWithTheSlowWay) {
  std::mt19937 random(7);
  for (size_t n = 0; n < 300; ++n) {
    const Frame data = test::bytes(n, static_cast<uint8_t>(random()));
    const uint16_t folded = fold_sum(sum_words(data));
    EXPECT_EQ(net16(folded), test::internet_checksum(data)) << n;
  }
  const Frame ones(4096, std::byte{0xff});
  EXPECT_EQ(net16(fold_sum(sum_words(ones))), test::internet_checksum(ones));
}

}  // namespace
}  // namespace dinomo::ingress
