// SPDX-License-Identifier: BSD-3-Clause
// What somebody without a valid cookie gets out of a KN, and what not.
#include <gtest/gtest.h>

#include <random>

#include "kn/worker.h"
#include "test/support/engine_world.h"

namespace dinomo::kn {
namespace {

using test::EngineOptions;
using test::EngineReply;
using test::EngineWorld;
using wire::Opcode;

/// Nobody is refused for asking often.
EngineOptions patient() {
  EngineOptions o;
  o.worker.strangers_per_s = 1'000'000'000;
  return o;
}

class StrangersTest : public testing::Test {
 protected:
  explicit StrangersTest(const EngineOptions& options = patient()) : world(options) {}
  void SetUp() override {
    world.wait_serving();
    world.hello();
    ASSERT_EQ(world.put("k", std::string(1000, 'v')).status, wire::Status::kOk);
    own = world.header();
  }
  const WorkerStats& stats() { return world.worker().stats(); }

  /// Takes what was answered; returns its UDP payload bytes.
  size_t answered() {
    world.turns(3);
    size_t bytes = 0;
    for (const auto& sent : world.network.take()) {
      bytes += sent.payload.size();
      ++datagrams_out;
    }
    return bytes;
  }

  size_t ask(Bytes datagram) {
    world.send_raw(datagram);
    return answered();
  }

  /// Headers that no cookie vouches for.
  std::vector<wire::DatagramHeader> strangers() const {
    std::vector<wire::DatagramHeader> all(5, own);
    all[0].session = all[0].cookie = 0;
    all[1].cookie ^= 4;   // forged
    all[2].session += 1;  // somebody else's
    all[3].cookie = 0;
    all[4].session = 0;
    return all;
  }

