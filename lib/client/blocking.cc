// SPDX-License-Identifier: BSD-3-Clause
#include "client/blocking.h"

namespace dinomo::client {

namespace {

constexpr uint64_t kSleepNs = 50'000'000;

struct Pending {
  Reply reply;
  bool done = false;
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
  pending->done = true;
}

}  // namespace

Reply Blocking::call(Operation operation) {
  Pending pending;
  operation.callback = finish;
  operation.context = &pending;
  const Status submitted = client_->submit(operation);
  if (submitted != Status::kOk) {
    pending.reply.status = submitted;
    return pending.reply;
  }
  client_->flush();
  while (!pending.done) {
    if (client_->poll() == 0) client_->wait(kSleepNs);
  }
  return std::move(pending.reply);
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

Reply Blocking::put(Bytes key, Bytes value, const PutOptions& options) {
  const wire::PutExtras extras{options.ttl_ms, options.item_flags, 0};
  Operation op;
  op.opcode = wire::Opcode::kPut;
  op.key = key;
  op.value = value;
  if (options.ttl_ms != 0 || options.item_flags != 0) op.extras = object_bytes(extras);
  return call(op);
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
