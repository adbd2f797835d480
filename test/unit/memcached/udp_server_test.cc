// SPDX-License-Identifier: BSD-3-Clause
// memcached's protocol in front of two real workers, of which one receives everything: half of the
// operations are handed over.
#include "memcached/udp_server.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "test/support/engine_world.h"

namespace dinomo::memcached {
namespace {

using test::EngineOptions;
using test::EngineWorld;

constexpr uint16_t kPort = 11211;

class UdpServerTest : public ::testing::Test {
 protected:
  UdpServerTest()
      : world(EngineOptions{.workers = 2}),
        hand_over(kn::HandOver::create(2, 2, 256)),
        desk0(hand_over.get(), 0, &world.worker()),
        desk1(hand_over.get(), 1, &world.other_worker(1)),
        server(config(), &desk0, &world.network) {
    world.worker().set_front_end(&desk0, kPort);
    world.other_worker(1).set_front_end(&desk1, kPort);
    peer.remote_address = ingress::parse_address("10.1.2.3")->address;
    peer.remote_port = 4321;
    peer.local_port = kPort;
  }
  void SetUp() override { world.wait_serving(); }
  void TearDown() override {
    EXPECT_TRUE(server.at_rest());
    EXPECT_EQ(world.network.held(), 0U);
    world.worker().set_front_end(nullptr);
    world.other_worker(1).set_front_end(nullptr);
  }

  static ServerConfig config() {
    ServerConfig c;
    std::string why;
    c.networks = *ingress::NetworkList::parse("10.1.0.0/16", &why);
    c.version = "1.2.3";
    c.stats = [](char* out, size_t) {
      constexpr std::string_view kText = "STAT a 1\r\nEND\r\n";
      std::ranges::copy(kText, out);
      return kText.size();
    };
    return c;
  }

  uint16_t send(std::string_view text) {
    const uint16_t id = ++ids_;
    const FrameHeader frame = make_frame(id, 0, 1);
    std::vector<std::byte> all;
    for (const Bytes part : {object_bytes(frame), as_bytes(text)}) {
      all.insert(all.end(), part.begin(), part.end());
    }
    world.network.put(peer, all);
    return id;
  }

  /// Puts the datagrams that were sent together; checks their numbers.
  void collect() {
    for (const auto& d : world.network.take()) {
      ASSERT_GT(d.payload.size(), sizeof(FrameHeader));
      ASSERT_LE(d.payload.size(), 1400U);
      EXPECT_EQ(d.peer, peer);
      const auto h = load<FrameHeader>(d.payload.data());
      Message& m = messages_[frame_order(h.request_id)];
      EXPECT_EQ(frame_order(h.sequence), m.seen++);
      EXPECT_TRUE(m.total == 0 || m.total == frame_order(h.total));
      m.total = frame_order(h.total);
      m.text += as_text(Bytes(d.payload).subspan(sizeof h));
    }
  }
  bool complete(uint16_t id) {
    collect();
    const auto at = messages_.find(id);
    return at != messages_.end() && at->second.seen == at->second.total;
  }
  std::string reply(uint16_t id) {
    EXPECT_TRUE(world.turn_until([&] { return complete(id); })) << "no reply";
    return messages_[id].text;
  }
  std::string ask(std::string_view text) { return reply(send(text)); }
  uint16_t datagrams(uint16_t id) { return messages_[id].total; }

  /// Some keys of each worker.
  static std::string key(int i) { return "key-" + std::to_string(i); }