  EngineWorld world;
  wire::DatagramHeader own{};
  size_t datagrams_out = 0;
};

std::vector<std::byte> datagram(const wire::DatagramHeader& header, uint8_t opcode, Bytes extras,
                                std::string_view key, std::string_view value, uint32_t count,
                                size_t room = wire::kDatagramBytesMax) {
  std::vector<std::byte> buffer(room);
  wire::Writer writer(buffer, header);
  wire::MessageHeader m{};
  m.opcode = opcode;
  m.flags = wire::kWantItem;
  for (uint32_t i = 0; i < count; ++i) {
    m.sequence = i + 1;
    if (!writer.append(m, extras, as_bytes(key), as_bytes(value))) break;
  }
  buffer.resize(writer.finish().size());
  return buffer;
}

/// Every opcode that a byte can name, with every size of extras that an opcode has, with and
/// without key and value, alone and many together, from each kind of stranger.
TEST_F(StrangersTest, NoReplyIsLargerThanItsRequest) {
  const std::array<std::byte, 32> extras{};
  size_t asked = 0;
  size_t told = 0;
  for (const wire::DatagramHeader& h : strangers()) {
    for (uint32_t opcode = 0; opcode < 256; ++opcode) {
      for (const size_t extra_bytes : {0, 8, 16, 24, 32}) {
        for (const char* key : {"", "k"}) {
          for (const size_t value_bytes : {0, 104}) {
            for (const uint32_t count : {1, 7, 1000}) {
              const auto request =
                  datagram(h, static_cast<uint8_t>(opcode), Bytes(extras).first(extra_bytes), key,
                           std::string(value_bytes, '\0'), count);
              const size_t bytes = ask(request);
              ASSERT_LE(bytes, request.size()) << "opcode " << opcode << ", " << extra_bytes
                                               << " bytes of extras, " << count << " messages";
              asked += request.size();
              told += bytes;
            }
          }
        }
      }
    }
  }
  EXPECT_GT(told, 0u);
  EXPECT_LT(told, asked / 2);
  EXPECT_EQ(stats().refused_rate.get(), 0u);
}

TEST_F(StrangersTest, NoReplyToADatagramOfAllThatFitsIsLarger) {
  for (const wire::DatagramHeader& h : strangers()) {
    const auto request =
        datagram(h, static_cast<uint8_t>(Opcode::kPing), {}, "", "", 65'535, 65'507);
    ASSERT_GT(request.size(), 65'000u);
    EXPECT_LE(ask(request), request.size());
  }
}

/// Bursts of datagrams share the datagrams of their answers.
TEST_F(StrangersTest, NoAnswerToABurstIsLargerThanTheBurst) {
  std::mt19937_64 random(7);
  const auto headers = strangers();
  for (int round = 0; round < 300; ++round) {
    size_t asked = 0;
    for (int i = 0; i < 32; ++i) {
      const auto request =
          datagram(headers[random() % headers.size()], static_cast<uint8_t>(random() % 48), {}, "",
                   "", 1 + static_cast<uint32_t>(random() % 80));
      world.peer.remote_port = static_cast<uint16_t>(5000 + random() % 3 * 32);
      world.send_raw(request);
      asked += request.size();
    }
    ASSERT_LE(answered(), asked) << round;
  }
}

TEST_F(StrangersTest, NoReplyToMalformedDatagramsIsLarger) {
  std::mt19937_64 random(3);
  uint64_t told = 0;
  for (const wire::DatagramHeader& h : strangers()) {
    const auto whole = datagram(h, static_cast<uint8_t>(Opcode::kPing), {}, "", "", 20);
    for (size_t n = 0; n <= whole.size(); ++n) {  // cut anywhere
      const size_t bytes = ask(Bytes(whole).first(n));
      ASSERT_LE(bytes, n);
      told += bytes;
    }
    for (int i = 0; i < 5000; ++i) {  // any bits flipped, the version, lengths and counts too
      auto bent = whole;
      for (uint64_t flips = random() % 8; flips-- > 0;) {
        bent[random() % bent.size()] ^= std::byte{1} << random() % 8;
      }
      bent.resize(1 + random() % bent.size());
      // What happened to become a valid cookie's would be no stranger's.
      store(bent.data() + std::min<size_t>(bent.size() - 1, 8), std::byte{0x77});
      const size_t bytes = ask(bent);
      ASSERT_LE(bytes, bent.size());
      told += bytes;
    }
    for (size_t n = 0; n < 200; ++n) {  // another version
      std::vector<std::byte> other(n);
      wire::DatagramHeader v = h;
      v.version = static_cast<uint8_t>(2 + n);
      if (n >= sizeof v) store(other.data(), v);
      ASSERT_LE(ask(other), n);
    }
  }
  EXPECT_GT(told, 0u);
}

TEST_F(StrangersTest, HelloGoesOnWithASessionForItsOwnerOnly) {
  const uint64_t session = world.session;
  const uint64_t token = world.token;
  world.hello();  // cookie and token
  EXPECT_EQ(world.session, session);
  EXPECT_EQ(world.token, token);
  world.cookie = 0;
  world.peer.remote_port = 7777;  // the client moved, and shows its token
  world.hello();
  EXPECT_EQ(world.session, session);
  EXPECT_EQ(world.get("k").status, wire::Status::kOk);

  for (const uint64_t guess : {uint64_t{0}, token ^ 1, token + 1}) {
    EngineWorld& thief = world;
    thief.peer.remote_port = 8888;
    thief.session = session;
    thief.token = guess;
    thief.hello();
    EXPECT_NE(thief.session, session);
    const uint64_t stolen = thief.cookie;
    thief.session = session;
    thief.cookie = stolen;
    EXPECT_EQ(thief.get("k").status, wire::Status::kNoSession);
  }
}

TEST_F(StrangersTest, SessionsAreAllDifferent) {
  std::set<uint64_t> seen{world.session};
  for (int i = 0; i < 1000; ++i) {
    world.session = world.cookie = world.token = 0;
    world.hello();
    EXPECT_TRUE(seen.insert(world.session).second);
  }
}

TEST_F(StrangersTest, ACookieEndsAndTheNextOneGoesOnWithTheSession) {
  const EngineReply first = world.put("k", "one");
  world.clock.now += uint64_t{2} * 600 * 1'000'000'000;
  world.wait_serving();
  EXPECT_EQ(world.get("k").status, wire::Status::kNoSession);
  const uint64_t session = world.session;
  world.hello();
  EXPECT_EQ(world.session, session);
  world.next_sequence = first.sequence;
  const EngineReply again = world.put("k", "one");
  EXPECT_EQ(again.version, first.version);
}

class FewStrangersTest : public StrangersTest {
 protected:
  static EngineOptions few() {
    EngineOptions o;
    o.worker.strangers_per_s = 10;
    return o;
  }
  FewStrangersTest() : StrangersTest(few()) {}
};

TEST_F(FewStrangersTest, ASourceThatAsksTooOftenGetsNoAnswer) {
  for (int i = 0; i < 100; ++i) ask(datagram(strangers()[0], 2, {}, "", "", 1));
  EXPECT_EQ(datagrams_out, 9u);  // and the HELLO
  EXPECT_EQ(stats().refused_rate.get(), 91u);
  EXPECT_EQ(world.get("k").status, wire::Status::kOk);  // whoever has a cookie does not notice
  ASSERT_EQ(ask(datagram(strangers()[1], 16, {}, "k", "", 1)), 0u);
  world.peer.remote_address[3] ^= 1;  // and others do not, either
  EXPECT_GT(ask(datagram(strangers()[0], 2, {}, "", "", 1)), 0u);
}

class ListedClientsTest : public StrangersTest {
 protected:
  static EngineOptions listed() {
    EngineOptions o = patient();
    std::string why;
    o.worker.clients = *ingress::NetworkList::parse("::/124, 10.0.0.0/8", &why);
    return o;
  }
  ListedClientsTest() : StrangersTest(listed()) {}
};

TEST_F(ListedClientsTest, OnlyTheyGetAnAnswer) {
  EXPECT_GT(ask(datagram(strangers()[0], 2, {}, "", "", 1)), 0u);
  world.peer.remote_address[14] = 1;
  for (uint32_t opcode = 0; opcode < 256; ++opcode) {
    for (const wire::DatagramHeader& h : strangers()) {
      EXPECT_EQ(ask(datagram(h, static_cast<uint8_t>(opcode), {}, "", std::string(128, '\0'), 1)),
                0u);
    }
  }
  wire::DatagramHeader version = own;
  version.version = 9;
  EXPECT_EQ(ask(datagram(version, 2, {}, "", "", 3)), 0u);
  EXPECT_EQ(stats().refused_network.get(), 256u * 5 + 1);
}

class FewSessionsTest : public StrangersTest {
 protected:
  static EngineOptions few() {
    EngineOptions o = patient();
    o.worker.sessions_max = 8;
    o.worker.session_idle_ms = 1000;
    return o;
  }
  FewSessionsTest() : StrangersTest(few()) {}

  EngineReply put_in_new_session() {
    world.clock.now += 2'000'000;  // born later than whoever makes room
    world.session = world.cookie = world.token = 0;
    world.hello();
    world.next_sequence = 1;
    return world.put("k", "x");
  }
};

TEST_F(FewSessionsTest, ARetryInAForgottenSessionIsAnsweredFromThePool) {
  world.next_sequence = 1000;
  const EngineReply first = world.put("first", "one");
  EXPECT_EQ(first.status, wire::Status::kOk);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(put_in_new_session().status, wire::Status::kOk);
  world.session = own.session;
  world.cookie = own.cookie;
  world.next_sequence = 1000;
  const EngineReply again = world.put("first", "two");  // not even marked as repeated
  EXPECT_EQ(again.status, wire::Status::kOk);
  EXPECT_EQ(again.version, first.version);
  EXPECT_EQ(world.get("first").value, "one");
}

TEST_F(FewSessionsTest, ARetryInASessionForgottenByThePoolIsToldSo) {
  world.next_sequence = 1000;
  EXPECT_EQ(world.put("first", "one").status, wire::Status::kOk);
  for (int i = 0; i < 40; ++i) EXPECT_EQ(put_in_new_session().status, wire::Status::kOk);
  world.session = own.session;
  world.cookie = own.cookie;
  world.next_sequence = 1000;
  EXPECT_EQ(world.put("first", "two").status, wire::Status::kSessionLost);
  EXPECT_EQ(world.get("first").value, "one");
  world.next_sequence = 2000;
  EXPECT_EQ(world.remove("first").status, wire::Status::kSessionLost);
}

TEST_F(StrangersTest, AMutationBehindTheWindowIsToldSo) {
  world.next_sequence = 1000;
  world.put("k", "old");
  world.next_sequence = 1000 + 256;
  world.put("k", "new");
  world.next_sequence = 1000;
  EXPECT_EQ(world.put("k", "old").status, wire::Status::kTooOld);
  EXPECT_EQ(world.get("k").value, "new");
}

}  // namespace
}  // namespace dinomo::kn
