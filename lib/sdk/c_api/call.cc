// SPDX-License-Identifier: BSD-3-Clause
// Blocking calls.
#include <vector>

#include "sdk/c_api/handle.h"

using dinomo::sdk::Batch;

namespace {

constexpr uint64_t kForeverNs = UINT64_MAX;
constexpr uint32_t kConnectTries = 100;

/// Submits, waiting for room while others are in flight that will make some.
dinomo_status submit_waiting(dinomo_client* c, const dinomo_operation& op, Batch* batch, size_t i) {
  while (true) {
    const dinomo_status status = c->submit(op, batch, i);
    if (status != DINOMO_FULL || c->client->in_flight() == 0) return status;
    c->pump(kForeverNs);
  }
}

dinomo_operation keyed(dinomo_opcode opcode, const void* key, size_t key_bytes) noexcept {
  dinomo_operation op{};
  op.opcode = opcode;
  op.key = key;
  op.key_bytes = key_bytes;
  return op;
}

dinomo_operation storing(dinomo_opcode opcode, const void* key, size_t key_bytes, const void* value,
                         size_t value_bytes, uint64_t ttl_ms, uint32_t item_flags) noexcept {
  dinomo_operation op = keyed(opcode, key, key_bytes);
  op.value = value;
  op.value_bytes = value_bytes;
  op.ttl_ms = ttl_ms;
  op.item_flags = item_flags;
  return op;
}

}  // namespace

