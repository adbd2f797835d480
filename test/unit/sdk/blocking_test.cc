// SPDX-License-Identifier: BSD-3-Clause
// Blocking calls of the C interface.
#include <vector>

#include "sdk_fixture.h"

namespace dinomo::test {
namespace {

class BlockingTest : public SdkTest {};

TEST_F(BlockingTest, PutGetDelete) {
  open();
  dinomo_result r;
  EXPECT_EQ(dinomo_get(client_, "k", 1, &r), DINOMO_NOT_FOUND);
  EXPECT_EQ(r.status, DINOMO_NOT_FOUND);
  EXPECT_EQ(r.value_bytes, 0u);
  ASSERT_EQ(dinomo_put(client_, "k", 1, "hello", 5, 0, 9, &r), DINOMO_OK);
  const uint64_t version = r.version;
  EXPECT_NE(version, 0u);
  EXPECT_EQ(r.opcode, DINOMO_PUT);
  EXPECT_EQ(r.transmissions, 1u);
  EXPECT_GT(r.latency_ns, 0u);
  ASSERT_EQ(dinomo_get(client_, "k", 1, &r), DINOMO_OK);
  EXPECT_EQ(value_of(r), "hello");
  EXPECT_EQ(r.item_flags, 9u);
  EXPECT_EQ(r.version, version);
  EXPECT_EQ(dinomo_delete(client_, "k", 1, nullptr), DINOMO_OK);
  EXPECT_EQ(dinomo_delete(client_, "k", 1, nullptr), DINOMO_NOT_FOUND);
}

TEST_F(BlockingTest, KeysAndValuesAreBytes) {
  open();
  const std::string key("\0\xff key", 6);
  std::string value(61'440, '\0');
  for (size_t i = 0; i < value.size(); ++i) value[i] = static_cast<char>(i * 7);
  ASSERT_EQ(dinomo_put(client_, key.data(), key.size(), value.data(), value.size(), 0, 0, nullptr),
            DINOMO_OK);
  EXPECT_EQ(server_.load(key), value);
  dinomo_result r;
  ASSERT_EQ(dinomo_get(client_, key.data(), key.size(), &r), DINOMO_OK);
  EXPECT_EQ(value_of(r), value);
  ASSERT_EQ(dinomo_put(client_, "empty", 5, nullptr, 0, 0, 0, nullptr), DINOMO_OK);
  ASSERT_EQ(dinomo_get(client_, "empty", 5, &r), DINOMO_OK);
  EXPECT_EQ(r.value_bytes, 0u);
}

TEST_F(BlockingTest, PingAndStats) {
  open();
  dinomo_result r;
  EXPECT_EQ(dinomo_ping(client_, &r), DINOMO_OK);
  ASSERT_EQ(dinomo_stats(client_, &r), DINOMO_OK);
  EXPECT_EQ(value_of(r).front(), '{');
  ASSERT_EQ(dinomo_connect(client_), DINOMO_OK);
  dinomo_operation op = operation(DINOMO_PING, {});
  op.to_kn_slot = 1;
  op.kn_slot = 1;
  EXPECT_EQ(dinomo_call(client_, &op, &r), DINOMO_OK);
}

TEST_F(BlockingTest, WrongArgumentsSendNothing) {
  open();
  const std::string long_key(251, 'k');
  const std::string long_value(61'441, 'v');
  const auto status_of = [&](const dinomo_operation& op) {
    dinomo_result r;
    const dinomo_status status = dinomo_call(client_, &op, &r);
    EXPECT_EQ(r.status, status);
    EXPECT_EQ(dinomo_submit(client_, &op), status);
    return status;
  };
  EXPECT_EQ(status_of(operation(static_cast<dinomo_opcode>(1), "k")), DINOMO_INVALID);  // HELLO
  EXPECT_EQ(status_of(operation(static_cast<dinomo_opcode>(3), "k")), DINOMO_INVALID);  // RING
  EXPECT_EQ(status_of(operation(static_cast<dinomo_opcode>(99), "k")), DINOMO_INVALID);
  EXPECT_EQ(status_of(operation(static_cast<dinomo_opcode>(0x1010), "k")), DINOMO_INVALID);
  EXPECT_EQ(status_of(operation(DINOMO_GET, "")), DINOMO_INVALID);
  EXPECT_EQ(status_of(operation(DINOMO_PING, "k")), DINOMO_INVALID);
  EXPECT_EQ(status_of(operation(DINOMO_GET, long_key)), DINOMO_TOO_LARGE);
  EXPECT_EQ(status_of(operation(DINOMO_PUT, "k", long_value)), DINOMO_TOO_LARGE);
  dinomo_operation op = operation(DINOMO_GET, "k");
  op.reserved[3] = 1;
  EXPECT_EQ(status_of(op), DINOMO_INVALID);
  op = operation(DINOMO_GET, "k");
  op.key = nullptr;
  EXPECT_EQ(status_of(op), DINOMO_INVALID);
  op = operation(DINOMO_PUT, "k");
  op.value_bytes = 1;
  op.value = nullptr;
  EXPECT_EQ(status_of(op), DINOMO_INVALID);
  op = operation(DINOMO_INCR, "k");
  op.create = 2;
  EXPECT_EQ(status_of(op), DINOMO_INVALID);
  EXPECT_EQ(dinomo_call(client_, nullptr, nullptr), DINOMO_INVALID);
  EXPECT_EQ(dinomo_submit(client_, nullptr), DINOMO_INVALID);
  EXPECT_EQ(counter("submitted"), 0u);
  EXPECT_EQ(dinomo_in_flight(client_), 0u);
}

TEST_F(BlockingTest, ManyInOneGoMoreThanFit) {
  dinomo_options o{};
  o.in_flight_max = 8;
  open(o);
  std::vector<std::string> keys;
  for (int i = 0; i < 100; ++i) {
    keys.push_back("k" + std::to_string(i));
    if (i % 2 == 0) server_.store(keys.back(), "value " + std::to_string(i));
  }
  std::vector<dinomo_operation> ops;
  for (size_t i = 0; i < keys.size(); ++i) {
    ops.push_back(operation(DINOMO_GET, keys[i]));
    ops.back().tag = i;
  }
  ops[51] = operation(DINOMO_GET, "");  // one is wrong, the others do not suffer
  ops.push_back(operation(DINOMO_PUT, "new", "n"));
  std::vector<dinomo_result> results(ops.size());
  EXPECT_EQ(dinomo_call_many(client_, ops.data(), ops.size(), results.data()), DINOMO_NOT_FOUND);
  for (size_t i = 0; i < keys.size(); ++i) {
    if (i == 51) {
      EXPECT_EQ(results[i].status, DINOMO_INVALID);
    } else if (i % 2 == 0) {
      EXPECT_EQ(value_of(results[i]), "value " + std::to_string(i));
    } else {
      EXPECT_EQ(results[i].status, DINOMO_NOT_FOUND);
    }
    if (i != 51) EXPECT_EQ(results[i].tag, i);
  }
  EXPECT_EQ(results[100].status, DINOMO_OK);
  EXPECT_EQ(server_.load("new"), "n");
  EXPECT_EQ(dinomo_call_many(client_, nullptr, 0, nullptr), DINOMO_OK);
  EXPECT_EQ(dinomo_call_many(client_, ops.data(), 1, nullptr), DINOMO_OK);
}

TEST_F(BlockingTest, AMultiGetTravelsPacked) {
  open();
  ASSERT_EQ(dinomo_connect(client_), DINOMO_OK);
  std::vector<std::string> keys;
  for (int i = 0; i < 64; ++i) keys.push_back("key" + std::to_string(i));
  std::vector<dinomo_operation> ops;
  for (const std::string& key : keys) ops.push_back(operation(DINOMO_GET, key));
  const auto get_all = [&] { dinomo_call_many(client_, ops.data(), ops.size(), nullptr); };
  get_all();  // HELLO to each KN
  const uint64_t before = counter("datagrams_out");
  get_all();
  EXPECT_LE(counter("datagrams_out") - before, 8u);  // 4 workers, 32 bytes a request
}

TEST_F(BlockingTest, SilenceIsATimeoutAndNobodyIsUnreachable) {
  dinomo_options o{};
  o.deadline_ms = 150;
  o.retry_min_ms = 10;
  open(o);
  ASSERT_EQ(dinomo_put(client_, "k", 1, "v", 1, 0, 0, nullptr), DINOMO_OK);
  server_.mute(true);
  dinomo_result r;
  EXPECT_EQ(dinomo_get(client_, "k", 1, &r), DINOMO_TIMEOUT);
  EXPECT_GE(r.transmissions, 1u);
  dinomo_client* nobody = nullptr;
  ASSERT_EQ(dinomo_open("127.0.0.1:9", &o, &nobody), DINOMO_OK);
  EXPECT_EQ(dinomo_put(nobody, "k", 1, "v", 1, 0, 0, &r), DINOMO_UNREACHABLE);
  EXPECT_EQ(r.transmissions, 0u);  // so it was certainly not carried out
  EXPECT_EQ(dinomo_connect(nobody), DINOMO_UNREACHABLE);
  dinomo_close(nobody);
}

}  // namespace
}  // namespace dinomo::test
