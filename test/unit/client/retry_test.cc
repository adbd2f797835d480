// SPDX-License-Identifier: BSD-3-Clause
// When the client sends again: exact, with a clock moved by hand and a network that is a list.
#include <gtest/gtest.h>

#include <array>
#include <deque>
#include <vector>

#include "client/client.h"
#include "steady_clock.h"

namespace dinomo::client {
namespace {

class ListTransport final : public Transport {
 public:
  Result<LinkId> open(const Address&) override { return 0; }
  void close(LinkId) noexcept override {}
  MutableBytes allocate(LinkId, size_t bytes) noexcept override {
    if (full) return {};
    buffer_.assign(bytes, std::byte{0});
    return buffer_;
  }
  void send(size_t bytes) noexcept override {
    sent.emplace_back(buffer_.begin(), buffer_.begin() + static_cast<ptrdiff_t>(bytes));
  }
  void flush() noexcept override {}
  uint32_t receive(std::span<Bytes> out) noexcept override {
    given_.clear();
    uint32_t n = 0;
    while (n < out.size() && !replies.empty()) {
      given_.push_back(std::move(replies.front()));
      replies.pop_front();
      out[n++] = given_.back();
    }
    return n;
  }
  void wait(uint64_t) noexcept override {}
  size_t datagram_bytes_max() const noexcept override { return 1472; }
  bool refused(LinkId) const noexcept override { return false; }

  bool full = false;
  std::vector<std::vector<std::byte>> sent;
  std::deque<std::vector<std::byte>> replies;

 private:
  std::vector<std::byte> buffer_;
  std::deque<std::vector<std::byte>> given_;
};

class RetryTest : public ::testing::Test {
 protected:
  RetryTest() {
    options_.retry_first_ms = 100;
    options_.retry_min_ms = 20;
    options_.retry_max_ms = 1000;
    options_.deadline_ms = 5000;
  }

  void start() {
    const Address seed = *parse_address("127.0.0.1:1", 1);
    client_ = *Client::create(&network_, &clock_, options_, std::span(&seed, 1));
  }

  /// Answers the first message of the oldest datagram sent.
  wire::MessageHeader answer(wire::Status status, Bytes extras, Bytes value) {
    wire::Reader reader(network_.sent.front(), wire::Kind::kRequest);
    wire::Message m;
    EXPECT_TRUE(reader.next(&m));
    wire::DatagramHeader h = reader.header();
    h.kind = static_cast<uint8_t>(wire::Kind::kReply);
    h.session = session_;
    const wire::MessageHeader request = m.header;
    wire::MessageHeader reply = request;
    reply.status = static_cast<uint8_t>(status);
    reply.flags = 0;
    std::vector<std::byte> bytes(1472);
    wire::Writer writer(bytes, h);
    EXPECT_TRUE(writer.append(reply, extras, {}, value));
    bytes.resize(writer.finish().size());
    network_.replies.push_back(bytes);
    network_.sent.erase(network_.sent.begin());
    client_->poll();
    return request;
  }

  void answer_hello() {
    wire::HelloReply hello{};
    hello.session = session_;
    hello.window = 16;
    hello.key_bytes_max = 250;
    hello.value_bytes_max = 61'440;
    hello.datagram_bytes_max = 1472;
    answer(wire::Status::kOk, {}, object_bytes(hello));
  }

  /// Submits a PING, for which no ring is needed, and gets the session for it.
  void ping_with_session() {
    start();
    submit();
    ASSERT_EQ(network_.sent.size(), 1u);
    EXPECT_EQ(network_.sent[0].size(), wire::kHelloBytesMin);
    answer_hello();
    ASSERT_EQ(network_.sent.size(), 1u);  // the PING
  }

  void submit() {
    Operation op;
    op.opcode = wire::Opcode::kPing;
    op.context = this;
    op.callback = [](void* context, const Completion& c) {
      auto* const test = static_cast<RetryTest*>(context);
      ++test->completions_;
      test->last_ = c.status;
    };
    ASSERT_EQ(client_->submit(op), Status::kOk);
    client_->flush();
  }

  /// Polls every millisecond; returns at which the next datagrams left, relative to now.
  std::vector<uint64_t> departures_ms(uint64_t ms) {
    std::vector<uint64_t> out;
    size_t before = network_.sent.size();
    for (uint64_t t = 1; t <= ms; ++t) {
      clock_.advance_ms(1);
      client_->poll();
      for (; before < network_.sent.size(); ++before) out.push_back(t);
    }
    return out;
  }