  struct Message {
    uint16_t seen = 0;
    uint16_t total = 0;
    std::string text;
  };
  EngineWorld world;
  std::unique_ptr<kn::HandOver> hand_over;
  kn::ErrandDesk desk0;
  kn::ErrandDesk desk1;
  UdpServer server;
  ingress::Peer peer;
  uint16_t ids_ = 0;
  std::map<uint16_t, Message> messages_;
};

TEST_F(UdpServerTest, ServesKeysOfEveryWorker) {
  std::set<uint32_t> owners;
  for (int i = 0; i < 20; ++i) {
    const std::string k = key(i);
    owners.insert(worker_of(routing_hash(as_bytes(k)), 2));
    EXPECT_EQ(ask("set " + k + " " + std::to_string(i) + " 0 2\r\nab\r\n"), "STORED\r\n");
    EXPECT_EQ(ask("append " + k + " 0 0 1\r\nc\r\n"), "STORED\r\n");
    EXPECT_EQ(ask("get " + k + "\r\n"),
              "VALUE " + k + " " + std::to_string(i) + " 3\r\nabc\r\nEND\r\n");
    EXPECT_EQ(ask("delete " + k + "\r\n"), "DELETED\r\n");
    EXPECT_EQ(ask("get " + k + "\r\n"), "END\r\n");
  }
  EXPECT_EQ(owners.size(), 2U);
  EXPECT_EQ(server.counters().get_hits.get(), 20U);
  EXPECT_EQ(server.counters().get_misses.get(), 20U);
  EXPECT_EQ(server.counters().cmd_set.get(), 40U);
}

TEST_F(UdpServerTest, SharesItemsWithNativeClients) {
  const std::string k = [] {
    int i = 0;
    while (worker_of(routing_hash(as_bytes(key(i))), 2) != 0) ++i;
    return key(i);
  }();
  world.hello();
  EXPECT_EQ(ask("set " + k + " 7 0 5\r\nvalue\r\n"), "STORED\r\n");
  EXPECT_EQ(world.get(k).value, "value");
  const uint64_t version = world.put(k, "native").version;
  EXPECT_EQ(ask("gets " + k + "\r\n"),
            "VALUE " + k + " 0 6 " + std::to_string(version) + "\r\nnative\r\nEND\r\n");
  const std::string cas = "cas " + k + " 0 0 1 " + std::to_string(version) + "\r\nx\r\n";
  EXPECT_EQ(ask(cas), "STORED\r\n");
  EXPECT_EQ(ask(cas), "EXISTS\r\n");
}

TEST_F(UdpServerTest, AMultiGetIsOneMessageInTheOrderOfItsKeys) {
  std::string get = "get";
  std::string expected;
  for (int i = 0; i < 150; ++i) {
    const std::string k = key(i);
    get += " " + k;
    if (i % 3 == 2) continue;  // a miss
    const std::string value(100, static_cast<char>('a' + i % 26));
    ASSERT_EQ(ask("set " + k + " 0 0 100\r\n" + value + "\r\n"), "STORED\r\n");
    expected += "VALUE " + k + " 0 100\r\n" + value + "\r\n";
  }
  const uint16_t id = send(get + "\r\n");
  EXPECT_EQ(reply(id), expected + "END\r\n");
  EXPECT_EQ(datagrams(id), frames_of(expected.size() + 5));
}

TEST_F(UdpServerTest, EachCommandSeesWhatThoseBeforeItDid) {
  EXPECT_EQ(ask("set n 0 0 1\r\n5\r\nincr n 2\r\nget n\r\ndelete n\r\nget n\r\nmn\r\nversion\r\n"),
            "STORED\r\n7\r\nVALUE n 0 1\r\n7\r\nEND\r\nDELETED\r\nEND\r\nMN\r\nVERSION 1.2.3\r\n");
  EXPECT_EQ(ask("ms a 1 q\r\nx\r\nmg a v\r\nmg b v q\r\nmg a v k\r\nma n N0 J9 v t c q\r\nmn\r\n")
                .substr(0, 30),
            "VA 1\r\nx\r\nVA 1 ka\r\nx\r\nMN\r\n");
}

TEST_F(UdpServerTest, AnswersInBothWaysWhatItCounts) {
  EXPECT_EQ(ask("ma c N60 J5 v t\r\nma c v t D3\r\n"), "VA 1 t60\r\n5\r\nVA 1 t60\r\n8\r\n");
  EXPECT_EQ(ask("incr c 4\r\ndecr c 100\r\nincr none 1\r\n"), "12\r\n0\r\nNOT_FOUND\r\n");
  EXPECT_EQ(ask("stats\r\nstats items\r\n"), "STAT a 1\r\nEND\r\nEND\r\n");
  EXPECT_EQ(ask("flush_all\r\n"), std::string(kFlushRefusal));
}

TEST_F(UdpServerTest, ADatagramIsParsedByItself) {
  EXPECT_TRUE(ask("set cut 0 0 100\r\nAAA\r\n").starts_with("CLIENT_ERROR "));
  EXPECT_EQ(ask("get cut\r\n"), "END\r\n");
  EXPECT_TRUE(ask("mn\r\nget a").starts_with("MN\r\nCLIENT_ERROR "));
  EXPECT_EQ(ask("foo\r\nmn\r\n"), "ERROR\r\nMN\r\n");
}

TEST_F(UdpServerTest, SaysNothingWhereNothingIsToBeSaid) {
  send("set a 0 0 1 noreply\r\nx\r\n");
  send("mg none q\r\n");
  send("quit\r\n");
  world.turns(200);
  EXPECT_TRUE(world.network.take().empty());
  EXPECT_EQ(ask("get a\r\n"), "VALUE a 0 1\r\nx\r\nEND\r\n");
}

TEST_F(UdpServerTest, StrangersAndNonsenseGetNoAnswer) {
  peer.remote_address = ingress::parse_address("10.2.2.3")->address;
  send("version\r\n");
  peer.remote_address = ingress::parse_address("10.1.2.3")->address;
  world.network.put(peer, as_bytes("short"));
  world.network.put(peer, as_bytes(std::string_view("\0\0\0\0\0\2\0\0mn\r\n", 12)));
  world.turns(50);
  EXPECT_TRUE(world.network.take().empty());
  EXPECT_EQ(server.counters().dropped_source.get(), 1U);
  EXPECT_EQ(server.counters().dropped_frame.get(), 2U);
}

TEST_F(UdpServerTest, LargestValuesComeAndGo) {
  const std::string value(61440, 'v');
  EXPECT_EQ(ask("set big 0 0 61440\r\n" + value + "\r\n"), "STORED\r\n");
  const uint16_t id = send("get big\r\n");
  EXPECT_EQ(reply(id), "VALUE big 0 61440\r\n" + value + "\r\nEND\r\n");
  EXPECT_EQ(datagrams(id), 45);
  EXPECT_TRUE(ask("append big 0 0 1\r\nx\r\n").starts_with("SERVER_ERROR object too large"));
  // A reply has a limit; the request fails as a whole.
  EXPECT_EQ(ask("get big big big big big big big\r\n"),
            "SERVER_ERROR out of memory writing response\r\n");
  EXPECT_EQ(server.counters().replies_too_large.get(), 1U);
}

TEST_F(UdpServerTest, AFloodIsServedOrDroppedAndLeavesNothingBehind) {
  for (int i = 0; i < 16; ++i) ask("set " + key(i) + " 0 0 1\r\nx\r\n");
  std::string many = "get";
  for (int i = 0; i < 200; ++i) many += " " + key(i % 40);
  for (int i = 0; i < 600; ++i) send(many + "\r\n");
  for (int i = 0; i < 200; ++i) send("incr none 1\r\nset " + key(i) + " 0 0 1\r\ny\r\n");
  world.turns(5000);
  collect();
  const uint64_t served = server.counters().requests.get() - 16;
  EXPECT_EQ(served + server.counters().dropped_busy.get(), 800U);
  EXPECT_EQ(messages_.size(), 16 + served);
  for (const auto& [id, m] : messages_) {
    EXPECT_EQ(m.seen, m.total);
    EXPECT_TRUE(m.text.ends_with("END\r\n") || m.text.ends_with("STORED\r\n") ||
                m.text.starts_with("SERVER_ERROR "))
        << m.text.substr(0, 80);
  }
}

TEST_F(UdpServerTest, AnOutageIsNoMiss) {
  ASSERT_EQ(ask("set a 0 0 1\r\nx\r\n"), "STORED\r\n");
  world.shared().lease_deadline_ns = 0;
  const uint16_t id = send("get a b c\r\n");
  world.worker().poll();
  world.other_worker(1).poll();
  world.worker().poll();
  ASSERT_TRUE(complete(id));
  EXPECT_TRUE(messages_[id].text.starts_with("SERVER_ERROR busy")) << messages_[id].text;
}

// The reply tells whom to ask, for keys of the worker that received it and for those handed over,
// in every form of command; nothing is carried out.
TEST_F(UdpServerTest, AKeyOfAnotherKnNamesItsOwner) {
  const ring::Ring* const before = world.shared().ring.load();
  ring::Ring after = *before;
  ++after.version;
  after.owner.fill(77);
  const std::string unknown =
      "SERVER_ERROR another KN owns this key: this one does not relay to it\r\n";
  world.shared().ring.store(&after);
  world.turns(10);
  for (int i = 0; i < 8; ++i) EXPECT_EQ(ask("get " + key(i) + "\r\n"), unknown);

  ring::Ring known = after;
  ++known.version;
  for (const auto& [slot, address] : {std::pair(5, "fd00:1:2:3:4:5:6:7"), {77, "10.9.8.7"}}) {
    wire::KnRecord kn{};
    kn.address = ingress::parse_address(address)->address;
    kn.kn_slot = static_cast<uint16_t>(slot);
    known.kns.push_back(kn);
  }
  world.shared().ring.store(&known);
  world.turns(10);
  const std::string at =
      "SERVER_ERROR KN 77 at 10.9.8.7 owns this key: ask it, this one does not "
      "relay\r\n";
  for (int i = 0; i < 8; ++i) {
    EXPECT_EQ(ask("set " + key(i) + " 0 0 1\r\nx\r\n"), at);
    EXPECT_EQ(ask("mg " + key(i) + " v\r\n"), at);
  }
  EXPECT_EQ(ask("get key-0 key-1 key-2 key-3 key-4\r\n"), at);  // once: no END, no miss
  known.owner.fill(5);
  world.turns(10);
  EXPECT_EQ(ask("incr key-1 1\r\n"),
            "SERVER_ERROR KN 5 at fd00:1:2:3:4:5:6:7 owns this key: ask it, this one does not "
            "relay\r\n");
  world.shared().ring.store(before);
  world.turns(10);
  for (int i = 0; i < 8; ++i) EXPECT_EQ(ask("get " + key(i) + "\r\n"), "END\r\n");
}

}  // namespace
}  // namespace dinomo::memcached
