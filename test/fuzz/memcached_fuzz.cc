// SPDX-License-Identifier: BSD-3-Clause
// Any bytes as a stream of memcached commands, and as a datagram: nothing outside of them is
// touched, a command is the same however much has come behind it, and every outcome can be told.

#include <string>

#include "memcached/frame.h"
#include "memcached/operation.h"
#include "test/fuzz/fuzz.h"

namespace dinomo::memcached {
namespace {

constexpr size_t kLineBytesMax = 3000;
constexpr uint64_t kNow = 1'800'000'000'000;

void look_at(std::string_view text, Bytes input) {
  FUZZ_CHECK(fuzz::inside(as_bytes(text), input));
  fuzz::touch(as_bytes(text));
}

void tell_outcomes(const Command& c, std::string_view key) {
  FUZZ_CHECK(key.size() <= kKeyBytesMax);
  const kn::Operation o = to_operation(c, as_bytes(key), kNow);
  FUZZ_CHECK(o.value.empty() || is_storage(c.verb));
  const uint64_t most = ~uint64_t{0};
  const std::string value(100, 'v');
  for (const auto status :
       {wire::Status::kOk, wire::Status::kNotFound, wire::Status::kExists, wire::Status::kNotStored,
        wire::Status::kNotNumber, wire::Status::kBusy, wire::Status::kTooLarge}) {
    const Outcome out{status, {most, most, ~0U, 0}, as_bytes(value)};
    std::array<char, kReplyHeadBytesMax> room;
    const Reply r = format_reply(c, key, out, kNow, &room);
    const std::string_view head(room.data(), r.head_bytes);
    FUZZ_CHECK(r.head_bytes < room.size());
    // One line, or a line, the value, and its end.
    FUZZ_CHECK(head.empty() || (head.ends_with("\r\n") && head.find('\n') == head.size() - 1));
    FUZZ_CHECK(r.tail == (r.with_value ? "\r\n" : ""));
    if (c.noreply && !is_meta(c.verb)) FUZZ_CHECK(head.empty() && !r.with_value);
  }
}

void carry_out(const Command& c, Bytes input) {
  look_at(c.keys, input);
  look_at(c.flags, input);
  look_at(c.arguments, input);
  FUZZ_CHECK(fuzz::inside(c.value, input));
  fuzz::touch(c.value);
  FUZZ_CHECK(c.value.empty() || is_storage(c.verb));
  if (!has_key(c.verb)) return;
  if (!is_retrieval(c.verb)) {
    std::array<std::byte, kKeyBytesMax> room;
    FUZZ_CHECK(!binary_key(c, &room).empty());
    tell_outcomes(c, c.keys);
    return;
  }
  std::string_view keys = c.keys;
  FUZZ_CHECK(!next_key(&keys).empty());
  keys = c.keys;
  for (std::string_view k = next_key(&keys); !k.empty(); k = next_key(&keys)) tell_outcomes(c, k);
}

/// Commands from the front; what they need is the same whether more has come or not.
void read(Bytes input) {
  while (!input.empty()) {
    const Parsed p = parse(input, kLineBytesMax);
    if (p.kind == Parsed::Kind::kHopeless) return;
    if (p.kind == Parsed::Kind::kIncomplete) {
      FUZZ_CHECK(p.wanted > input.size());
      return;
    }
    FUZZ_CHECK(p.consumed != 0 && p.consumed <= input.size());
    FUZZ_CHECK(p.skip == 0 || p.consumed == input.size());
    const Parsed alone = parse(input.first(p.consumed), kLineBytesMax);
    FUZZ_CHECK(alone.kind == p.kind && alone.consumed == p.consumed);
    const Parsed cut = parse(input.first(p.consumed - 1), kLineBytesMax);
    FUZZ_CHECK(cut.kind != Parsed::Kind::kCommand);
    if (p.kind == Parsed::Kind::kCommand) {
      carry_out(p.command, input);
    } else {
      FUZZ_CHECK(!p.refusal.empty() && !p.refusal.contains('\n'));
    }
    input = input.subspan(p.consumed);
  }
}

}  // namespace
}  // namespace dinomo::memcached

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const dinomo::Bytes bytes = std::as_bytes(std::span(data, size));
  const auto request = dinomo::memcached::parse_frame(bytes);
  if (request) {
    FUZZ_CHECK(dinomo::fuzz::inside(request->text, bytes) && !request->text.empty());
    dinomo::memcached::read(request->text);
  } else {
    dinomo::memcached::read(bytes);
  }
  return 0;
}
