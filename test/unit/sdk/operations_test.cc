// SPDX-License-Identifier: BSD-3-Clause
// Every operation through the C interface: that each field reaches the server, and what comes back.
#include <cstring>
#include <ctime>
#include <iterator>

#include "sdk_fixture.h"

namespace dinomo::test {
namespace {

class OperationsTest : public SdkTest {
 protected:
  void SetUp() override { open(); }

  std::string load(const char* key) {
    dinomo_result r;
    return dinomo_get(client_, key, strlen(key), &r) == DINOMO_OK ? std::string(value_of(r)) : "-";
  }
  uint64_t expiry(const char* key) {
    dinomo_result r{};
    EXPECT_EQ(dinomo_get(client_, key, strlen(key), &r), DINOMO_OK);
    return r.expiry_unix_ms;
  }
  static uint64_t now_ms() { return static_cast<uint64_t>(std::time(nullptr)) * 1000; }
};

TEST_F(OperationsTest, AddAndReplace) {
  dinomo_result r;
  EXPECT_EQ(dinomo_replace(client_, "k", 1, "a", 1, 0, 0, &r), DINOMO_NOT_STORED);
  EXPECT_EQ(r.version, 0u);
  EXPECT_EQ(dinomo_add(client_, "k", 1, "b", 1, 600'000, 5, &r), DINOMO_OK);
  EXPECT_NE(r.version, 0u);
  EXPECT_EQ(dinomo_add(client_, "k", 1, "c", 1, 0, 0, nullptr), DINOMO_EXISTS);
  ASSERT_EQ(dinomo_get(client_, "k", 1, &r), DINOMO_OK);
  EXPECT_EQ(value_of(r), "b");
  EXPECT_EQ(r.item_flags, 5u);
  EXPECT_GT(r.expiry_unix_ms, now_ms() + 300'000);
  EXPECT_EQ(dinomo_replace(client_, "k", 1, "d", 1, 0, 6, &r), DINOMO_OK);
  ASSERT_EQ(dinomo_get(client_, "k", 1, &r), DINOMO_OK);
  EXPECT_EQ(value_of(r), "d");
  EXPECT_EQ(r.item_flags, 6u);
  EXPECT_EQ(r.expiry_unix_ms, 0u);
}

TEST_F(OperationsTest, AppendAndPrepend) {
  EXPECT_EQ(dinomo_append(client_, "k", 1, "x", 1, nullptr), DINOMO_NOT_STORED);
  EXPECT_EQ(dinomo_prepend(client_, "k", 1, "x", 1, nullptr), DINOMO_NOT_STORED);
  ASSERT_EQ(dinomo_put(client_, "k", 1, "mid", 3, 0, 0, nullptr), DINOMO_OK);
  EXPECT_EQ(dinomo_append(client_, "k", 1, "-end", 4, nullptr), DINOMO_OK);
  EXPECT_EQ(dinomo_prepend(client_, "k", 1, "begin-", 6, nullptr), DINOMO_OK);
  EXPECT_EQ(load("k"), "begin-mid-end");
}

TEST_F(OperationsTest, CompareAndSwap) {
  dinomo_result r;
  EXPECT_EQ(dinomo_cas(client_, "k", 1, 1, "x", 1, 0, 0, nullptr), DINOMO_NOT_FOUND);
  ASSERT_EQ(dinomo_put(client_, "k", 1, "one", 3, 0, 0, &r), DINOMO_OK);
  const uint64_t first = r.version;
  EXPECT_EQ(dinomo_cas(client_, "k", 1, first, "two", 3, 600'000, 9, &r), DINOMO_OK);
  EXPECT_NE(r.version, first);
  EXPECT_EQ(dinomo_cas(client_, "k", 1, first, "three", 5, 0, 0, &r), DINOMO_EXISTS);
  ASSERT_EQ(dinomo_get(client_, "k", 1, &r), DINOMO_OK);
  EXPECT_EQ(value_of(r), "two");
  EXPECT_EQ(r.item_flags, 9u);
  EXPECT_NE(r.expiry_unix_ms, 0u);
}

TEST_F(OperationsTest, Counters) {
  dinomo_result r;
  EXPECT_EQ(dinomo_incr(client_, "n", 1, 1, &r), DINOMO_NOT_FOUND);
  EXPECT_EQ(r.number, 0u);
  dinomo_operation op = operation(DINOMO_DECR, "n");
  op.delta = 1;
  op.create = 1;
  op.initial = 40;
  op.ttl_ms = 600'000;
  EXPECT_EQ(dinomo_call(client_, &op, &r), DINOMO_OK);
  EXPECT_EQ(r.number, 40u);
  EXPECT_NE(expiry("n"), 0u);
  EXPECT_EQ(dinomo_incr(client_, "n", 1, 2, &r), DINOMO_OK);
  EXPECT_EQ(r.number, 42u);
  EXPECT_NE(r.version, 0u);
  EXPECT_EQ(dinomo_decr(client_, "n", 1, 50, &r), DINOMO_OK);
  EXPECT_EQ(r.number, 0u);
  EXPECT_EQ(dinomo_incr(client_, "n", 1, UINT64_MAX, &r), DINOMO_OK);
  EXPECT_EQ(r.number, UINT64_MAX);
  EXPECT_EQ(load("n"), "18446744073709551615");
  ASSERT_EQ(dinomo_put(client_, "n", 1, "x", 1, 0, 0, nullptr), DINOMO_OK);
  EXPECT_EQ(dinomo_incr(client_, "n", 1, 1, &r), DINOMO_NOT_NUMBER);
  EXPECT_EQ(r.number, 0u);
}

TEST_F(OperationsTest, Touching) {
  dinomo_result r;
  EXPECT_EQ(dinomo_touch(client_, "k", 1, 1000, nullptr), DINOMO_NOT_FOUND);
  EXPECT_EQ(dinomo_get_and_touch(client_, "k", 1, 1000, &r), DINOMO_NOT_FOUND);
  ASSERT_EQ(dinomo_put(client_, "k", 1, "v", 1, 0, 3, nullptr), DINOMO_OK);
  EXPECT_EQ(dinomo_touch(client_, "k", 1, 600'000, &r), DINOMO_OK);
  EXPECT_NE(r.version, 0u);
  EXPECT_GT(expiry("k"), now_ms() + 300'000);
  EXPECT_EQ(dinomo_get_and_touch(client_, "k", 1, 0, &r), DINOMO_OK);
  EXPECT_EQ(value_of(r), "v");
  EXPECT_EQ(r.item_flags, 3u);
  EXPECT_NE(r.version, 0u);
  EXPECT_EQ(expiry("k"), 0u);
}

TEST_F(OperationsTest, AMixedBatch) {
  server_.store("a", "1");
  dinomo_operation ops[] = {operation(DINOMO_GET, "a"), operation(DINOMO_INCR, "n"),
                            operation(DINOMO_ADD, "b", "2"), operation(DINOMO_DELETE, "c"),
                            operation(DINOMO_PING, {})};
  ops[1].create = 1;
  ops[1].initial = 7;
  dinomo_result r[std::size(ops)];
  EXPECT_EQ(dinomo_call_many(client_, ops, std::size(ops), r), DINOMO_NOT_FOUND);
  EXPECT_EQ(value_of(r[0]), "1");
  EXPECT_EQ(r[1].number, 7u);
  EXPECT_EQ(r[2].status, DINOMO_OK);
  EXPECT_EQ(r[3].status, DINOMO_NOT_FOUND);
  EXPECT_EQ(r[4].status, DINOMO_OK);
}

TEST_F(OperationsTest, EveryIncrementCountsOnceOverALossyNetwork) {
  dinomo_options o{};
  o.in_flight_max = 32;
  o.deadline_ms = 60'000;
  o.retry_min_ms = 5;
  o.retry_max_ms = 50;
  open(o);
  server_.store("n", "0");
  server_.set_faults({.drop_request = 0.15, .drop_reply = 0.15, .duplicate_reply = 0.1});
  constexpr uint64_t kCount = 1000;
  uint64_t ended = 0;
  const auto on_end = [](void* context, const dinomo_result* r) {
    EXPECT_EQ(r->status, DINOMO_OK);
    ++*static_cast<uint64_t*>(context);
  };
  dinomo_operation op = operation(DINOMO_INCR, "n");
  op.delta = 1;
  op.callback = on_end;
  op.context = &ended;
  for (uint64_t i = 0; i < kCount; ++i) {
    while (dinomo_submit(client_, &op) == DINOMO_FULL) dinomo_poll(client_, -1);
  }
  while (dinomo_in_flight(client_) != 0) dinomo_poll(client_, -1);
  EXPECT_EQ(ended, kCount);
  EXPECT_EQ(server_.load("n"), std::to_string(kCount));
}

}  // namespace
}  // namespace dinomo::test
