// SPDX-License-Identifier: BSD-3-Clause
// Submitting, polling, and where results go.
#include <algorithm>
#include <array>
#include <cstring>

#include "common/decimal.h"
#include "sdk/c_api/handle.h"

namespace dinomo::sdk {

namespace {

bool is_keyless(dinomo_opcode opcode) noexcept {
  return opcode == DINOMO_PING || opcode == DINOMO_STATS;
}

bool is_known(dinomo_opcode opcode) noexcept {
  return is_keyless(opcode) || opcode == DINOMO_GET ||
         (opcode >= DINOMO_PUT && opcode <= DINOMO_GET_AND_TOUCH);
}

/// Extras of a request, of whichever kind.
struct Extras {
  std::array<std::byte, 32> bytes{};
  size_t size = 0;

  template <class T>
  void set(const T& extras) noexcept {
    static_assert(sizeof(T) <= 32);
    store(bytes.data(), extras);
    size = sizeof(T);
  }
};

Extras extras_of(const dinomo_operation& op) noexcept {
  Extras out;
  const wire::PutExtras put{op.ttl_ms, op.item_flags, 0};
  switch (op.opcode) {
    case DINOMO_PUT:
    case DINOMO_ADD:
    case DINOMO_REPLACE:
    case DINOMO_APPEND:
    case DINOMO_PREPEND:
      if (op.ttl_ms != 0 || op.item_flags != 0) out.set(put);
      break;
    case DINOMO_CAS: out.set(wire::CasExtras{op.version, put}); break;
    case DINOMO_INCR:
    case DINOMO_DECR:
      out.set(wire::CounterExtras{op.delta, op.initial, op.ttl_ms, op.create, 0});
      break;
    case DINOMO_TOUCH:
    case DINOMO_GET_AND_TOUCH: out.set(wire::TouchExtras{op.ttl_ms}); break;
    case DINOMO_PING:
    case DINOMO_STATS:
    case DINOMO_GET:
    case DINOMO_DELETE: break;
  }
  return out;
}

dinomo_status status_of(const client::Completion& c) noexcept {
  if (c.answered) return static_cast<dinomo_status>(c.wire_status);
  switch (c.status) {
    case Status::kTimeout: return DINOMO_TIMEOUT;
    case Status::kUnreachable: return DINOMO_UNREACHABLE;
    case Status::kStale: return DINOMO_OUTCOME_UNKNOWN;
    default: return DINOMO_INTERNAL;
  }
}

/// INCR and DECR answer with the new number in decimal.
uint64_t number_of(const client::Completion& c) noexcept {
  const bool counter = c.opcode == wire::Opcode::kIncr || c.opcode == wire::Opcode::kDecr;
  if (!counter || c.status != Status::kOk) return 0;
  return parse_decimal(as_text(c.value)).value_or(0);
}

void on_completion(void* context, const client::Completion& completion) {
  auto* const slot = static_cast<Slot*>(context);
  slot->owner->finish(slot, to_result(completion));
}

}  // namespace

dinomo_result to_result(const client::Completion& c) noexcept {
  dinomo_result out{};
  out.status = status_of(c);
  out.opcode = static_cast<dinomo_opcode>(c.opcode);
  out.value = c.value.data();
  out.value_bytes = c.value.size();
  out.version = c.version;
  out.expiry_unix_ms = c.item.expiry_ms;
  out.number = number_of(c);
  out.item_flags = c.item.item_flags;
  out.transmissions = c.transmissions;
  out.latency_ns = c.sent_ns == 0 ? 0 : c.completed_ns - c.sent_ns;
  return out;
}

dinomo_status check(const dinomo_operation& op) noexcept {
  if (!is_known(op.opcode) || op.create > 1 || op.to_kn_slot > 1) return DINOMO_INVALID;
  if (std::ranges::any_of(op.reserved, [](uint64_t word) { return word != 0; })) {
    return DINOMO_INVALID;
  }
  if ((op.key == nullptr && op.key_bytes != 0) || (op.value == nullptr && op.value_bytes != 0)) {
    return DINOMO_INVALID;
  }
  if (is_keyless(op.opcode) != (op.key_bytes == 0)) return DINOMO_INVALID;
  if (op.key_bytes > DINOMO_KEY_BYTES_MAX || op.value_bytes > DINOMO_VALUE_BYTES_MAX) {
    return DINOMO_TOO_LARGE;
  }
  return DINOMO_OK;
}

}  // namespace dinomo::sdk

using dinomo::sdk::Batch;
using dinomo::sdk::Slot;
using dinomo::sdk::Target;

