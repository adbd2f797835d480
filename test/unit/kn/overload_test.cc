// SPDX-License-Identifier: BSD-3-Clause
// A worker that is offered more than it can serve: what it refuses, how, and what it holds.
#include <gtest/gtest.h>

#include <map>

#include "client/client.h"
#include "kn/worker.h"
#include "test/support/engine_world.h"
#include "test/support/world_transport.h"

namespace dinomo::kn {
namespace {

using test::EngineOptions;
using test::EngineReply;
using test::EngineWorld;
using wire::Opcode;
using wire::Status;

constexpr uint32_t kOffered = 2000;  // datagrams at once; a turn looks at 32 + 8 * 32 of them

EngineOptions slow() {
  EngineOptions o;
  o.turn_ns = 320'000;  // 10 us a datagram
  return o;
}

class OverloadTest : public testing::Test {
 protected:
  OverloadTest() : world(slow()) {}
  void SetUp() override {
    world.wait_serving();
    world.hello();
    ASSERT_EQ(world.put("k", "value").status, Status::kOk);
    world.replies();
  }
  const WorkerStats& stats() { return world.worker().stats(); }

  EngineWorld world;
};

TEST_F(OverloadTest, EveryRequestIsServedInOrderOrRefused) {
  std::vector<uint64_t> sent;
  for (uint32_t i = 0; i < kOffered; ++i) sent.push_back(world.send(Opcode::kGet, "k"));
  std::vector<uint64_t> served;
  std::map<uint64_t, Status> answers;
  size_t held = 0;
  size_t datagrams = 0;
  for (int turn = 0; turn < 100; ++turn) {
    const uint64_t out = world.network.counters().datagrams_out;
    world.turn();
    datagrams += world.network.counters().datagrams_out - out;
    held = std::max(held, world.network.held());
    for (const EngineReply& r : world.replies()) {
      EXPECT_TRUE(answers.emplace(r.sequence, r.status).second);
      if (r.status == Status::kOk) served.push_back(r.sequence);
    }
  }
  ASSERT_EQ(answers.size(), sent.size());
  EXPECT_TRUE(std::ranges::is_sorted(served));
  EXPECT_EQ(served.front(), sent.front());
  EXPECT_GT(served.size(), 200u);
  EXPECT_LT(served.size(), kOffered * 3 / 4);
  for (const auto& [sequence, status] : answers) {
    EXPECT_TRUE(status == Status::kOk || status == Status::kBusy) << wire::status_name(status);
  }
  EXPECT_EQ(stats().shed.get(), kOffered - served.size());
  EXPECT_EQ(stats().shed_datagrams.get(), stats().shed.get());
  // Bounded: what waits for a turn and what the turn looks at; the answers share datagrams.
  EXPECT_LE(held, Admission::kQueuedMax + 64);
  EXPECT_LE(stats().queued_most.get(), Admission::kQueuedMax);
  EXPECT_LT(datagrams, kOffered / 10);
  EXPECT_EQ(world.network.held(), 0u);
}

TEST_F(OverloadTest, NobodyIsRefusedForWhatCanBeServedInTime) {
  for (uint32_t i = 0; i < 32 + Admission::kQueuedMin; ++i) world.send(Opcode::kGet, "k");
  world.turns(10);
  for (const EngineReply& r : world.replies()) EXPECT_EQ(r.status, Status::kOk);
  EXPECT_EQ(stats().shed.get(), 0u);
}

TEST_F(OverloadTest, HintsAreAppointmentsOneBehindTheOther) {
  for (uint32_t i = 0; i < kOffered; ++i) world.send(Opcode::kGet, "k");
  world.turns(3);
  std::vector<uint32_t> hints;
  for (const auto& sent : world.network.take()) {
    wire::Reader reader(sent.payload, wire::Kind::kReply);
    wire::Message m;
    while (reader.next(&m)) {
      if (m.status() != Status::kBusy) continue;
      const auto hint = m.extras_as<wire::HintExtras>();
      ASSERT_TRUE(hint);
      hints.push_back(hint->retry_us);
    }
  }
  ASSERT_GT(hints.size(), 100u);
  EXPECT_LE(*std::ranges::max_element(hints), Admission::kRetryUsMax);
  EXPECT_GT(hints[90], hints[10]);
}

TEST_F(OverloadTest, ARefusedMutationDidNotRunAndMayBeRepeated) {
  std::map<uint64_t, std::string> open;
  for (uint32_t i = 0; i < 250; ++i) {
    const std::string key = "m" + std::to_string(i);
    world.next_sequence = 1000 + i;  // within the session's window
    open[world.send(Opcode::kPut, key, "1")] = key;
    world.next_sequence = 1'000'000 + 8 * i;
    for (int n = 0; n < 7; ++n) world.send(Opcode::kGet, "k");
  }
  const uint64_t puts = stats().puts.get();
  std::vector<uint64_t> refused;
  uint64_t done = 0;
  ASSERT_TRUE(world.turn_until(
      [&] {
        for (const EngineReply& r : world.replies()) {
          if (!open.contains(r.sequence)) continue;
          r.status == Status::kOk ? void(++done) : refused.push_back(r.sequence);
        }
        return done + refused.size() == open.size();
      },
      10'000));
  ASSERT_FALSE(refused.empty());
  EXPECT_EQ(stats().puts.get() - puts, done);
  for (const uint64_t sequence : refused) {
    EXPECT_EQ(world.get(open[sequence]).status, Status::kNotFound);
    const uint64_t next = std::exchange(world.next_sequence, sequence);
    EXPECT_EQ(world.put(open[sequence], "2").status, Status::kOk);
    world.next_sequence = next;
  }
}

TEST_F(OverloadTest, ClientsAreKeptGoingAndStrangersGetNoMoreThanEver) {
  for (uint32_t i = 0; i < kOffered / 2; ++i) world.send(Opcode::kGet, "k");
  const uint64_t ping = world.send(Opcode::kPing, "");
  wire::DatagramHeader stranger = world.header();
  stranger.cookie ^= 1;
  std::vector<std::byte> buffer(wire::kDatagramBytesMax);
  wire::Writer writer(buffer, stranger);
  wire::MessageHeader m{};
  m.opcode = static_cast<uint8_t>(Opcode::kGet);
  m.sequence = 7'000'000;
  ASSERT_TRUE(writer.append(m, {}, as_bytes(std::string_view("k")), {}));
  world.send_raw(writer.finish());
  world.turns(5);  // both lie where nothing is kept any more
  std::map<uint64_t, Status> answers;
  for (const EngineReply& r : world.replies()) answers[r.sequence] = r.status;
  EXPECT_GT(stats().shed.get(), 0u);
  EXPECT_EQ(answers.at(ping), Status::kOk);
  EXPECT_EQ(answers.at(7'000'000), Status::kNoSession);
}

struct Costs {
  uint64_t receive_ns;  // of every datagram
  uint64_t refuse_ns;
};

/// Clients that send at a given rate, whatever becomes of it, to a worker that takes 10 us for a
/// datagram it serves, receiving included, and some for one that it refuses. Behind a port of 1024
/// places.
class OpenLoop {
 public:
  static constexpr uint64_t kServeNs = 10'000;

  explicit OpenLoop(Costs costs) : world(options()), costs_(costs) {
    world.network.waiting_max = 1024;
    world.wait_serving();
    world.network.on_receive = [this](uint32_t n) { world.clock.now += n * costs_.receive_ns; };
    world.network.on_release = [this] { spend(); };
    const client::Address seed = *client::parse_address("10.0.0.1:11300", 1);
    for (uint16_t c = 0; c < 8; ++c) {
      client::Options o;
      o.seed = c + 1U;
      o.pack_max = 1;
      o.deadline_ms = 100;
      o.in_flight_max = 8192;
      transports.push_back(std::make_unique<test::WorldTransport>(&world, 3000 + c));
      clients.push_back(
          *client::Client::create(transports.back().get(), &world.clock, o, std::span(&seed, 1)));
    }
  }

  /// Answered a second, after the first third of the time.
  double goodput(double rate, uint64_t run_ns) {
    const uint64_t began = world.clock.now;
    double due = 0;
    uint64_t before = 0;
    while (world.clock.now - began < run_ns) {
      const uint64_t turn_began = world.clock.now;
      step();
      due += rate * static_cast<double>(world.clock.now - turn_began) / 1e9;
      for (; due >= 1; due -= 1) submit();
      if (world.clock.now - began < run_ns / 3) before = done;
    }
    return static_cast<double>(done - before) / (static_cast<double>(run_ns) * 2 / 3 / 1e9);
  }

  EngineWorld world;
  std::vector<std::unique_ptr<test::WorldTransport>> transports;
  std::vector<std::unique_ptr<client::Client>> clients;
  uint64_t done = 0;
  uint64_t first_try_ns_max = 0;  // of those that were never refused or repeated

 private:
  static EngineOptions options() {
    EngineOptions o;
    o.turn_ns = 1000;
    return o;
  }

  void submit() {
    client::Operation op;
    op.opcode = Opcode::kGet;
    op.key = as_bytes(std::string_view("k"));
    op.context = this;
    op.callback = [](void* context, const client::Completion& c) {
      auto* self = static_cast<OpenLoop*>(context);
      if (!c.answered) return;
      ++self->done;
      if (c.transmissions != 1) return;
      self->first_try_ns_max = std::max(self->first_try_ns_max, c.completed_ns - c.sent_ns);
    };
    (void)clients[next_++ % clients.size()]->submit(op);  // what finds no place is lost
  }

  /// Time goes by with the work that was done.
  void spend() {
    const WorkerStats& s = world.worker().stats();
    const uint64_t refused = s.shed.get() - shed_;
    const uint64_t served = s.requests.get() - requests_ - refused;
    world.clock.now += served * (kServeNs - costs_.receive_ns) + refused * costs_.refuse_ns;
    shed_ += refused;
    requests_ += served + refused;
  }

  void step() {
    world.turn();
    for (auto& sent : world.network.take()) {
      transports[sent.peer.remote_port - 3000U]->replies.push_back(std::move(sent.payload));
    }
    for (const auto& c : clients) c->poll();
  }

  const Costs costs_;
  uint64_t shed_ = 0;
  uint64_t requests_ = 0;
  size_t next_ = 0;
};

/// How dear refusing is, compared to serving: over memif, and over a port of the kernel's.
class OverloadGoodput : public testing::TestWithParam<Costs> {};

TEST_P(OverloadGoodput, StaysNearThePeakAtThreeTimesTheRate) {
  constexpr double kCapacity = 1e9 / OpenLoop::kServeNs;
  constexpr uint64_t kRunNs = 450'000'000;
  for (const double times : {0.9, 2.0, 3.0}) {
    OpenLoop loop(GetParam());
    const double goodput = loop.goodput(times * kCapacity, kRunNs);
    const WorkerStats& s = loop.world.worker().stats();
    uint64_t timeouts = 0;
    for (const auto& c : loop.clients) timeouts += c->counters().timeouts;
    std::printf("%.1f x: goodput %.0f%% of what is possible, %lu refused, %lu repeated, %.1f ms\n",
                times, 100 * goodput / kCapacity, s.shed.get(), timeouts,
                static_cast<double>(loop.first_try_ns_max) / 1e6);
    EXPECT_GT(goodput, 0.82 * std::min(times, 1.0) * kCapacity) << times;
    // 2 ms in the queue, and a port full of datagrams before that.
    EXPECT_LT(loop.first_try_ns_max, 17'000'000u) << times;
    EXPECT_LE(s.queued_most.get(), Admission::kQueuedMax);
    EXPECT_EQ(s.shed.get() != 0, times > 1) << times;
  }
}

INSTANTIATE_TEST_SUITE_P(Costs, OverloadGoodput,
                         testing::Values(Costs{0, 500}, Costs{0, 2000}, Costs{0, 5000},
                                         Costs{2000, 500}, Costs{4000, 1000}));

}  // namespace
}  // namespace dinomo::kn
