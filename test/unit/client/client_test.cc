// SPDX-License-Identifier: BSD-3-Clause
// The client against pretended KNs over loopback, with every fault that the protocol has an answer
// to.
#include "client/client.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>
#include <vector>

#include "client/blocking.h"
#include "client/udp_transport.h"
#include "mini_server.h"
#include "steady_clock.h"

namespace dinomo::client {
namespace {

using test::MiniFaults;
using test::MiniOptions;
using test::MiniServer;

class ClientTest : public ::testing::Test {
 protected:
  void start(const MiniOptions& server_options = {}, const Options& options = {}) {
    server_ = std::make_unique<MiniServer>(server_options);
    connect(options);
  }
  void connect(const Options& options) {
    client_.reset();
    transport_ = *UdpTransport::create({});
    const Address seed = *parse_address(server_->address(), 1);
    auto client = Client::create(transport_.get(), &clock_, options, std::span(&seed, 1));
    ASSERT_TRUE(client.has_value());
    client_ = std::move(*client);
    blocking_ = std::make_unique<Blocking>(client_.get());
  }

  static Options quick() {
    Options options;
    options.retry_first_ms = 10;
    options.retry_min_ms = 5;
    options.retry_max_ms = 40;
    return options;
  }

  struct Outcome {
    int completions = 0;
    Status status = Status::kOk;
    std::string value;
    uint32_t transmissions = 0;
  };

  static void record(void* context, const Completion& c) {
    auto* const test = static_cast<ClientTest*>(context);
    Outcome& o = test->outcomes_[c.tag];
    ++o.completions;
    o.status = c.status;
    o.value = std::string(as_text(c.value));
    o.transmissions = c.transmissions;
  }

  Status submit(wire::Opcode opcode, const std::string& key, const std::string& value,
                uint64_t tag) {
    Operation op;
    op.opcode = opcode;
    op.key = as_bytes(key);
    op.value = as_bytes(value);
    op.callback = record;
    op.context = this;
    op.tag = tag;
    return client_->submit(op);
  }

  void drain() {
    client_->flush();
    while (client_->in_flight() != 0) {
      if (client_->poll() == 0) client_->wait(10'000'000);
    }
  }

  /// Puts and reads back `count` keys, all in flight at once, and checks every outcome.
  void put_and_read_all(uint32_t count) {
    for (uint32_t i = 0; i < count; ++i) {
      ASSERT_EQ(submit(wire::Opcode::kPut, key(i), "value " + key(i), i), Status::kOk);
    }
    drain();
    for (uint32_t i = 0; i < count; ++i) {
      ASSERT_EQ(outcomes_[i].completions, 1) << i;
      ASSERT_EQ(outcomes_[i].status, Status::kOk) << i << status_name(outcomes_[i].status);
    }
    outcomes_.clear();
    for (uint32_t i = 0; i < count; ++i) {
      ASSERT_EQ(submit(wire::Opcode::kGet, key(i), "", i), Status::kOk);
    }
    drain();
    for (uint32_t i = 0; i < count; ++i) {
      ASSERT_EQ(outcomes_[i].completions, 1) << i;
      ASSERT_EQ(outcomes_[i].value, "value " + key(i));
    }
    outcomes_.clear();
  }

  static std::string key(uint32_t i) { return "key" + std::to_string(i); }

