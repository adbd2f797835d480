// SPDX-License-Identifier: BSD-3-Clause
// Asynchronous calls of the C interface: callbacks, the queue, event loops, closing.
#include <poll.h>

#include <map>
#include <set>
#include <vector>

#include "sdk_fixture.h"

namespace dinomo::test {
namespace {

class AsyncTest : public SdkTest {
 protected:
  void run_until_idle() {
    while (dinomo_in_flight(client_) != 0) dinomo_poll(client_, -1);
  }
};

struct Seen {
  dinomo_client* client = nullptr;
  std::vector<dinomo_status> statuses{};
  std::vector<uint64_t> tags{};
  std::string value{};
  dinomo_operation again{};  // submitted by the first callback, if it has an opcode
  dinomo_status from_inside = DINOMO_OK;
  uint32_t poll_from_inside = 99;
};

void see(void* context, const dinomo_result* r) {
  auto* const seen = static_cast<Seen*>(context);
  seen->statuses.push_back(r->status);
  seen->tags.push_back(r->tag);
  seen->value = value_of(*r);
  if (seen->again.opcode == 0) return;
  const dinomo_operation again = seen->again;
  seen->again = {};
  seen->poll_from_inside = dinomo_poll(seen->client, -1);
  dinomo_flush(seen->client);
  EXPECT_EQ(dinomo_get(seen->client, "k", 1, nullptr), DINOMO_INVALID);
  seen->from_inside = dinomo_submit(seen->client, &again);
}

dinomo_operation calling(dinomo_operation op, Seen* seen, uint64_t tag) {
  op.callback = see;
  op.context = seen;
  op.tag = tag;
  return op;
}

TEST_F(AsyncTest, CallbacksGetTagAndValueAndMaySubmit) {
  Seen seen{.client = open()};
  server_.store("k", "stored");
  const auto first = calling(operation(DINOMO_GET, "k"), &seen, 1);
  seen.again = calling(operation(DINOMO_GET, "absent"), &seen, 2);
  ASSERT_EQ(dinomo_submit(client_, &first), DINOMO_OK);
  EXPECT_EQ(dinomo_in_flight(client_), 1u);
  EXPECT_TRUE(seen.tags.empty());  // never from submit or flush
  dinomo_flush(client_);
  EXPECT_TRUE(seen.tags.empty());
  while (seen.tags.empty()) dinomo_poll(client_, -1);
  EXPECT_EQ(seen.value, "stored");
  EXPECT_EQ(seen.poll_from_inside, 0u);
  EXPECT_EQ(seen.from_inside, DINOMO_OK);
  run_until_idle();
  EXPECT_EQ(seen.tags, (std::vector<uint64_t>{1, 2}));
  EXPECT_EQ(seen.statuses[1], DINOMO_NOT_FOUND);
}

TEST_F(AsyncTest, WithoutCallbackResultsQueue) {
  open();
  std::map<uint64_t, std::string> expected;
  for (uint64_t i = 0; i < 50; ++i) {
    const std::string key = "k" + std::to_string(i);
    server_.store(key, expected[i] = std::string(i, 'v'));
    dinomo_operation op = operation(DINOMO_GET, key);
    op.tag = i;
    ASSERT_EQ(dinomo_submit(client_, &op), DINOMO_OK);
  }
  dinomo_result r;
  EXPECT_EQ(dinomo_next(client_, &r), 0);
  size_t got = 0;
  while (dinomo_in_flight(client_) != 0) {
    dinomo_poll(client_, -1);
    while (dinomo_next(client_, &r) == 1) {
      ++got;
      EXPECT_EQ(value_of(r), expected.at(r.tag));
      expected.erase(r.tag);
    }
  }
  EXPECT_EQ(got, 50u);
  EXPECT_TRUE(expected.empty());
}

TEST_F(AsyncTest, ResultsThatNobodyTakesCount) {
  dinomo_options o{};
  o.in_flight_max = 1;
  open(o);
  server_.store("k", "v");
  const auto op = operation(DINOMO_GET, "k");
  ASSERT_EQ(dinomo_submit(client_, &op), DINOMO_OK);
  EXPECT_EQ(dinomo_submit(client_, &op), DINOMO_FULL);
  while (dinomo_poll(client_, -1) == 0) {
  }
  EXPECT_EQ(dinomo_submit(client_, &op), DINOMO_FULL);
  EXPECT_EQ(dinomo_get(client_, "k", 1, nullptr), DINOMO_FULL);  // nothing will ever make room
  EXPECT_EQ(dinomo_poll(client_, -1), 0u);  // nor is there anything to wait for
  dinomo_result r;
  ASSERT_EQ(dinomo_next(client_, &r), 1);
  EXPECT_EQ(dinomo_submit(client_, &op), DINOMO_OK);
  EXPECT_EQ(value_of(r), "v");  // valid until the next dinomo_next
  while (dinomo_poll(client_, -1) == 0) {
  }
  EXPECT_EQ(value_of(r), "v");
}

TEST_F(AsyncTest, PollComesBackInTime) {
  open();
  ASSERT_EQ(dinomo_ping(client_, nullptr), DINOMO_OK);
  EXPECT_EQ(dinomo_poll(client_, 0), 0u);
  EXPECT_EQ(dinomo_poll(client_, 60'000), 0u);  // nothing in flight: at once
  server_.mute(true);
  const auto op = operation(DINOMO_GET, "k");
  ASSERT_EQ(dinomo_submit(client_, &op), DINOMO_OK);
  EXPECT_EQ(dinomo_poll(client_, 30), 0u);
  EXPECT_EQ(dinomo_in_flight(client_), 1u);
}

TEST_F(AsyncTest, AnEventLoopIsWoken) {
  open();
  ASSERT_EQ(dinomo_ping(client_, nullptr), DINOMO_OK);
  const auto op = operation(DINOMO_PING, {});
  ASSERT_EQ(dinomo_submit(client_, &op), DINOMO_OK);
  dinomo_flush(client_);
  EXPECT_LE(dinomo_idle_ns(client_, 10'000'000'000), 2'000'000'000u);  // a time-out is armed
  uint32_t ended = 0;
  for (int turn = 0; turn < 1000 && ended == 0; ++turn) {
    pollfd fd{dinomo_fd(client_), POLLIN, 0};
    poll(&fd, 1, static_cast<int>(dinomo_idle_ns(client_, 1'000'000'000) / 1'000'000) + 1);
    ended = dinomo_poll(client_, 0);
  }
  EXPECT_EQ(ended, 1u);
  EXPECT_EQ(counter("transmissions"), 2u);
}

TEST_F(AsyncTest, ClosingEndsWhatIsInFlight) {
  Seen seen{.client = open()};
  server_.mute(true);
  seen.again = operation(DINOMO_GET, "k");
  for (uint64_t tag = 0; tag < 3; ++tag) {
    const auto op = calling(operation(DINOMO_PUT, "k", "v"), &seen, tag);
    ASSERT_EQ(dinomo_submit(client_, &op), DINOMO_OK);
  }
  const auto queued = operation(DINOMO_GET, "k");
  ASSERT_EQ(dinomo_submit(client_, &queued), DINOMO_OK);
  dinomo_poll(client_, 1);
  dinomo_close(client_);
  client_ = nullptr;
  EXPECT_EQ(seen.statuses, std::vector<dinomo_status>(3, DINOMO_CLOSED));
  EXPECT_EQ(std::set(seen.tags.begin(), seen.tags.end()), (std::set<uint64_t>{0, 1, 2}));
  EXPECT_EQ(seen.from_inside, DINOMO_CLOSED);
}

TEST_F(AsyncTest, ALostSessionLeavesTheOutcomeUnknown) {
  dinomo_options o{};
  o.retry_min_ms = 5;
  o.retry_max_ms = 20;
  Seen seen{.client = open(o)};
  ASSERT_EQ(dinomo_put(client_, "k", 1, "before", 6, 0, 0, nullptr), DINOMO_OK);
  server_.mute(true);
  const auto op = calling(operation(DINOMO_PUT, "k", "after"), &seen, 7);
  ASSERT_EQ(dinomo_submit(client_, &op), DINOMO_OK);
  while (counter("timeouts") == 0) dinomo_poll(client_, 5);
  server_.restart(/*sessions=*/true);
  server_.mute(false);
  run_until_idle();
  EXPECT_EQ(seen.statuses, std::vector<dinomo_status>{DINOMO_OUTCOME_UNKNOWN});
}

TEST_F(AsyncTest, EveryOperationEndsOnceOverALossyNetwork) {
  dinomo_options o{};
  o.in_flight_max = 64;
  o.deadline_ms = 60'000;
  o.retry_min_ms = 5;
  o.retry_max_ms = 50;
  open(o);
  server_.set_faults(
      {.drop_request = 0.1, .drop_reply = 0.1, .duplicate_reply = 0.1, .busy = 0.05});
  Seen seen{.client = client_};
  constexpr uint64_t kPuts = 2000;
  for (uint64_t i = 0; i < kPuts; ++i) {
    const std::string key = "k" + std::to_string(i % 100);
    const auto op = calling(operation(DINOMO_PUT, key, "v"), &seen, i);
    while (dinomo_submit(client_, &op) == DINOMO_FULL) dinomo_poll(client_, -1);
  }
  run_until_idle();
  EXPECT_EQ(seen.statuses, std::vector<dinomo_status>(kPuts, DINOMO_OK));
  EXPECT_EQ(std::set(seen.tags.begin(), seen.tags.end()).size(), kPuts);
  EXPECT_EQ(server_.counts().applied, kPuts);
}

}  // namespace
}  // namespace dinomo::test
