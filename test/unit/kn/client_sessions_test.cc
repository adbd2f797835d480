// SPDX-License-Identifier: BSD-3-Clause
// The client library against the engine: how sessions and cookies end, and how they go on.
#include <gtest/gtest.h>

#include "client/client.h"
#include "test/support/engine_world.h"
#include "test/support/world_transport.h"

namespace dinomo::kn {
namespace {

using test::EngineOptions;
using test::EngineWorld;
using test::WorldTransport;

struct Party {
  Party(EngineWorld* world, uint16_t port) : transport(world, port) {
    const client::Address seed = *client::parse_address("10.0.0.1:11300", 1);
    client::Options options;
    options.seed = port;
    options.deadline_ms = 20'000;
    client = *client::Client::create(&transport, &world->clock, options, std::span(&seed, 1));
  }
  void put(std::string_view key, std::string_view value) {
    client::Operation op;
    op.opcode = wire::Opcode::kPut;
    op.key = as_bytes(key);
    op.value = as_bytes(value);
    op.context = this;
    op.callback = [](void* context, const client::Completion& c) {
      auto* party = static_cast<Party*>(context);
      ++party->completed;
      party->last = c.status;
    };
    ++submitted;
    ASSERT_EQ(client->submit(op), Status::kOk);
  }
  bool idle() const { return completed == submitted; }

  WorldTransport transport;
  std::unique_ptr<client::Client> client;
  int submitted = 0;
  int completed = 0;
  Status last = Status::kOk;
};

class ClientSessionsTest : public testing::Test {
 protected:
  static EngineOptions options() {
    EngineOptions o;
    o.worker.sessions_max = 8;
    o.worker.session_idle_ms = 1000;
    o.worker.cookie_period_ms = 1000;
    return o;
  }
  ClientSessionsTest() : world(options()) {}
  void SetUp() override { world.wait_serving(); }

  Party& party() {
    parties.push_back(std::make_unique<Party>(&world, 2000 + parties.size()));
    return *parties.back();
  }

  void turn(uint64_t us = 1) {
    world.clock.now += us * 1000;
    world.turn();
    for (const auto& sent : world.network.take()) {
      for (const auto& p : parties) {
        if (p->transport.port() != sent.peer.remote_port || p->transport.deaf) continue;
        p->transport.replies.push_back(sent.payload);
      }
    }
    for (const auto& p : parties) p->client->poll();
  }
  bool settle() {
    for (int i = 0; i < 100'000; ++i) {
      turn(10);
      if (std::ranges::all_of(parties, [](const auto& p) { return p->idle(); })) return true;
    }
    return false;
  }
  void let_pass_ms(int ms) {
    for (int i = 0; i < ms; ++i) turn(1000);
  }
  void put_and_settle(Party& p, std::string_view value) {
    p.put("k", value);
    ASSERT_TRUE(settle());
    EXPECT_EQ(p.last, Status::kOk);
  }
  /// Every session that is in use keeps its place, so that only idle ones can be forgotten.
  void newcomers(int n) {
    for (int i = 0; i < n; ++i) {
      let_pass_ms(2);  // born later than whoever makes room
      put_and_settle(party(), "newcomer");
    }
  }