  test::SteadyClock clock_;
  std::unique_ptr<MiniServer> server_;
  std::unique_ptr<UdpTransport> transport_;
  std::unique_ptr<Client> client_;
  std::unique_ptr<Blocking> blocking_;
  std::map<uint64_t, Outcome> outcomes_;
};

TEST_F(ClientTest, OneOperationAtATime) {
  start();
  EXPECT_EQ(blocking_->get(as_bytes("a")).status, Status::kNotFound);
  EXPECT_EQ(blocking_->put(as_bytes("a"), as_bytes("1"), {.ttl_ms = 0, .item_flags = 9}).status,
            Status::kOk);
  const Reply got = blocking_->get(as_bytes("a"));
  EXPECT_EQ(got.status, Status::kOk);
  EXPECT_EQ(got.text(), "1");
  EXPECT_EQ(got.item.item_flags, 9u);
  EXPECT_NE(got.version, 0u);
  EXPECT_EQ(blocking_->remove(as_bytes("a")).status, Status::kOk);
  EXPECT_EQ(blocking_->remove(as_bytes("a")).status, Status::kNotFound);
  EXPECT_EQ(blocking_->ping().status, Status::kOk);
  EXPECT_NE(blocking_->stats().text().find("value_hits"), std::string::npos);
  EXPECT_EQ(server_->counts().hellos, 1u);
}

TEST_F(ClientTest, ConnectFetchesTheWholeRingInPages) {
  start({.kns = 3, .workers = 2});
  ASSERT_EQ(blocking_->connect(), Status::kOk);
  EXPECT_EQ(client_->ring().kns.size(), 3u);
  EXPECT_EQ(client_->ring().owner[5], 2u);
  EXPECT_EQ(client_->ring().owner[4095], 0u);
  EXPECT_GT(server_->counts().rings, 1u);
}

TEST_F(ClientTest, RoutesEveryKeyToItsKnAndWorker) {
  start({.kns = 3, .workers = 4});
  put_and_read_all(1000);
  const auto counts = server_->counts();
  EXPECT_EQ(counts.misrouted, 0u);
  EXPECT_EQ(counts.applied, 1000u);
  EXPECT_EQ(client_->counters().wrong_owner, 0u);
  EXPECT_EQ(counts.hellos, 3u);  // one cookie a KN, one session for all
  EXPECT_EQ(client_->counters().sessions, 1u);
}

TEST_F(ClientTest, PacksRequestsIntoFewDatagramsWithinTheLimit) {
  start();
  ASSERT_EQ(blocking_->connect(), Status::kOk);
  put_and_read_all(900);
  const auto counts = server_->counts();
  EXPECT_GT(counts.requests_in_largest_datagram, 30u);
  EXPECT_LE(counts.largest_datagram_bytes, wire::kDatagramBytesMax);
  const Counters& c = client_->counters();
  EXPECT_GT(c.transmissions, 25 * c.datagrams_out);
}

TEST_F(ClientTest, PackMaxLimitsADatagram) {
  Options options;
  options.pack_max = 1;
  start({}, options);
  put_and_read_all(100);
  EXPECT_EQ(server_->counts().requests_in_largest_datagram, 1u);
}

TEST_F(ClientTest, CarriesValuesLargerThanADatagram) {
  start();
  for (const size_t bytes : {0u, 1u, 1400u, 1500u, 20'000u, 61'440u}) {
    const std::string value(bytes, 'v');
    EXPECT_EQ(blocking_->put(as_bytes("big"), as_bytes(value)).status, Status::kOk) << bytes;
    EXPECT_EQ(blocking_->get(as_bytes("big")).text(), value) << bytes;
  }
  EXPECT_EQ(client_->counters().malformed, 0u);
}

TEST_F(ClientTest, RefusesWhatTheProtocolCannotCarry) {
  start();
  EXPECT_EQ(submit(wire::Opcode::kGet, std::string(251, 'k'), "", 0), Status::kInvalid);
  EXPECT_EQ(submit(wire::Opcode::kPut, "k", std::string(61'441, 'v'), 0), Status::kInvalid);
  EXPECT_EQ(submit(wire::Opcode::kHello, "", "", 0), Status::kInvalid);
  EXPECT_EQ(client_->in_flight(), 0u);
}

TEST_F(ClientTest, AFullClientAsksToPollFirst) {
  Options options;
  options.in_flight_max = 2;
  start({}, options);
  EXPECT_EQ(submit(wire::Opcode::kGet, "a", "", 1), Status::kOk);
  EXPECT_EQ(submit(wire::Opcode::kGet, "b", "", 2), Status::kOk);
  EXPECT_EQ(submit(wire::Opcode::kGet, "c", "", 3), Status::kNoResource);
  drain();
  EXPECT_EQ(submit(wire::Opcode::kGet, "c", "", 3), Status::kOk);
  drain();
  EXPECT_EQ(outcomes_.size(), 3u);
}

TEST_F(ClientTest, KeepsMutationsWithinTheServersWindow) {
  start({.window = 8}, quick());
  MiniFaults faults;
  faults.drop_reply = 0.1;
  faults.delay_reply = 0.1;
  server_->set_faults(faults);
  put_and_read_all(500);
  EXPECT_EQ(server_->counts().window_violations, 0u);
}

TEST_F(ClientTest, SurvivesLossDuplicationAndReorderingAndAppliesEachMutationOnce) {
  start({.kns = 2, .workers = 2, .seed = 5}, quick());
  MiniFaults faults;
  faults.drop_request = 0.1;
  faults.drop_reply = 0.1;
  faults.duplicate_reply = 0.2;
  faults.delay_reply = 0.2;
  faults.delay_ms = 8;
  server_->set_faults(faults);
  put_and_read_all(800);
  const auto counts = server_->counts();
  EXPECT_EQ(counts.applied, 800u);
  EXPECT_GT(counts.repeated, 0u);
  EXPECT_EQ(counts.unmarked, 0u);
  EXPECT_GT(client_->counters().timeouts, 0u);
  EXPECT_GT(client_->counters().late_replies, 0u);
  EXPECT_EQ(client_->counters().gave_up, 0u);
}

TEST_F(ClientTest, WaitsWhenBusyOrMoving) {
  start({}, quick());
  MiniFaults faults;
  faults.busy = 0.3;
  faults.moving = 0.3;
  server_->set_faults(faults);
  put_and_read_all(200);
  EXPECT_GT(client_->counters().busy, 0u);
  EXPECT_GT(client_->counters().moving, 0u);
  EXPECT_EQ(server_->counts().applied, 200u);
}

TEST_F(ClientTest, FollowsPartitionsThatMove) {
  start({.kns = 2});
  put_and_read_all(100);
  server_->move_all(1);
  put_and_read_all(100);
  EXPECT_GT(client_->counters().wrong_owner, 0u);
  EXPECT_EQ(client_->ring().version, 2u);
  const uint64_t wrong = client_->counters().wrong_owner;
  put_and_read_all(100);
  EXPECT_EQ(client_->counters().wrong_owner, wrong);
}

TEST_F(ClientTest, AWrongOwnerReplyWithAnUnchangedRingIsTriedAgain) {
  start({}, quick());
  ASSERT_EQ(blocking_->connect(), Status::kOk);
  server_->decline_next(wire::Status::kWrongOwner, 3, 0);
  EXPECT_EQ(blocking_->put(as_bytes("k"), as_bytes("v")).status, Status::kOk);
  EXPECT_EQ(client_->counters().wrong_owner, 3u);
  EXPECT_GE(server_->counts().marked, 1u)
      << "a copy that the network made may have been carried out";
}

TEST_F(ClientTest, AVoidCookieIsRenewedAndTheSessionGoesOn) {
  start({}, quick());
  put_and_read_all(50);
  server_->restart(false);
  put_and_read_all(50);
  EXPECT_EQ(client_->counters().sessions, 1u);
  EXPECT_GT(client_->counters().no_session, 0u);
  EXPECT_GE(server_->counts().hellos, 2u);  // a slow machine asks twice
  EXPECT_EQ(server_->counts().applied, 100u);
}

TEST_F(ClientTest, RandomNoSessionRepliesDoNotDisturb) {
  start({.kns = 2}, quick());
  MiniFaults faults;
  faults.no_session = 0.05;
  faults.drop_reply = 0.05;
  server_->set_faults(faults);
  put_and_read_all(300);
  EXPECT_EQ(client_->counters().gave_up, 0u);
}

TEST_F(ClientTest, AForgottenSessionStartsAnewWithoutRepeatingWhatMayHaveBeenApplied) {
  start({}, quick());
  put_and_read_all(20);
  // Not transmitted yet, or declined every time: goes on in the new session.
  server_->restart(true);
  EXPECT_EQ(blocking_->put(as_bytes("k"), as_bytes("v1")).status, Status::kOk);
  EXPECT_EQ(client_->counters().sessions, 2u);
  // Applied, the reply lost, then the session forgotten: unknown.
  MiniFaults faults;
  faults.drop_reply = 1;
  server_->set_faults(faults);
  ASSERT_EQ(submit(wire::Opcode::kPut, "k", "v2", 7), Status::kOk);
  client_->flush();
  while (server_->load("k") != "v2") client_->poll();
  server_->restart(true);
  server_->set_faults({});
  drain();
  EXPECT_EQ(outcomes_[7].status, Status::kStale);
  EXPECT_EQ(client_->counters().outcome_unknown, 1u);
  EXPECT_EQ(blocking_->put(as_bytes("k"), as_bytes("v3")).status, Status::kOk);
}

TEST_F(ClientTest, SilenceEndsAtTheDeadlineWithBoundedRetries) {
  Options options = quick();
  options.deadline_ms = 150;
  start({}, options);
  ASSERT_EQ(blocking_->connect(), Status::kOk);
  server_->mute(true);
  const Reply reply = blocking_->get(as_bytes("k"));
  EXPECT_EQ(reply.status, Status::kTimeout);
  EXPECT_FALSE(reply.answered);
  EXPECT_GT(reply.transmissions, 2u);
  EXPECT_LT(reply.transmissions, 20u);
  server_->mute(false);
  EXPECT_EQ(blocking_->get(as_bytes("k")).status, Status::kNotFound);
}

TEST_F(ClientTest, NobodyThereIsUnreachable) {
  Options options = quick();
  options.deadline_ms = 100;
  start({}, options);
  server_.reset();
  EXPECT_EQ(blocking_->get(as_bytes("k")).status, Status::kUnreachable);
  EXPECT_FALSE(client_->heard());
}

TEST_F(ClientTest, TwoClientsDoNotShareASession) {
  start();
  auto transport = *UdpTransport::create({});
  const Address seed = *parse_address(server_->address(), 1);
  auto other = *Client::create(transport.get(), &clock_, {}, std::span(&seed, 1));
  Blocking second(other.get());
  EXPECT_EQ(blocking_->put(as_bytes("k"), as_bytes("1")).status, Status::kOk);
  EXPECT_EQ(second.put(as_bytes("k"), as_bytes("2")).status, Status::kOk);
  EXPECT_EQ(blocking_->get(as_bytes("k")).text(), "2");
  EXPECT_NE(client_->session(), other->session());
}

TEST_F(ClientTest, ASecondSeedHelpsWhenTheFirstIsDead) {
  server_ = std::make_unique<MiniServer>();
  transport_ = *UdpTransport::create({});
  const std::vector<Address> seeds = *parse_addresses("127.0.0.1:9," + server_->address(), 1);
  client_ = *Client::create(transport_.get(), &clock_, quick(), seeds);
  blocking_ = std::make_unique<Blocking>(client_.get());
  EXPECT_EQ(blocking_->put(as_bytes("k"), as_bytes("v")).status, Status::kOk);
}

struct Chain {
  Client* client;
  int left;
};

TEST_F(ClientTest, CallbacksMaySubmit) {
  start();
  Chain chain{client_.get(), 20};
  Operation op;
  op.key = as_bytes("k");
  op.context = &chain;
  op.callback = [](void* context, const Completion&) {
    auto* const c = static_cast<Chain*>(context);
    if (--c->left == 0) return;
    Operation next;
    next.key = as_bytes("k");
    next.context = c;
    next.callback = [](void* inner, const Completion&) { --static_cast<Chain*>(inner)->left; };
    EXPECT_EQ(c->client->submit(next), Status::kOk);
  };
  ASSERT_EQ(client_->submit(op), Status::kOk);
  drain();
  EXPECT_EQ(chain.left, 18);
}

TEST(Address, TextForms) {
  EXPECT_EQ(parse_address("127.0.0.1", 7)->text(), "127.0.0.1:7");
  EXPECT_EQ(parse_address("127.0.0.1:9", 7)->text(), "127.0.0.1:9");
  EXPECT_EQ(parse_address("[::1]:9", 7)->text(), "[::1]:9");
  EXPECT_EQ(parse_address("::1", 7)->text(), "[::1]:7");
  EXPECT_EQ(parse_address("localhost:9", 7)->text(), "127.0.0.1:9");
  for (const char* bad :
       {"", ":9", "[::1", "1.2.3.4:", "1.2.3.4:0", "1.2.3.4:65536", "1.2.3.4:x"}) {
    EXPECT_EQ(parse_address(bad, 7).error(), Status::kInvalid) << bad;
  }
  EXPECT_EQ(parse_addresses("127.0.0.1,[::1]:2", 7)->size(), 2u);
  EXPECT_FALSE(parse_addresses("127.0.0.1,", 7).has_value());
}

}  // namespace
}  // namespace dinomo::client
