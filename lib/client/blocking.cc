// SPDX-License-Identifier: BSD-3-Clause
#include "client/blocking.h"

#include "common/decimal.h"

namespace dinomo::client {

namespace {

constexpr uint64_t kSleepNs = 50'000'000;

struct Pending {
  Reply reply;
  size_t* open = nullptr;  // of the batch
};

void finish(void* context, const Completion& c) {
  auto* const pending = static_cast<Pending*>(context);
  Reply& r = pending->reply;
  r.status = c.status;
  r.wire_status = c.wire_status;
  r.answered = c.answered;
  r.value.assign(c.value.begin(), c.value.end());
  r.item = c.item;
  r.version = c.version;
  r.latency_ns = c.sent_ns == 0 ? 0 : c.completed_ns - c.sent_ns;
  r.transmissions = c.transmissions;
  --*pending->open;
}

}  // namespace

std::optional<uint64_t> Reply::number() const noexcept { return parse_decimal(text()); }

Reply Blocking::call(Operation operation) {
  return std::move(call_many(std::span(&operation, 1)).front());
}

std::vector<Reply> Blocking::call_many(std::span<const Operation> operations) {
  std::vector<Pending> pending(operations.size());
  size_t open = 0;
  for (size_t i = 0; i < operations.size(); ++i) {
    Operation operation = operations[i];
    pending[i].open = &open;
    operation.callback = finish;
    operation.context = &pending[i];
    Status submitted = client_->submit(operation);
    while (submitted == Status::kNoResource) {  // in_flight_max are out
      if (client_->poll() == 0) client_->wait(kSleepNs);
      submitted = client_->submit(operation);
    }
    if (submitted == Status::kOk) {
      ++open;
    } else {
      pending[i].reply.status = submitted;
    }
  }
  client_->flush();
  while (open != 0) {
    if (client_->poll() == 0) client_->wait(kSleepNs);
  }
  std::vector<Reply> replies;
  replies.reserve(pending.size());
  for (Pending& p : pending) replies.push_back(std::move(p.reply));
  return replies;
}

Status Blocking::connect() {
  // A PING waits for a session and is given up at its deadline; the ring comes right after it.
  const Reply hello = ping();
  if (hello.status != Status::kOk) return hello.status;
  for (uint32_t tries = 0; tries < 100 && !client_->connected(); ++tries) {
    client_->connect();
    client_->wait(kSleepNs);
    client_->poll();
  }
  return client_->connected() ? Status::kOk : Status::kTimeout;
}

Reply Blocking::get(Bytes key) {
  Operation op;
  op.opcode = wire::Opcode::kGet;
  op.flags = wire::kWantItem;
  op.key = key;
  return call(op);
}

Reply Blocking::store(wire::Opcode opcode, Bytes key, Bytes value, const PutOptions& options) {
  const wire::PutExtras extras{options.ttl_ms, options.item_flags, 0};
  Operation op;
  op.opcode = opcode;
  op.key = key;
  op.value = value;
  if (options.ttl_ms != 0 || options.item_flags != 0) op.extras = object_bytes(extras);
  return call(op);
}

Reply Blocking::put(Bytes key, Bytes value, const PutOptions& options) {
  return store(wire::Opcode::kPut, key, value, options);
}

Reply Blocking::add(Bytes key, Bytes value, const PutOptions& options) {
  return store(wire::Opcode::kAdd, key, value, options);
}

Reply Blocking::replace(Bytes key, Bytes value, const PutOptions& options) {
  return store(wire::Opcode::kReplace, key, value, options);
}

Reply Blocking::append(Bytes key, Bytes value) {
  return store(wire::Opcode::kAppend, key, value, {});
}

Reply Blocking::prepend(Bytes key, Bytes value) {
  return store(wire::Opcode::kPrepend, key, value, {});
}

Reply Blocking::compare_and_swap(Bytes key, uint64_t version, Bytes value,
                                 const PutOptions& options) {
  const wire::CasExtras extras{version, {options.ttl_ms, options.item_flags, 0}};
  Operation op;
  op.opcode = wire::Opcode::kCas;
  op.key = key;
  op.value = value;
  op.extras = object_bytes(extras);
  return call(op);
}

Reply Blocking::count(wire::Opcode opcode, Bytes key, uint64_t delta,
                      const CounterOptions& options) {
  const wire::CounterExtras extras{delta, options.initial.value_or(0), options.ttl_ms,
                                   options.initial ? 1u : 0u, 0};
  Operation op;
  op.opcode = opcode;
  op.key = key;
  op.extras = object_bytes(extras);
  return call(op);
}

Reply Blocking::increment(Bytes key, uint64_t delta, const CounterOptions& options) {
  return count(wire::Opcode::kIncr, key, delta, options);
}

Reply Blocking::decrement(Bytes key, uint64_t delta, const CounterOptions& options) {
  return count(wire::Opcode::kDecr, key, delta, options);
}

Reply Blocking::touch(wire::Opcode opcode, Bytes key, uint64_t ttl_ms) {
  const wire::TouchExtras extras{ttl_ms};
  Operation op;
  op.opcode = opcode;
  op.key = key;
  op.extras = object_bytes(extras);
  return call(op);
}

Reply Blocking::touch(Bytes key, uint64_t ttl_ms) {
  return touch(wire::Opcode::kTouch, key, ttl_ms);
}

Reply Blocking::get_and_touch(Bytes key, uint64_t ttl_ms) {
  return touch(wire::Opcode::kGetAndTouch, key, ttl_ms);
}

std::vector<Reply> Blocking::get_many(std::span<const Bytes> keys) {
  std::vector<Operation> operations(keys.size());
  for (size_t i = 0; i < keys.size(); ++i) {
    operations[i].opcode = wire::Opcode::kGet;
    operations[i].flags = wire::kWantItem;
    operations[i].key = keys[i];
  }
  return call_many(operations);
}

Reply Blocking::remove(Bytes key) {
  Operation op;
  op.opcode = wire::Opcode::kDelete;
  op.key = key;
  return call(op);
}

Reply Blocking::ping(uint16_t kn_slot) {
  Operation op;
  op.opcode = wire::Opcode::kPing;
  op.kn_slot = kn_slot;
  return call(op);
}

Reply Blocking::stats(uint16_t kn_slot) {
  Operation op;
  op.opcode = wire::Opcode::kStats;
  op.kn_slot = kn_slot;
  return call(op);
}

}  // namespace dinomo::client
