// SPDX-License-Identifier: BSD-3-Clause
// Any bytes as a datagram: nothing outside of them is touched, what is understood survives being
// written again, and its operations, carried out one after another on one item, keep every limit.

#include <optional>
#include <vector>

#include "common/decimal.h"
#include "kn/operation.h"
#include "pool/format.h"
#include "test/fuzz/fuzz.h"
#include "wire/codec.h"

namespace dinomo::wire {
namespace {

template <class T>
void look_at_extras(const Message& m) {
  const auto extras = m.extras_as<T>();
  FUZZ_CHECK(extras.has_value() == (m.extras.empty() || m.extras.size() == sizeof(T)));
}

void look_at(const Message& m, Bytes datagram) {
  for (const Bytes part : {m.extras, m.key, m.value}) {
    FUZZ_CHECK(fuzz::inside(part, datagram));
    fuzz::touch(part);
  }
  FUZZ_CHECK(m.key.size() == m.header.key_bytes && m.value.size() == m.header.value_bytes);
  FUZZ_CHECK(m.extras.size() == m.header.extra_bytes);
  look_at_extras<PutExtras>(m);
  look_at_extras<CasExtras>(m);
  look_at_extras<CounterExtras>(m);
  look_at_extras<TouchExtras>(m);
  look_at_extras<ItemExtras>(m);
  look_at_extras<HintExtras>(m);
}

/// Writes the messages read so far and reads them again.
void round_trip(const DatagramHeader& header, const std::vector<Message>& messages, Kind kind) {
  size_t bytes = sizeof(DatagramHeader);
  for (const Message& m : messages) {
    bytes += message_bytes(m.extras.size(), m.key.size(), m.value.size());
  }
  std::vector<uint64_t> room((bytes + 7) / 8);
  Writer writer(std::as_writable_bytes(std::span(room)).first(bytes), header);
  for (const Message& m : messages) {
    FUZZ_CHECK(writer.append(m.header, m.extras, m.key, m.value));
  }
  FUZZ_CHECK(writer.bytes() == bytes);
  Reader again(writer.finish(), kind);
  Message copy;
  for (const Message& m : messages) {
    FUZZ_CHECK(again.next(&copy));
    FUZZ_CHECK(copy.header.sequence == m.header.sequence && copy.header.opcode == m.header.opcode);
    FUZZ_CHECK(equal(copy.extras, m.extras) && equal(copy.key, m.key) &&
               equal(copy.value, m.value));
  }
  FUZZ_CHECK(!again.next(&copy) && again.error() == ReadError::kNone);
}

struct Stored {
  std::vector<std::byte> value;
  cache::ItemMeta meta;
};

/// What the decision says, held against what the operation means.
void judge(const kn::Operation& op, const Stored* item, const kn::Decision& d) {
  FUZZ_CHECK(d.value.size() <= pool::kValueBytesMax);
  const bool counter = op.opcode == Opcode::kIncr || op.opcode == Opcode::kDecr;
  if (d.status != Status::kOk) {
    FUZZ_CHECK(d.value.empty() && !d.remove);
    FUZZ_CHECK((d.status == Status::kNotFound || d.status == Status::kNotStored) ==
               (item == nullptr));
    FUZZ_CHECK(op.opcode != Opcode::kPut);
    return;
  }
  FUZZ_CHECK(d.remove == (op.opcode == Opcode::kDelete));
  if (op.opcode == Opcode::kAppend || op.opcode == Opcode::kPrepend) {
    FUZZ_CHECK(d.value.size() == item->value.size() + op.value.size());
  }
  if (!counter) return;
  const auto number = parse_decimal(as_text(d.value));
  FUZZ_CHECK(number.has_value());
  const auto before = item != nullptr ? parse_decimal(as_text(item->value)) : std::nullopt;
  FUZZ_CHECK(item == nullptr ? op.create && *number == op.initial : before.has_value());
  if (before && op.opcode == Opcode::kDecr) FUZZ_CHECK(*number <= *before);
  if (before && op.opcode == Opcode::kIncr) FUZZ_CHECK(*number - *before == op.delta);
}

void operate(const std::vector<Message>& messages) {
  static std::vector<std::byte> scratch(pool::kValueBytesMax);
  std::optional<Stored> item;
  uint64_t version = 0;
  for (const Message& m : messages) {
    kn::Operation op;
    const Status parsed = kn::parse_operation(m, 1000, &op);
    FUZZ_CHECK(parsed == Status::kOk || parsed == Status::kBadRequest ||
               parsed == Status::kTooLarge || parsed == Status::kUnsupported);
    if (parsed != Status::kOk || !is_mutation(op.opcode)) continue;
    const kn::Item found{item ? Bytes(item->value) : Bytes(),
                         item ? item->meta : cache::ItemMeta{}};
    const kn::Decision d = kn::decide(op, item ? &found : nullptr, scratch);
    judge(op, item ? &*item : nullptr, d);
    if (d.status != Status::kOk) continue;
    if (d.remove) {
      item.reset();
    } else {
      item = Stored{{d.value.begin(), d.value.end()}, {++version, d.expiry_ms, d.item_flags}};
    }
  }
}

void read(Bytes datagram, Kind kind) {
  Reader reader(datagram, kind);
  std::vector<Message> messages;
  Message m;
  while (reader.next(&m)) {
    look_at(m, datagram);
    messages.push_back(m);
    // A message takes at least its header: the loop is bounded by the datagram.
    FUZZ_CHECK(messages.size() * sizeof(MessageHeader) <= datagram.size());
  }
  FUZZ_CHECK(!reader.next(&m));
  FUZZ_CHECK(read_error_name(reader.error()) != nullptr);
  if (!messages.empty()) round_trip(reader.header(), messages, kind);
  if (kind == Kind::kRequest) operate(messages);
}

}  // namespace
}  // namespace dinomo::wire

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const dinomo::Bytes bytes = std::as_bytes(std::span(data, size));
  dinomo::wire::read(bytes, dinomo::wire::Kind::kRequest);
  dinomo::wire::read(bytes, dinomo::wire::Kind::kReply);
  return 0;
}
