// SPDX-License-Identifier: BSD-3-Clause
#include "kn/operation.h"

#include <charconv>
#include <cstring>

#include "common/decimal.h"
#include "pool/format.h"

namespace dinomo::kn {

using wire::Opcode;
using wire::Status;

namespace {

uint64_t expiry_of(uint64_t ttl_ms, uint64_t unix_ms) noexcept {
  if (ttl_ms == 0) return 0;
  return ttl_ms > UINT64_MAX - unix_ms ? UINT64_MAX : unix_ms + ttl_ms;
}

bool takes_value(Opcode op) noexcept {
  switch (op) {
    case Opcode::kPut:
    case Opcode::kAdd:
    case Opcode::kReplace:
    case Opcode::kCas:
    case Opcode::kAppend:
    case Opcode::kPrepend: return true;
    default: return false;
  }
}

bool parse_put(const wire::Message& m, uint64_t unix_ms, Operation* out) noexcept {
  const auto put = m.extras_as<wire::PutExtras>();
  if (!put) return false;
  out->item_flags = put->item_flags;
  out->expiry_ms = expiry_of(put->ttl_ms, unix_ms);
  return true;
}

// The extras of the next three say what is meant: they may not be left out.
bool parse_cas(const wire::Message& m, uint64_t unix_ms, Operation* out) noexcept {
  const auto cas = m.extras_as<wire::CasExtras>();
  if (!cas || m.extras.empty()) return false;
  out->expected_version = cas->version;
  out->item_flags = cas->put.item_flags;
  out->expiry_ms = expiry_of(cas->put.ttl_ms, unix_ms);
  return true;
}

bool parse_counter(const wire::Message& m, uint64_t unix_ms, Operation* out) noexcept {
  const auto counter = m.extras_as<wire::CounterExtras>();
  if (!counter || m.extras.empty() || counter->create > 1) return false;
  out->delta = counter->delta;
  out->initial = counter->initial;
  out->create = counter->create == 1;
  out->expiry_ms = expiry_of(counter->ttl_ms, unix_ms);
  return true;
}

bool parse_touch(const wire::Message& m, uint64_t unix_ms, Operation* out) noexcept {
  const auto touch = m.extras_as<wire::TouchExtras>();
  if (!touch || m.extras.empty()) return false;
  out->expiry_ms = expiry_of(touch->ttl_ms, unix_ms);
  return true;
}

Decision refuse(Status status) noexcept { return {.status = status}; }

Decision store(const Operation& op) noexcept {
  return {.value = op.value, .item_flags = op.item_flags, .expiry_ms = op.expiry_ms};
}

/// A new value for an item that otherwise stays what it is.
Decision change(const Item& item, Bytes value) noexcept {
  return {.value = value, .item_flags = item.meta.item_flags, .expiry_ms = item.meta.expiry_ms};
}

Decision concatenate(const Item& item, Bytes first, Bytes second, MutableBytes scratch) noexcept {
  const size_t bytes = first.size() + second.size();
  if (bytes > pool::kValueBytesMax) return refuse(Status::kTooLarge);
  if (!first.empty()) std::memcpy(scratch.data(), first.data(), first.size());
  if (!second.empty()) std::memcpy(scratch.data() + first.size(), second.data(), second.size());
  return change(item, scratch.first(bytes));
}

Decision count(const Operation& op, const Item* item, MutableBytes scratch) noexcept {
  if (item == nullptr) {
    if (!op.create) return refuse(Status::kNotFound);
    return {.value = print_number(op.initial, scratch), .expiry_ms = op.expiry_ms};
  }
  const auto number = parse_decimal(as_text(item->value));
  if (!number) return refuse(Status::kNotNumber);
  const uint64_t down = *number > op.delta ? *number - op.delta : 0;
  const uint64_t next = op.opcode == Opcode::kIncr ? *number + op.delta : down;
  return change(*item, print_number(next, scratch));
}

Status status_if_absent(Opcode op) noexcept {
  switch (op) {
    case Opcode::kReplace:
    case Opcode::kAppend:
    case Opcode::kPrepend: return Status::kNotStored;
    default: return Status::kNotFound;
  }
}

}  // namespace

Status check_operation(const Operation& op) noexcept {
  const bool known =
      op.opcode == Opcode::kGet || (op.opcode >= Opcode::kPut && op.opcode <= Opcode::kGetAndTouch);
  if (!known) return Status::kUnsupported;
  if (op.key.empty()) return Status::kBadRequest;
  if (op.key.size() > pool::kKeyBytesMax || op.value.size() > pool::kValueBytesMax) {
    return Status::kTooLarge;
  }
  return op.value.empty() || takes_value(op.opcode) ? Status::kOk : Status::kBadRequest;
}

Status parse_operation(const wire::Message& m, uint64_t unix_ms, Operation* out) noexcept {
  *out = Operation{.opcode = m.opcode(), .flags = m.header.flags, .key = m.key, .value = m.value};
  bool sound = false;
  switch (out->opcode) {
    case Opcode::kGet:
    case Opcode::kDelete: sound = m.extras.empty(); break;
    case Opcode::kPut:
    case Opcode::kAdd:
    case Opcode::kReplace:
    case Opcode::kAppend:
    case Opcode::kPrepend: sound = parse_put(m, unix_ms, out); break;
    case Opcode::kCas: sound = parse_cas(m, unix_ms, out); break;
    case Opcode::kIncr:
    case Opcode::kDecr: sound = parse_counter(m, unix_ms, out); break;
    case Opcode::kTouch:
    case Opcode::kGetAndTouch: sound = parse_touch(m, unix_ms, out); break;
    default: return Status::kUnsupported;
  }
  if (!sound || (wire::is_mutation(out->opcode) && m.header.sequence == 0)) {
    return Status::kBadRequest;
  }
  return check_operation(*out);
}

Bytes print_number(uint64_t number, MutableBytes scratch) noexcept {
  auto* const text = reinterpret_cast<char*>(scratch.data());
  const auto printed = std::to_chars(text, text + kDecimalBytesMax, number);
  return scratch.first(static_cast<size_t>(printed.ptr - text));
}

Decision decide(const Operation& op, const Item* item, MutableBytes scratch) noexcept {
  const bool bound = op.opcode == Opcode::kCas || op.expected_version != 0;
  if (bound && item != nullptr && item->meta.version != op.expected_version) {
    return refuse(Status::kExists);
  }
  if (item == nullptr) {
    switch (op.opcode) {
      case Opcode::kPut: return op.expected_version == 0 ? store(op) : refuse(Status::kNotFound);
      case Opcode::kAdd: return store(op);
      case Opcode::kIncr:
      case Opcode::kDecr: return count(op, nullptr, scratch);
      default: return refuse(status_if_absent(op.opcode));
    }
  }
  switch (op.opcode) {
    case Opcode::kPut:
    case Opcode::kReplace:
    case Opcode::kCas: return store(op);
    case Opcode::kAdd: return refuse(Status::kExists);
    case Opcode::kDelete: return {.remove = true};
    case Opcode::kAppend: return concatenate(*item, item->value, op.value, scratch);
    case Opcode::kPrepend: return concatenate(*item, op.value, item->value, scratch);
    case Opcode::kIncr:
    case Opcode::kDecr: return count(op, item, scratch);
    case Opcode::kTouch:
    case Opcode::kGetAndTouch:
      return {.value = item->value, .item_flags = item->meta.item_flags, .expiry_ms = op.expiry_ms};
    default: return refuse(Status::kUnsupported);
  }
}

}  // namespace dinomo::kn
