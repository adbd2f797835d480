// SPDX-License-Identifier: BSD-3-Clause
// The meta commands: mg ms md ma.
#include <sodium.h>

#include "memcached/internal.h"

namespace dinomo::memcached {

namespace {

constexpr std::string_view kErrorToken = "CLIENT_ERROR bad token in command line format";
constexpr std::string_view kErrorAnyFlag = "CLIENT_ERROR invalid or duplicate flag";
constexpr std::string_view kKnownFlags = "bcfhklqstuvCDFIJLMNOPRT";
constexpr size_t kOpaqueBytesMax = 32;

/// What needs marks on an item that Dinomo does not keep, or a decision that it does not take.
struct NotServed {
  Verb verb;
  char flag;
  std::string_view refusal;
};
constexpr std::array<NotServed, 8> kNotServed = {{
    {Verb::kMetaGet, 'h', "CLIENT_ERROR flag h is not served: no access is recorded"},
    {Verb::kMetaGet, 'l', "CLIENT_ERROR flag l is not served: no access is recorded"},
    {Verb::kMetaGet, 'N', "CLIENT_ERROR flag N is not served: nobody wins a recache here"},
    {Verb::kMetaGet, 'R', "CLIENT_ERROR flag R is not served: nobody wins a recache here"},
    {Verb::kMetaSet, 'I', "CLIENT_ERROR flag I is not served: items do not go stale here"},
    {Verb::kMetaSet, 'N', "CLIENT_ERROR flag N is not served with ms"},
    {Verb::kMetaDelete, 'I', "CLIENT_ERROR flag I is not served: items do not go stale here"},
    {Verb::kMetaArithmetic, 'T', "CLIENT_ERROR flag T is not served with ma"},
}};

std::string_view not_served(Verb verb, char flag) noexcept {
  for (const NotServed& n : kNotServed) {
    if (n.verb == verb && n.flag == flag) return n.refusal;
  }
  return {};
}

template <class T>
std::string_view take_number(std::string_view text, T* to,
                             std::string_view error = kErrorToken) noexcept {
  const auto number = parse_number<T>(text);
  if (!number) return error;
  *to = *number;
  return {};
}

std::string_view take_mode(std::string_view text, Command* c) noexcept {
  if (text.size() != 1) return "CLIENT_ERROR incorrect length for M token";
  const char letter = text.front();
  if (c->verb == Verb::kMetaSet) {
    switch (letter) {
      case 'S': c->mode = Mode::kSet; return {};
      case 'E': c->mode = Mode::kAdd; return {};
      case 'R': c->mode = Mode::kReplace; return {};
      case 'A': c->mode = Mode::kAppend; return {};
      case 'P': c->mode = Mode::kPrepend; return {};
      default: return "CLIENT_ERROR invalid mode for ms M token";
    }
  }
  if (c->verb != Verb::kMetaArithmetic) return {};
  switch (letter) {
    case 'I':
    case '+': c->mode = Mode::kIncr; return {};
    case 'D':
    case '-': c->mode = Mode::kDecr; return {};
    default: return "CLIENT_ERROR invalid mode for ma M token";
  }
}

std::string_view take_flag(char flag, std::string_view text, Command* c) noexcept {
  int64_t unused = 0;
  switch (flag) {
    case 'b': c->base64_key = true; return {};
    case 'q': c->noreply = true; return {};
    case 'C': c->compare = true; return take_number(text, &c->version);
    case 'D': return take_number(text, &c->number);
    case 'F': return take_number(text, &c->item_flags, kErrorFormat);
    case 'J': return take_number(text, &c->initial);
    case 'M': return take_mode(text, c);
    case 'O': return text.size() > kOpaqueBytesMax ? "CLIENT_ERROR opaque token too long" : "";
    case 'R': return take_number(text, &unused);
    case 'N':
      c->create = true;
      return take_number(text, c->verb == Verb::kMetaArithmetic ? &c->exptime : &unused);
    case 'T':
      c->touch = true;
      return take_number(text, c->verb == Verb::kMetaArithmetic ? &unused : &c->exptime);
    default: return {};
  }
}

std::string_view take_flags(std::string_view words, Command* c) noexcept {
  std::array<bool, 128> seen{};
  for (std::string_view w = next_token(&words); !w.empty(); w = next_token(&words)) {
    const char flag = w.front();
    if (!kKnownFlags.contains(flag)) return "CLIENT_ERROR invalid flag";
    bool& before = seen[static_cast<unsigned char>(flag)];
    if (before) return "CLIENT_ERROR duplicate flag";
    before = true;
    if (const auto refusal = take_flag(flag, w.substr(1), c); !refusal.empty()) return refusal;
    if (const auto refusal = not_served(c->verb, flag); !refusal.empty()) return refusal;
  }
  return {};
}

/// memcached words some refusals in one way for md and ma, and Dinomo those of its own in its own.
std::string_view worded_for(Verb verb, std::string_view refusal) noexcept {
  const bool plain = refusal.starts_with("CLIENT_ERROR bad ") ||
                     refusal == "CLIENT_ERROR invalid flag" ||
                     refusal == "CLIENT_ERROR duplicate flag";
  const bool general = verb == Verb::kMetaDelete || verb == Verb::kMetaArithmetic;
  return plain && general ? kErrorAnyFlag : refusal;
}

bool decode(std::string_view key, std::array<std::byte, kKeyBytesMax>* room,
            size_t* bytes) noexcept {
  return sodium_base642bin(reinterpret_cast<unsigned char*>(room->data()), room->size(), key.data(),
                           key.size(), nullptr, bytes, nullptr,
                           sodium_base64_VARIANT_ORIGINAL) == 0 &&
         *bytes != 0;
}

}  // namespace

Bytes binary_key(const Command& c, std::array<std::byte, kKeyBytesMax>* room) noexcept {
  if (!c.base64_key) return as_bytes(c.keys);
  size_t bytes = 0;
  return decode(c.keys, room, &bytes) ? Bytes(*room).first(bytes) : Bytes();
}

Line parse_meta(std::string_view rest, Command* c) noexcept {
  Line line;
  c->keys = next_token(&rest);
  if (c->keys.empty()) return {kErrorUnknown};
  if (c->verb == Verb::kMetaSet) {
    const auto bytes = parse_number<uint32_t>(next_token(&rest));
    if (!bytes) return {kErrorFormat};
    line.value_known = true;
    line.value_bytes = *bytes;
  }
  c->flags = rest;
  if (!good_key(c->keys)) {
    line.refusal = kErrorFormat;
    return line;
  }
  line.refusal = worded_for(c->verb, take_flags(rest, c));
  if (!line.refusal.empty()) return line;
  std::array<std::byte, kKeyBytesMax> room;
  size_t bytes = 0;
  if (c->base64_key && !decode(c->keys, &room, &bytes)) {
    line.refusal = "CLIENT_ERROR error decoding key";
  }
  return line;
}

}  // namespace dinomo::memcached
