// SPDX-License-Identifier: BSD-3-Clause
// GETs of a replicated key: which KNs the client asks, and when it asks the owner.
#include <gtest/gtest.h>

#include <array>
#include <deque>
#include <map>
#include <vector>

#include "client/client.h"
#include "common/hash.h"
#include "ring/ring.h"
#include "steady_clock.h"

namespace dinomo::client {
namespace {

constexpr std::string_view kKey = "hot";
constexpr uint16_t kOwner = 0;

/// Three KNs, KN n at port 1 + n; they answer HELLO and RING, and what the test has them say to
/// GETs.
class Kns final : public Transport {
 public:
  Kns() {
    ring.version = 3;
    ring.owner.fill(kOwner);
    const Address at = *parse_address("127.0.0.1:1", 1);
    for (uint16_t n = 0; n < 3; ++n) {
      ring.kns.push_back({at.ip, n, static_cast<uint16_t>(1 + n), 1, 0});
    }
  }
  void replicate(std::span<const uint16_t> kns) {
    ring.replicated = {ring::make_replicated(routing_hash(as_bytes(kKey)), 64, kns)};
  }

  Result<LinkId> open(const Address& address) override { return address.port; }
  void close(LinkId) noexcept override {}
  MutableBytes allocate(LinkId link, size_t bytes) noexcept override {
    link_ = link;
    buffer_.assign(bytes, std::byte{0});
    return buffer_;
  }
  void send(size_t bytes) noexcept override {
    wire::Reader reader(Bytes(buffer_).first(bytes), wire::Kind::kRequest);
    wire::Message m;
    while (reader.next(&m)) answer(reader.header(), m, static_cast<uint16_t>(link_ - 1));
  }
  void flush() noexcept override {}
  uint32_t receive(std::span<Bytes> out) noexcept override {
    given_ = std::move(replies_);
    replies_.clear();
    uint32_t n = 0;
    for (const auto& reply : given_) out[n++] = reply;
    return n;
  }
  void wait(uint64_t) noexcept override {}
  size_t datagram_bytes_max() const noexcept override { return 1472; }
  bool refused(LinkId) const noexcept override { return false; }

  ring::Ring ring;
  std::map<uint16_t, int> asked;          // GETs, by KN
  std::map<uint16_t, uint16_t> sends_to;  // KNs that do not serve the key, and whom they name
  int rings = 0;

 private:
  void answer(const wire::DatagramHeader& request, const wire::Message& m, uint16_t kn) {
    wire::DatagramHeader h = request;
    h.kind = static_cast<uint8_t>(wire::Kind::kReply);
    h.session = 77;
    wire::MessageHeader reply = m.header;
    reply.flags = 0;
    std::vector<std::byte> bytes(1472);
    wire::Writer writer(bytes, h);
    if (m.opcode() == wire::Opcode::kHello) {
      wire::HelloReply hello{};
      hello.session = 77;
      hello.window = 16;
      hello.key_bytes_max = 250;
      hello.value_bytes_max = 61'440;
      hello.datagram_bytes_max = 1472;
      hello.kn_slot = kn;
      writer.append(reply, {}, {}, object_bytes(hello));
    } else if (m.opcode() == wire::Opcode::kRing) {
      ++rings;
      std::array<std::byte, 1300> page;
      const auto wanted = m.extras_as<wire::RingExtras>().value_or(wire::RingExtras{});
      const size_t size = ring::encode_page(ring, wanted, page.data(), page.size());
      writer.append(reply, {}, {}, Bytes(page).first(size));
    } else {
      ++asked[kn];
      const auto other = sends_to.find(kn);
      const bool serves = other == sends_to.end();
      reply.status =
          static_cast<uint8_t>(serves ? wire::Status::kNotFound : wire::Status::kWrongOwner);
      const wire::HintExtras hint{0, serves ? kn : other->second, 0};
      writer.append(reply, serves ? Bytes() : object_bytes(hint), {}, {});
    }
    bytes.resize(writer.finish().size());
    replies_.push_back(std::move(bytes));
  }

  LinkId link_ = 0;
  std::vector<std::byte> buffer_;
  std::deque<std::vector<std::byte>> replies_;
  std::deque<std::vector<std::byte>> given_;
};

class ReplicaTest : public ::testing::Test {
 protected:
  void start() {
    const Address seed = *parse_address("127.0.0.1:1", 1);
    client_ = *Client::create(&kns_, &clock_, {}, std::span(&seed, 1));
  }
  /// To its end, which comes within some polls.
  void get(wire::Opcode opcode = wire::Opcode::kGet) {
    Operation op;
    op.opcode = opcode;
    op.key = as_bytes(kKey);
    op.context = this;
    op.callback = [](void* context, const Completion& c) {
      auto* const test = static_cast<ReplicaTest*>(context);
      ++test->ended_;
      test->last_ = c.status;
    };
    const int before = ended_;
    ASSERT_EQ(client_->submit(op), Status::kOk);
    for (int i = 0; i < 100 && ended_ == before; ++i) {
      clock_.advance_ms(1);
      client_->flush();
      client_->poll();
    }
    ASSERT_EQ(ended_, before + 1);
    ASSERT_EQ(last_, Status::kNotFound);
  }

  Kns kns_;
  test::HandClock clock_;
  std::unique_ptr<Client> client_;
  int ended_ = 0;
  Status last_ = Status::kOk;
};

TEST_F(ReplicaTest, GetsAreSpreadOverTheKnsOfTheList) {
  const std::array<uint16_t, 2> kns{kOwner, 2};
  kns_.replicate(kns);
  start();
  for (int i = 0; i < 200; ++i) get();
  EXPECT_GT(kns_.asked[kOwner], 50);
  EXPECT_GT(kns_.asked[2], 50);
  EXPECT_EQ(kns_.asked[1], 0);
}

TEST_F(ReplicaTest, MutationsGoToTheOwner) {
  const std::array<uint16_t, 2> kns{1, 2};
  kns_.replicate(kns);
  start();
  for (int i = 0; i < 20; ++i) get(wire::Opcode::kDelete);
  EXPECT_EQ(kns_.asked, (std::map<uint16_t, int>{{kOwner, 20}}));
}

TEST_F(ReplicaTest, OneThatCannotTellSendsToTheOwnerAndNoRingIsAskedFor) {
  const std::array<uint16_t, 1> kns{1};
  kns_.replicate(kns);
  kns_.sends_to[1] = kOwner;
  start();
  get();
  const int rings = kns_.rings;
  get();
  EXPECT_EQ(kns_.asked, (std::map<uint16_t, int>{{kOwner, 2}, {1, 2}}));
  EXPECT_EQ(kns_.rings, rings);
}

TEST_F(ReplicaTest, OneThatNamesAnotherOwnerThanTheRingIsReasonForANewRing) {
  const std::array<uint16_t, 1> kns{1};
  kns_.replicate(kns);
  start();
  get();
  const int rings = kns_.rings;
  kns_.sends_to[1] = 2;
  kns_.ring.version = 4;
  kns_.ring.owner.fill(2);
  kns_.ring.replicated.clear();
  get();
  EXPECT_GT(kns_.rings, rings);
  EXPECT_EQ(kns_.asked, (std::map<uint16_t, int>{{1, 2}, {2, 1}}));
}

}  // namespace
}  // namespace dinomo::client