dinomo_status dinomo_client::submit(const dinomo_operation& op, Batch* batch, size_t index) {
  if (const dinomo_status wrong = dinomo::sdk::check(op); wrong != DINOMO_OK) return wrong;
  if (closing) return DINOMO_CLOSED;
  if (free.empty()) return DINOMO_FULL;
  Slot& slot = slots[free.back()];
  const dinomo::sdk::Extras extras = dinomo::sdk::extras_of(op);
  dinomo::client::Operation out;
  out.opcode = static_cast<dinomo::wire::Opcode>(op.opcode);
  if (op.opcode == DINOMO_GET) out.flags = dinomo::wire::kWantItem;
  out.key = {static_cast<const std::byte*>(op.key), op.key_bytes};
  out.value = {static_cast<const std::byte*>(op.value), op.value_bytes};
  out.extras = dinomo::Bytes(extras.bytes).first(extras.size);
  if (op.to_kn_slot != 0) out.kn_slot = op.kn_slot;
  out.callback = dinomo::sdk::on_completion;
  out.context = &slot;
  switch (client->submit(out)) {
    case dinomo::Status::kOk: break;
    case dinomo::Status::kNoResource: return DINOMO_FULL;
    case dinomo::Status::kOutOfRange: return DINOMO_TOO_LARGE;
    default: return DINOMO_INVALID;
  }
  free.pop_back();
  slot.target = batch != nullptr         ? Target::kBatch
                : op.callback != nullptr ? Target::kCallback
                                         : Target::kQueue;
  slot.callback = op.callback;
  slot.context = op.context;
  slot.batch = batch;
  slot.index = index;
  slot.opcode = op.opcode;
  slot.tag = op.tag;
  return DINOMO_OK;
}

void dinomo_client::release(Slot* slot) {
  slot->target = Target::kFree;
  free.push_back(static_cast<uint32_t>(slot - slots.data()));
}

void dinomo_client::finish(Slot* slot, const dinomo_result& from_server) {
  ++delivered;
  dinomo_result result = from_server;
  result.tag = slot->tag;
  const auto* const value = static_cast<const std::byte*>(result.value);
  switch (slot->target) {
    case Target::kFree: return;
    case Target::kQueue:
      slot->value.assign(value, value + result.value_bytes);
      slot->result = result;
      ended.push_back(static_cast<uint32_t>(slot - slots.data()));
      return;
    case Target::kBatch: {
      std::vector<std::byte>& mine = kept[slot->index];
      mine.assign(value, value + result.value_bytes);
      result.value = mine.data();
      slot->batch->results[slot->index] = result;
      --slot->batch->left;
      return release(slot);
    }
    case Target::kCallback: {
      const dinomo_callback callback = slot->callback;
      void* const context = slot->context;
      release(slot);  // first, so that the callback can submit the next one
      return callback(context, &result);
    }
  }
}

uint32_t dinomo_client::poll() {
  in_callback = true;
  delivered = 0;
  client->poll();
  in_callback = false;
  return delivered;
}

void dinomo_client::pump(uint64_t limit_ns) {
  if (poll() == 0) client->wait(std::min(limit_ns, dinomo::sdk::kSleepNs));
}

extern "C" {

dinomo_status dinomo_submit(dinomo_client* client, const dinomo_operation* operation) {
  if (operation == nullptr) return DINOMO_INVALID;
  return client->submit(*operation, nullptr, 0);
}

void dinomo_flush(dinomo_client* client) {
  if (!client->in_callback) client->client->flush();
}

uint32_t dinomo_poll(dinomo_client* client, int timeout_ms) {
  if (client->in_callback) return 0;
  uint32_t ended = client->poll();
  if (ended != 0 || timeout_ms == 0) return ended;
  const uint64_t start_ns = client->clock.now_ns();
  const uint64_t limit_ns =
      timeout_ms < 0 ? UINT64_MAX : static_cast<uint64_t>(timeout_ms) * 1'000'000;
  while (ended == 0 && client->client->in_flight() != 0) {
    const uint64_t passed_ns = client->clock.now_ns() - start_ns;
    if (passed_ns >= limit_ns) break;
    client->client->wait(std::min(limit_ns - passed_ns, dinomo::sdk::kSleepNs));
    ended = client->poll();
  }
  return ended;
}

int dinomo_next(dinomo_client* client, dinomo_result* result) {
  if (client->ended.empty()) return 0;
  Slot& slot = client->slots[client->ended.front()];
  client->ended.pop_front();
  client->next.swap(slot.value);
  *result = slot.result;
  result->value = client->next.data();
  client->release(&slot);
  return 1;
}

uint32_t dinomo_in_flight(const dinomo_client* client) {
  return static_cast<uint32_t>(client->slots.size() - client->free.size());
}

}  // extern "C"
