// SPDX-License-Identifier: BSD-3-Clause
// Any bytes as a datagram: nothing outside of them is touched, and what is understood survives
// being written again.

#include <vector>

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
}

}  // namespace
}  // namespace dinomo::wire

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const dinomo::Bytes bytes = std::as_bytes(std::span(data, size));
  dinomo::wire::read(bytes, dinomo::wire::Kind::kRequest);
  dinomo::wire::read(bytes, dinomo::wire::Kind::kReply);
  return 0;
}