  static constexpr uint64_t session_ = 77;
  test::HandClock clock_;
  ListTransport network_;
  Options options_;
  std::unique_ptr<Client> client_;
  int completions_ = 0;
  Status last_ = Status::kOk;
};

TEST_F(RetryTest, BacksOffExponentiallyWithJitterWithinBoundsUntilTheDeadline) {
  ping_with_session();
  const auto at = departures_ms(6000);
  // The first round trip took no time at all, so the time-out starts at its least, 20 ms, and
  // doubles, give or take a quarter, up to a second. (The ring is asked for once as well.)
  std::vector<uint64_t> gaps;
  std::vector<uint64_t> pings;
  for (size_t i = 0; i < at.size(); ++i) {
    wire::Reader reader(network_.sent[network_.sent.size() - at.size() + i], wire::Kind::kRequest);
    wire::Message m;
    ASSERT_TRUE(reader.next(&m));
    if (m.opcode() == wire::Opcode::kPing) pings.push_back(at[i]);
  }
  ASSERT_GE(pings.size(), 7u);
  EXPECT_LE(pings.size(), 14u);
  EXPECT_NEAR(static_cast<double>(pings[0]), 20, 2);
  uint64_t expected = 40;
  for (size_t i = 1; i < pings.size(); ++i) {
    const auto gap = static_cast<double>(pings[i] - pings[i - 1]);
    EXPECT_GE(gap, 0.75 * static_cast<double>(expected) - 2) << i;
    EXPECT_LE(gap, 1.25 * static_cast<double>(expected) + 2) << i;
    expected = std::min<uint64_t>(2 * expected, 1000);
  }
  EXPECT_EQ(completions_, 1);
  EXPECT_EQ(last_, Status::kTimeout);
  EXPECT_EQ(client_->in_flight(), 0u);
}

TEST_F(RetryTest, TheSameSeedGivesTheSameSchedule) {
  ping_with_session();
  const auto one = departures_ms(3000);
  network_ = ListTransport();
  clock_.now = test::HandClock().now.load();
  completions_ = 0;
  ping_with_session();
  EXPECT_EQ(departures_ms(3000), one);
}

TEST_F(RetryTest, AttemptsAreBounded) {
  options_.attempts_max = 3;
  options_.deadline_ms = 3'600'000;
  ping_with_session();
  departures_ms(3000);
  EXPECT_EQ(completions_, 1);
  EXPECT_EQ(client_->counters().transmissions, 3u);
}

TEST_F(RetryTest, ABusyReplyIsTriedAgainAfterItsHint) {
  ping_with_session();
  const wire::HintExtras hint{8000, 0xffff, 0};
  answer(wire::Status::kBusy, object_bytes(hint), {});
  EXPECT_EQ(completions_, 0);
  const auto at = departures_ms(15);
  ASSERT_EQ(at.size(), 1u);
  EXPECT_GE(at[0], 6u);
  EXPECT_LE(at[0], 11u);
}

TEST_F(RetryTest, ALateReplyEndsTheRequestAndItsDuplicateIsDropped) {
  ping_with_session();
  const auto first = network_.sent.front();
  departures_ms(25);  // one repetition
  answer(wire::Status::kOk, {}, {});
  EXPECT_EQ(completions_, 1);
  ASSERT_FALSE(network_.sent.empty());
  answer(wire::Status::kOk, {}, {});  // to the repetition
  EXPECT_EQ(completions_, 1);
  EXPECT_EQ(client_->counters().late_replies, 1u);
}

TEST_F(RetryTest, NothingIsLostWhenTheTransportIsFullForAWhile) {
  ping_with_session();
  network_.full = true;
  const size_t before = network_.sent.size();
  submit();
  EXPECT_EQ(network_.sent.size(), before);
  network_.full = false;
  client_->poll();
  EXPECT_EQ(network_.sent.size(), before + 1);
}

TEST_F(RetryTest, AFullTransportStillEndsAtTheDeadline) {
  ping_with_session();
  network_.full = true;
  submit();
  departures_ms(6000);
  EXPECT_EQ(completions_, 2);
  EXPECT_EQ(client_->in_flight(), 0u);
}

TEST_F(RetryTest, GarbageIsCountedAndHarmless) {
  ping_with_session();
  client::Random random(3);
  const auto good = network_.sent.front();
  for (int i = 0; i < 20'000; ++i) {
    auto bytes = good;
    bytes[3] = std::byte{1};  // a reply
    for (int flips = 0; flips < 4; ++flips) {
      bytes[random.below(bytes.size())] = static_cast<std::byte>(random.next());
    }
    bytes.resize(random.below(bytes.size() + 1));
    network_.replies.push_back(bytes);
    client_->poll();
  }
  EXPECT_GT(client_->counters().malformed, 0u);
  EXPECT_LE(completions_, 1);
}

TEST(Timers, NeverEarlyAndAtMostASlotLate) {
  struct Counted : Timer {
    uint64_t fired_ns = 0;
  };
  auto wheel = std::make_unique<TimerWheel>();
  std::vector<Counted> timers(500);
  Random random(1);
  const uint64_t start_ns = 123'456'789;
  wheel->advance(start_ns, [](Timer*) {});
  for (Counted& t : timers) wheel->arm(&t, start_ns + random.below(3'000'000'000));
  uint64_t now_ns = start_ns;
  while (now_ns < start_ns + 3'100'000'000) {
    now_ns += random.below(400'000) + 1;
    wheel->advance(now_ns, [&](Timer* t) { static_cast<Counted*>(t)->fired_ns = now_ns; });
  }
  for (const Counted& t : timers) {
    ASSERT_GE(t.fired_ns, t.due_ns);
    ASSERT_LE(t.fired_ns, t.due_ns + 131'072 + 400'001);
  }
}

TEST(Timers, ACancelledOneDoesNotFireAndALongSleepLosesNone) {
  auto wheel = std::make_unique<TimerWheel>();
  Timer kept;
  Timer cancelled;
  wheel->arm(&kept, 5'000'000);
  wheel->arm(&cancelled, 5'000'000);
  TimerWheel::cancel(&cancelled);
  int fired = 0;
  wheel->advance(uint64_t{1} << 50, [&](Timer* t) {
    EXPECT_EQ(t, &kept);
    ++fired;
  });
  EXPECT_EQ(fired, 1);
}

}  // namespace
}  // namespace dinomo::client
