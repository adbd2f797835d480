// SPDX-License-Identifier: BSD-3-Clause
// Fragments: those sent, read by a reader of the test's own; those received, in every order, and
// from people who mean harm.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <random>
#include <vector>

#include "ingress/fragment.h"
#include "test/support/frames.h"

namespace dinomo::ingress {
namespace {

using test::Frame;
using test::Station;

constexpr uint16_t kPort = 9000;
const MacAddress kOurMac{2, 0, 0, 0, 0, 1};

class Memory final : public LargeDatagrams {
 public:
  explicit Memory(size_t count) {
    for (size_t i = 0; i < count; ++i) all_.push_back(std::make_unique<LargeDatagram>());
    for (const auto& d : all_) free_.push_back(d.get());
  }
  LargeDatagram* take() noexcept override {
    if (free_.empty()) return nullptr;
    LargeDatagram* const d = free_.back();
    free_.pop_back();
    return d;
  }
  void give(LargeDatagram* d) noexcept override { free_.push_back(d); }
  size_t free() const { return free_.size(); }

 private:
  std::vector<std::unique_ptr<LargeDatagram>> all_;
  std::vector<LargeDatagram*> free_;
};

class Reassembly : public ::testing::TestWithParam<bool> {
 protected:
  Reassembly() {
    us_.mac = kOurMac;
    us_.base_port = kPort;
    us_.ports = 2;
    us_.add(*parse_address("10.0.0.2/24"));
    us_.add(*parse_address("fd00::2/64"));
  }
  bool v6() const { return GetParam(); }
  Station us() const { return {kOurMac, test::ip(v6() ? "fd00::2" : "10.0.0.2"), kPort}; }
  Station them(uint8_t last = 9) const {
    Station s{{2, 0, 0, 0, 0, last}, test::ip(v6() ? "fd00::9" : "10.0.0.9"), 40'000};
    s.ip[15] = last;
    return s;
  }
  std::vector<Frame> pieces(const Frame& payload, uint32_t id, size_t size = 1400) const {
    return test::udp_fragments(them(), us(), payload, id, size);
  }
  LargeDatagram* add(const Frame& frame) {
    Datagram d;
    Fragment f;
    const Verdict v = sort_frame(frame, us_, {}, &d, &f);
    EXPECT_EQ(v, Verdict::kFragment);
    return v == Verdict::kFragment ? reassembler_.add(f, us_, now_us_) : nullptr;
  }
  /// Adds all; the datagram has to come with the last one.
  LargeDatagram* add_all(const std::vector<Frame>& frames) {
    LargeDatagram* done = nullptr;
    for (const Frame& f : frames) {
      EXPECT_EQ(done, nullptr) << "complete too early";
      done = add(f);
    }
    return done;
  }
  void expect_and_give(LargeDatagram* d, const Frame& payload) {
    ASSERT_NE(d, nullptr);
    EXPECT_TRUE(equal(d->payload(), payload));
    EXPECT_EQ(d->peer.remote_address, them().ip);
    EXPECT_EQ(d->peer.local_address, us().ip);
    EXPECT_EQ(d->peer.remote_port, 40'000);
    EXPECT_EQ(d->peer.local_port, kPort);
    EXPECT_EQ(d->peer.remote_mac, them().mac);
    memory_.give(d);
  }
  const ReassemblyCounters& counters() const { return reassembler_.counters(); }

  Endpoint us_;
  uint64_t now_us_ = 1'000'000;
  ReassemblyConfig config_{.slots = 8, .slots_per_source = 4, .timeout_us = 1000};
  Memory memory_{10};
  Reassembler reassembler_{config_, &memory_};
};

TEST_P(Reassembly, EverySizeAndOrder) {
  std::mt19937 random(7);
  uint32_t id = 1;
  for (const size_t bytes : {1ul, 1393ul, 1400ul, 2000ul, 2793ul, 30'000ul, 61'528ul, 65'507ul}) {
    for (const size_t size : {512ul, 1400ul, 8000ul}) {
      const Frame payload = test::bytes(bytes, static_cast<uint8_t>(bytes));
      std::vector<Frame> frames = pieces(payload, ++id, size);
      if (frames.size() == 1 && !v6()) continue;  // no fragment at all
      for (int order = 0; order < 3; ++order) {
        if (order == 1) std::ranges::reverse(frames);
        if (order == 2) std::ranges::shuffle(frames, random);
        expect_and_give(add_all(frames), payload);
      }
    }
  }
  EXPECT_EQ(memory_.free(), 10u);
  EXPECT_EQ(counters().refused + counters().checksum + counters().evicted, 0u);
}

TEST_P(Reassembly, InterleavedDatagramsAndRepetitions) {
  const Frame a = test::bytes(5000, 1);
  const Frame b = test::bytes(5000, 2);
  const std::vector<Frame> fa = pieces(a, 1);
  const std::vector<Frame> fb = pieces(b, 2);
  LargeDatagram* last = nullptr;
  for (size_t i = 0; i + 1 < fa.size(); ++i) {
    EXPECT_EQ(add(fa[i]), nullptr);
    EXPECT_EQ(add(fb[i]), nullptr);
    EXPECT_EQ(add(fa[i]), nullptr);  // comes twice
  }
  expect_and_give(add(fa.back()), a);
  last = add(fb.back());
  expect_and_give(last, b);
  EXPECT_EQ(counters().refused, 0u);
}

TEST_P(Reassembly, OverlapEndsTheDatagram) {
  const Frame payload = test::bytes(3000, 1);
  std::vector<Frame> frames = pieces(payload, 1);
  const Frame other = test::fragment_frame(them(), us(), test::bytes(1400, 9), 1, 704, true);
  EXPECT_EQ(add(frames[0]), nullptr);
  EXPECT_EQ(add(other), nullptr);
  EXPECT_EQ(memory_.free(), 10u) << "a dead datagram holds no memory";
  for (size_t i = 1; i < frames.size(); ++i) EXPECT_EQ(add(frames[i]), nullptr);
  EXPECT_EQ(counters().refused, frames.size());
  EXPECT_EQ(counters().datagrams, 0u);
  // Other bytes at the very place of known ones are an overlap, too.
  std::vector<Frame> again = pieces(payload, 2);
  EXPECT_EQ(add(again[1]), nullptr);
  EXPECT_EQ(add(test::fragment_frame(them(), us(), test::bytes(1400, 9), 2, 1400, true)), nullptr);
  EXPECT_EQ(memory_.free(), 10u);
}

TEST_P(Reassembly, ImpossibleFragmentsTakeNoMemory) {
  const auto refused = [&](Bytes data, size_t offset, bool more) {
    const uint64_t before = counters().refused;
    EXPECT_EQ(add(test::fragment_frame(them(), us(), data, 77, offset, more)), nullptr);
    EXPECT_EQ(counters().refused, before + 1) << data.size() << " at " << offset;
    EXPECT_EQ(memory_.free(), 10u);
  };
  const Frame data = test::bytes(1400, 1);
  refused(Bytes(data).first(504), 8, true);           // smaller than any path needs
  refused(Bytes(data).first(1001), 8, true);          // no multiple of 8
  refused(data, 65'528, false);                       // ends beyond what UDP has
  if (v6()) refused(Bytes(data).first(4), 0, false);  // no room for a UDP header
  refused({}, 1400, false);                           // nothing
  Station elsewhere = us();
  elsewhere.port = kPort + 2;
  const Frame first = test::udp_fragments(them(), elsewhere, test::bytes(3000, 1), 78)[0];
  EXPECT_EQ(add(first), nullptr);
  EXPECT_EQ(memory_.free(), 10u);
}

TEST_P(Reassembly, TwoEndsOrDataBehindTheEnd) {
  const Frame data = test::bytes(800, 1);
  for (const bool end_first : {true, false}) {
    const uint32_t id = end_first ? 1 : 2;
    const Frame end = test::fragment_frame(them(), us(), data, id, 1600, false);
    const Frame beyond = test::fragment_frame(them(), us(), data, id, 2400, true);
    EXPECT_EQ(add(end_first ? end : beyond), nullptr);
    EXPECT_EQ(memory_.free(), 9u);
    EXPECT_EQ(add(end_first ? beyond : end), nullptr);
    EXPECT_EQ(memory_.free(), 10u);
  }
  EXPECT_EQ(add(test::fragment_frame(them(), us(), data, 3, 1600, false)), nullptr);
  EXPECT_EQ(add(test::fragment_frame(them(), us(), data, 3, 3200, false)), nullptr);
  EXPECT_EQ(memory_.free(), 10u);
}

TEST_P(Reassembly, AChecksumIsDemandedAndChecked) {
  for (const bool none : {false, true}) {
    std::vector<Frame> frames = pieces(test::bytes(3000, 1), none ? 1 : 2);
    const size_t checksum_at = v6() ? 68 : 40;
    const uint16_t right = test::be16(frames[0], checksum_at);
    test::put16(&frames[0], checksum_at, none ? 0 : static_cast<uint16_t>(right ^ 1));
    EXPECT_EQ(add_all(frames), nullptr);
  }
  EXPECT_EQ(counters().checksum, 2u);
  EXPECT_EQ(memory_.free(), 10u);
}

TEST_P(Reassembly, WhatIsNeverCompletedTimesOut) {
  const std::vector<Frame> frames = pieces(test::bytes(3000, 1), 1);
  EXPECT_EQ(add(frames[0]), nullptr);
  now_us_ += config_.timeout_us + 1;
  // The rest comes too late: it begins a datagram of its own, which misses its head.
  for (size_t i = 1; i < frames.size(); ++i) EXPECT_EQ(add(frames[i]), nullptr);
  EXPECT_EQ(counters().timeouts, 1u);
  EXPECT_EQ(memory_.free(), 9u);
  reassembler_.clear();
  EXPECT_EQ(memory_.free(), 10u);
}

TEST_P(Reassembly, OneSourceFillsOnlyItsShare) {
  const std::vector<Frame> theirs = test::udp_fragments(them(8), us(), test::bytes(3000, 1), 1);
  EXPECT_EQ(add(theirs[0]), nullptr);
  for (uint32_t id = 100; id < 200; ++id) {
    ++now_us_;
    EXPECT_EQ(add(pieces(test::bytes(3000, 2), id)[0]), nullptr);
  }
  EXPECT_EQ(memory_.free(), 10u - 1 - config_.slots_per_source);
  EXPECT_EQ(add(theirs[1]), nullptr);
  LargeDatagram* const d = add(theirs[2]);
  ASSERT_NE(d, nullptr) << "another source's flood ended it";
  memory_.give(d);
}

TEST_P(Reassembly, AFloodOfManySourcesDoesNotStopOneThatIsQuick) {
  uint32_t id = 0;
  const auto flood = [&](uint8_t first, int count) {
    for (int i = 0; i < count; ++i) {
      ++now_us_;
      const auto source = static_cast<uint8_t>(first + i);
      add(test::udp_fragments(them(source), us(), test::bytes(3000, 3), ++id)[0]);
    }
  };
  flood(20, 100);
  const Frame payload = test::bytes(5000, 1);
  const std::vector<Frame> frames = pieces(payload, 5000);
  LargeDatagram* done = nullptr;
  for (const Frame& f : frames) {
    done = add(f);
    if (done == nullptr) flood(120, 7);  // one less than there are slots
  }
  expect_and_give(done, payload);
  EXPECT_GT(counters().evicted, 90u);
  EXPECT_GE(memory_.free(), 2u);
}

TEST_P(Reassembly, WithoutMemoryNothingBreaks) {
  std::vector<LargeDatagram*> held;
  while (LargeDatagram* d = memory_.take()) held.push_back(d);
  const Frame payload = test::bytes(3000, 1);
  EXPECT_EQ(add_all(pieces(payload, 1)), nullptr);
  EXPECT_GT(counters().no_buffer, 0u);
  for (LargeDatagram* d : held) memory_.give(d);
  expect_and_give(add_all(pieces(payload, 2)), payload);
}

TEST_P(Reassembly, WhatWeSendIsRead) {
  Peer peer;
  peer.remote_address = them().ip;
  peer.local_address = us().ip;
  peer.remote_mac = them().mac;
  peer.remote_port = 40'000;
  peer.local_port = kPort;
  for (const uint16_t mtu : {uint16_t{576}, uint16_t{1500}, uint16_t{9000}}) {
    for (const size_t bytes : {mtu - 27ul, 10'001ul, kDatagramBytesMax}) {
      const Frame payload = test::bytes(bytes, 3);
      const size_t room = fragment_data_bytes(peer, mtu);
      EXPECT_EQ(room % 8, 0u);
      Frame segment(sizeof(UdpHeader) + bytes);
      store(segment.data(), large_udp_header(peer, bytes));
      std::ranges::copy(payload, segment.begin() + sizeof(UdpHeader));
      store(segment.data() + offsetof(UdpHeader, checksum),
            large_udp_checksum(peer, bytes, sum_words(segment)));
      std::vector<Frame> frames;
      for (size_t at = 0; at < segment.size(); at += room) {
        const size_t n = std::min(room, segment.size() - at);
        Frame f(fragment_header_bytes(peer) + n);
        EXPECT_LE(f.size(), mtu + sizeof(EthernetHeader));
        write_fragment_headers(f.data(), peer, kOurMac, 0x12345, at, n, at + n < segment.size());
        std::copy_n(segment.begin() + static_cast<ptrdiff_t>(at), n,
                    f.end() - static_cast<ptrdiff_t>(n));
        frames.push_back(std::move(f));
      }
      EXPECT_LE(frames.size(), kFragmentsMax);
      const auto read = test::read_fragments(frames);
      ASSERT_TRUE(read.has_value()) << mtu << " " << bytes;
      EXPECT_EQ(read->payload, payload);
      EXPECT_EQ(read->to.ip, them().ip);
      EXPECT_EQ(read->to.mac, them().mac);
      EXPECT_EQ(read->from.port, kPort);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Families, Reassembly, testing::Bool(),
                         [](const auto& info) { return info.param ? "IPv6" : "IPv4"; });

}  // namespace
}  // namespace dinomo::ingress