extern "C" {

dinomo_status dinomo_call_many(dinomo_client* c, const dinomo_operation* operations, size_t count,
                               dinomo_result* results) {
  if (c->in_callback || (operations == nullptr && count != 0)) return DINOMO_INVALID;
  std::vector<dinomo_result> unwanted(results == nullptr ? count : 0);
  Batch batch{results == nullptr ? unwanted.data() : results, 0};
  while (c->kept.size() < count) c->kept.emplace_back();
  for (size_t i = 0; i < count; ++i) {
    batch.results[i] = {};
    const dinomo_status status = submit_waiting(c, operations[i], &batch, i);
    if (status == DINOMO_OK) {
      ++batch.left;
      continue;
    }
    batch.results[i].status = status;
    batch.results[i].opcode = operations[i].opcode;
    batch.results[i].tag = operations[i].tag;
  }
  c->client->flush();
  while (batch.left != 0) c->pump(kForeverNs);
  for (size_t i = 0; i < count; ++i) {
    if (batch.results[i].status != DINOMO_OK) return batch.results[i].status;
  }
  return DINOMO_OK;
}

dinomo_status dinomo_call(dinomo_client* c, const dinomo_operation* operation,
                          dinomo_result* result) {
  dinomo_result unwanted{};
  if (operation == nullptr) return DINOMO_INVALID;
  return dinomo_call_many(c, operation, 1, result == nullptr ? &unwanted : result);
}

dinomo_status dinomo_connect(dinomo_client* c) {
  // A PING waits for a session and is given up at its deadline; the ring comes right after it.
  const dinomo_status hello = dinomo_ping(c, nullptr);
  if (hello != DINOMO_OK) return hello;
  for (uint32_t tries = 0; tries < kConnectTries && !c->client->connected(); ++tries) {
    c->client->connect();
    c->client->wait(dinomo::sdk::kSleepNs);
    c->poll();
  }
  return c->client->connected() ? DINOMO_OK : DINOMO_TIMEOUT;
}

dinomo_status dinomo_get(dinomo_client* c, const void* key, size_t key_bytes,
                         dinomo_result* result) {
  const dinomo_operation op = keyed(DINOMO_GET, key, key_bytes);
  return dinomo_call(c, &op, result);
}

dinomo_status dinomo_put(dinomo_client* c, const void* key, size_t key_bytes, const void* value,
                         size_t value_bytes, uint64_t ttl_ms, uint32_t item_flags,
                         dinomo_result* result) {
  const auto op = storing(DINOMO_PUT, key, key_bytes, value, value_bytes, ttl_ms, item_flags);
  return dinomo_call(c, &op, result);
}

dinomo_status dinomo_add(dinomo_client* c, const void* key, size_t key_bytes, const void* value,
                         size_t value_bytes, uint64_t ttl_ms, uint32_t item_flags,
                         dinomo_result* result) {
  const auto op = storing(DINOMO_ADD, key, key_bytes, value, value_bytes, ttl_ms, item_flags);
  return dinomo_call(c, &op, result);
}

dinomo_status dinomo_replace(dinomo_client* c, const void* key, size_t key_bytes, const void* value,
                             size_t value_bytes, uint64_t ttl_ms, uint32_t item_flags,
                             dinomo_result* result) {
  const auto op = storing(DINOMO_REPLACE, key, key_bytes, value, value_bytes, ttl_ms, item_flags);
  return dinomo_call(c, &op, result);
}

dinomo_status dinomo_cas(dinomo_client* c, const void* key, size_t key_bytes, uint64_t version,
                         const void* value, size_t value_bytes, uint64_t ttl_ms,
                         uint32_t item_flags, dinomo_result* result) {
  auto op = storing(DINOMO_CAS, key, key_bytes, value, value_bytes, ttl_ms, item_flags);
  op.version = version;
  return dinomo_call(c, &op, result);
}

dinomo_status dinomo_append(dinomo_client* c, const void* key, size_t key_bytes, const void* value,
                            size_t value_bytes, dinomo_result* result) {
  const auto op = storing(DINOMO_APPEND, key, key_bytes, value, value_bytes, 0, 0);
  return dinomo_call(c, &op, result);
}

dinomo_status dinomo_prepend(dinomo_client* c, const void* key, size_t key_bytes, const void* value,
                             size_t value_bytes, dinomo_result* result) {
  const auto op = storing(DINOMO_PREPEND, key, key_bytes, value, value_bytes, 0, 0);
  return dinomo_call(c, &op, result);
}

dinomo_status dinomo_delete(dinomo_client* c, const void* key, size_t key_bytes,
                            dinomo_result* result) {
  const dinomo_operation op = keyed(DINOMO_DELETE, key, key_bytes);
  return dinomo_call(c, &op, result);
}

dinomo_status dinomo_incr(dinomo_client* c, const void* key, size_t key_bytes, uint64_t delta,
                          dinomo_result* result) {
  dinomo_operation op = keyed(DINOMO_INCR, key, key_bytes);
  op.delta = delta;
  return dinomo_call(c, &op, result);
}

dinomo_status dinomo_decr(dinomo_client* c, const void* key, size_t key_bytes, uint64_t delta,
                          dinomo_result* result) {
  dinomo_operation op = keyed(DINOMO_DECR, key, key_bytes);
  op.delta = delta;
  return dinomo_call(c, &op, result);
}

dinomo_status dinomo_touch(dinomo_client* c, const void* key, size_t key_bytes, uint64_t ttl_ms,
                           dinomo_result* result) {
  dinomo_operation op = keyed(DINOMO_TOUCH, key, key_bytes);
  op.ttl_ms = ttl_ms;
  return dinomo_call(c, &op, result);
}

dinomo_status dinomo_get_and_touch(dinomo_client* c, const void* key, size_t key_bytes,
                                   uint64_t ttl_ms, dinomo_result* result) {
  dinomo_operation op = keyed(DINOMO_GET_AND_TOUCH, key, key_bytes);
  op.ttl_ms = ttl_ms;
  return dinomo_call(c, &op, result);
}

dinomo_status dinomo_ping(dinomo_client* c, dinomo_result* result) {
  dinomo_operation op{};
  op.opcode = DINOMO_PING;
  return dinomo_call(c, &op, result);
}

dinomo_status dinomo_stats(dinomo_client* c, dinomo_result* result) {
  dinomo_operation op{};
  op.opcode = DINOMO_STATS;
  return dinomo_call(c, &op, result);
}

}  // extern "C"