  EngineWorld world;
  std::vector<std::unique_ptr<Party>> parties;
};

TEST_F(ClientSessionsTest, CookiesAreRenewedBeforeTheyEnd) {
  Party& p = party();
  for (int i = 0; i < 50; ++i) {
    put_and_settle(p, "v");
    let_pass_ms(100);
  }
  const client::Counters& c = p.client->counters();
  EXPECT_EQ(c.no_session, 0u);
  EXPECT_EQ(c.sessions, 1u);
  EXPECT_GE(c.hellos, 5u);
  EXPECT_LE(c.hellos, 12u);
}

TEST_F(ClientSessionsTest, AClientThatSleptGoesOnWithItsSession) {
  Party& p = party();
  put_and_settle(p, "v");
  let_pass_ms(5000);
  put_and_settle(p, "w");
  EXPECT_EQ(p.client->counters().sessions, 1u);
  EXPECT_EQ(p.client->counters().gave_up, 0u);
}

TEST_F(ClientSessionsTest, ASessionThatMadeRoomIsReadFromThePool) {
  Party& p = party();
  put_and_settle(p, "v");
  const uint64_t before = p.client->session();
  newcomers(8);
  EXPECT_EQ(world.worker().stats().session_lookups.get(), 0u);
  for (int i = 0; i < 10; ++i) p.put("k", "w");
  ASSERT_TRUE(settle());
  EXPECT_EQ(p.last, Status::kOk);
  EXPECT_EQ(p.client->session(), before);
  EXPECT_EQ(p.client->counters().sessions, 1u);
  EXPECT_EQ(p.client->counters().gave_up, 0u);
  EXPECT_EQ(world.worker().stats().session_lookups.get(), 1u);
}

TEST_F(ClientSessionsTest, ASessionForgottenEverywhereIsFollowedByANewOne) {
  Party& p = party();
  put_and_settle(p, "v");
  const uint64_t before = p.client->session();
  newcomers(40);                                 // the pool has room for 16
  for (int i = 0; i < 10; ++i) p.put("k", "w");  // none of them ran before
  ASSERT_TRUE(settle());
  EXPECT_EQ(p.last, Status::kOk);
  EXPECT_NE(p.client->session(), before);
  EXPECT_EQ(p.client->counters().sessions, 2u);
  EXPECT_EQ(p.client->counters().gave_up, 0u);
}

TEST_F(ClientSessionsTest, WhoSleptUntilItsSessionWasForgottenGetsNoErrorEither) {
  Party& p = party();
  put_and_settle(p, "v");
  newcomers(40);
  let_pass_ms(3000);  // its cookie has ended, too
  p.put("k", "w");
  ASSERT_TRUE(settle());
  EXPECT_EQ(p.last, Status::kOk);
  EXPECT_EQ(p.client->counters().sessions, 2u);
  EXPECT_EQ(p.client->counters().no_session, 0u);
  EXPECT_EQ(p.client->counters().gave_up, 0u);
}

class RetryTest : public ClientSessionsTest {
 protected:
  /// A PUT is carried out, its answers are lost until `others` have taken the session's place.
  void lose_answers(Party& p, int others) {
    put_and_settle(p, "v");
    p.transport.deaf = true;
    p.put("k", "applied");
    let_pass_ms(1);
    p.client->flush();
    let_pass_ms(1);
    puts = world.worker().stats().puts.get();
    EXPECT_EQ(puts, 2u);
    for (int i = 0; i < others; ++i) {
      world.session = world.cookie = world.token = 0;
      world.peer.remote_port = static_cast<uint16_t>(9000 + i);
      let_pass_ms(2);
      world.hello();
      world.next_sequence = 1;
      world.put("other", "x");
    }
    world.turns(5000);  // merged
    world.network.take();
    p.transport.deaf = false;
    ASSERT_TRUE(settle());
    EXPECT_EQ(world.worker().stats().puts.get(), puts + static_cast<uint64_t>(others));
  }
  uint64_t puts = 0;
};

TEST_F(RetryTest, GetsItsFirstAnswerFromThePool) {
  Party& p = party();
  lose_answers(p, 8);
  EXPECT_EQ(p.last, Status::kOk);
  EXPECT_EQ(p.client->counters().sessions, 1u);
  EXPECT_EQ(p.client->counters().outcome_unknown, 0u);
  EXPECT_GE(world.worker().stats().session_lookups.get(), 1u);
}

TEST_F(RetryTest, EndsWithUnknownOutcomeIfThePoolHasForgotten) {
  Party& p = party();
  lose_answers(p, 40);
  EXPECT_EQ(p.last, Status::kStale);
  EXPECT_EQ(p.client->counters().outcome_unknown, 1u);
  put_and_settle(p, "next");
  EXPECT_EQ(p.client->counters().sessions, 2u);
}

/// A KN refuses the client's second PUT.
void refuse_second_put(Party& p, wire::Status status) {
  std::array<std::byte, 128> buffer;
  wire::DatagramHeader header{};
  header.magic = wire::kMagic;
  header.version = wire::kVersion;
  header.kind = static_cast<uint8_t>(wire::Kind::kReply);
  header.session = p.client->session();
  wire::Writer writer(buffer, header);
  wire::MessageHeader m{};
  m.opcode = static_cast<uint8_t>(wire::Opcode::kPut);
  m.status = static_cast<uint8_t>(status);
  m.sequence = 2;
  ASSERT_TRUE(writer.append(m, {}, {}, {}));
  const Bytes reply = writer.finish();
  p.transport.replies.emplace_back(reply.begin(), reply.end());
}

/// A PUT was sent once and doubled by the network: one copy ran, and its answer was lost; the other
/// met a KN that did not know the cookie.
class DoubledTest : public RetryTest {
 protected:
  void double_put(Party& p) {
    put_and_settle(p, "v");
    p.transport.deaf = true;
    p.put("k", "applied");
    p.client->flush();
    turn();
    turn();
    puts = world.worker().stats().puts.get();
    ASSERT_EQ(puts, 2u);
    p.transport.deaf = false;
    refuse_second_put(p, wire::Status::kNoSession);
  }
  /// Sessions that take every place, while the client's thread does not run.
  void crowd() {
    for (uint16_t i = 0; i < 40; ++i) {
      world.session = world.cookie = world.token = 0;
      world.peer.remote_port = static_cast<uint16_t>(9000 + i);
      world.clock.now += 1'000'000;
      world.hello();
      world.next_sequence = 1;
      world.put("other", "x");
      ++puts;
    }
    world.turns(5000);  // merged
    world.network.take();
  }
};

/// It would use numbers again that stand for other mutations there. Found by dinomo-sim.
TEST_F(ClientSessionsTest, ASessionThatWasGivenUpIsNotTakenUpAgainByALateHello) {
  Party& p = party();
  put_and_settle(p, "v");
  const uint64_t session = p.client->session();
  let_pass_ms(800);  // the cookie is to be renewed
  const uint64_t hellos = p.client->counters().hellos;
  p.put("k", "w");
  p.client->flush();
  ASSERT_EQ(p.client->counters().hellos, hellos + 1);
  std::vector<std::vector<std::byte>> late;
  for (int i = 0; i < 10; ++i) {
    world.clock.now += 1000;
    world.turn();
    for (const auto& sent : world.network.take()) late.push_back(sent.payload);
  }
  ASSERT_FALSE(late.empty());
  refuse_second_put(p, wire::Status::kSessionLost);
  p.client->poll();
  ASSERT_EQ(p.client->session(), 0u);  // given up
  for (const auto& reply : late) p.transport.replies.push_back(reply);
  ASSERT_TRUE(settle());
  EXPECT_EQ(p.last, Status::kOk);
  EXPECT_NE(p.client->session(), session);
  EXPECT_EQ(p.client->counters().sessions, 2u);
}

TEST_F(DoubledTest, RunsOnceIfTheSessionGoesOn) {
  Party& p = party();
  double_put(p);
  ASSERT_TRUE(settle());
  EXPECT_EQ(p.last, Status::kOk);
  EXPECT_EQ(p.client->counters().no_session, 1u);
  EXPECT_EQ(p.client->counters().timeouts, 0u);
  EXPECT_EQ(p.client->counters().sessions, 1u);
  EXPECT_EQ(world.worker().stats().puts.get(), puts);
}

TEST_F(DoubledTest, RunsOnceIfTheSessionWasForgotten) {
  Party& p = party();
  double_put(p);
  crowd();
  ASSERT_TRUE(settle());
  EXPECT_EQ(p.client->counters().no_session, 1u);
  EXPECT_EQ(world.worker().stats().puts.get(), puts);
  EXPECT_EQ(p.last, Status::kStale);
  EXPECT_EQ(p.client->counters().outcome_unknown, 1u);
  put_and_settle(p, "next");
  EXPECT_EQ(p.client->counters().sessions, 2u);
}

TEST_F(RetryTest, GetsItsFirstAnswerAfterARestartOfTheDpm) {
  Party& p = party();
  put_and_settle(p, "v");
  p.transport.deaf = true;
  p.put("k", "applied");
  let_pass_ms(1);
  p.client->flush();
  let_pass_ms(1);
  puts = world.worker().stats().puts.get();
  ASSERT_EQ(puts, 2u);
  world.crash_dpm();
  world.turns(2000);
  world.wait_serving();
  world.network.take();
  p.transport.deaf = false;
  ASSERT_TRUE(settle());
  EXPECT_EQ(p.last, Status::kOk);
  EXPECT_EQ(world.worker().stats().puts.get(), puts);
  EXPECT_EQ(p.client->counters().outcome_unknown, 0u);
}

TEST_F(ClientSessionsTest, MoreSessionsThanPlacesAreAllServed) {
  newcomers(12);
  for (int round = 0; round < 5; ++round) {
    for (const auto& p : parties) p->put("k", "busy");
    ASSERT_TRUE(settle());
  }
  for (const auto& p : parties) {
    EXPECT_EQ(p->last, Status::kOk);
    EXPECT_EQ(p->client->counters().sessions, 1u);
  }
}

}  // namespace
}  // namespace dinomo::kn
