// SPDX-License-Identifier: BSD-3-Clause
#include "memcached/operation.h"

#include <algorithm>
#include <cassert>

#include "ingress/responder.h"

namespace dinomo::memcached {

namespace {

using wire::Opcode;
using wire::Status;

constexpr std::string_view kLineEnd = "\r\n";
constexpr std::string_view kNotANumber =
    "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n";

/// Fixed room for a head: the longest has a key in base64, an opaque and a few numbers.
class Head {
 public:
  explicit Head(std::array<char, kReplyHeadBytesMax>* room) noexcept : room_(*room) {}

  void text(std::string_view t) noexcept {
    assert(used_ + t.size() <= room_.size());
    const size_t n = std::min(t.size(), room_.size() - used_);
    std::copy_n(t.begin(), n, room_.begin() + static_cast<std::ptrdiff_t>(used_));
    used_ += n;
  }
  void number(uint64_t n) noexcept {
    const auto [end, error] = std::to_chars(room_.data() + used_, room_.data() + room_.size(), n);
    if (error == std::errc()) used_ = static_cast<size_t>(end - room_.data());
  }
  size_t bytes() const noexcept { return used_; }

 private:
  std::array<char, kReplyHeadBytesMax>& room_;
  size_t used_ = 0;
};

Opcode opcode_of(Mode mode) noexcept {
  switch (mode) {
    case Mode::kSet: return Opcode::kPut;
    case Mode::kAdd: return Opcode::kAdd;
    case Mode::kReplace: return Opcode::kReplace;
    case Mode::kAppend: return Opcode::kAppend;
    case Mode::kPrepend: return Opcode::kPrepend;
    case Mode::kIncr: return Opcode::kIncr;
    case Mode::kDecr: return Opcode::kDecr;
  }
  return Opcode::kPut;
}

Opcode opcode_of(const Command& c) noexcept {
  const bool replaces = c.mode == Mode::kSet || c.mode == Mode::kReplace;
  switch (c.verb) {
    case Verb::kDelete:
    case Verb::kMetaDelete: return Opcode::kDelete;
    case Verb::kTouch: return Opcode::kTouch;
    case Verb::kGet:
    case Verb::kGets:
    case Verb::kGat:
    case Verb::kGats:
    case Verb::kMetaGet: return c.touch ? Opcode::kGetAndTouch : Opcode::kGet;
    default: return replaces && c.compare ? Opcode::kCas : opcode_of(c.mode);
  }
}

// ---------------------------------------------------------------------------- classic replies

std::string_view storage_line(const Command& c, Status s) noexcept {
  switch (s) {
    case Status::kOk: return "STORED\r\n";
    case Status::kExists: return c.verb == Verb::kAdd ? "NOT_STORED\r\n" : "EXISTS\r\n";
    case Status::kNotStored: return "NOT_STORED\r\n";
    case Status::kNotFound: return "NOT_FOUND\r\n";
    default: return {};
  }
}

std::string_view found_line(Status s, std::string_view found) noexcept {
  return s == Status::kOk ? found : "NOT_FOUND\r\n";
}

Reply format_classic(const Command& c, std::string_view key, const Outcome& out,
                     Head* head) noexcept {
  if (c.noreply) return {};
  switch (c.verb) {
    case Verb::kGet:
    case Verb::kGets:
    case Verb::kGat:
    case Verb::kGats:
      if (out.status != Status::kOk) return {};
      head->text("VALUE ");
      head->text(key);
      head->text(" ");
      head->number(out.item.item_flags);
      head->text(" ");
      head->number(out.value.size());
      if (c.verb == Verb::kGets || c.verb == Verb::kGats) {
        head->text(" ");
        head->number(out.item.version);
      }
      head->text(kLineEnd);
      return {head->bytes(), true, kLineEnd};
    case Verb::kIncr:
    case Verb::kDecr:
      if (out.status == Status::kOk) return {0, true, kLineEnd};
      head->text(found_line(out.status, {}));
      break;
    case Verb::kDelete: head->text(found_line(out.status, "DELETED\r\n")); break;
    case Verb::kTouch: head->text(found_line(out.status, "TOUCHED\r\n")); break;
    default: head->text(storage_line(c, out.status)); break;
  }
  return {head->bytes(), false, {}};
}

// ---------------------------------------------------------------------------- meta replies

/// What q leaves out: of mg a miss, of the others the success; of ma that, and nothing else.
bool left_out(const Command& c, Status s) noexcept {
  if (!c.noreply) return false;
  return c.verb == Verb::kMetaGet ? s == Status::kNotFound : s == Status::kOk;
}

std::string_view meta_code(const Command& c, Status s) noexcept {
  switch (s) {
    case Status::kOk: return "HD";
    case Status::kExists: return c.mode == Mode::kAdd ? "NS" : "EX";
    case Status::kNotStored: return "NS";
    default: break;
  }
  return c.verb == Verb::kMetaGet ? "EN" : "NF";
}

/// Seconds that are left, begun ones counted; -1 for ever.
void append_ttl(const Outcome& out, uint64_t unix_ms, Head* head) noexcept {
  if (out.item.expiry_ms == 0) {
    head->text("-1");
    return;
  }
  const uint64_t left_ms = out.item.expiry_ms > unix_ms ? out.item.expiry_ms - unix_ms : 0;
  head->number((left_ms + 999) / 1000);
}

/// Flags that come back whatever became of the operation, in the order of the request.
void append_flag(const Command& c, char flag, std::string_view word, std::string_view key,
                 Head* head) noexcept {
  if (flag == 'O') {
    head->text(" ");
    head->text(word);
  } else if (flag == 'k') {
    head->text(" k");
    head->text(key);
    if (c.base64_key) head->text(" b");
  }
}

/// Flags that tell of the item.
void append_item_flag(char flag, const Outcome& out, uint64_t unix_ms, Head* head) noexcept {
  switch (flag) {
    case 'c':
      head->text(" c");
      head->number(out.item.version);
      break;
    case 'f':
      head->text(" f");
      head->number(out.item.item_flags);
      break;
    case 's':
      head->text(" s");
      head->number(out.value.size());
      break;
    case 't':
      head->text(" t");
      append_ttl(out, unix_ms, head);
      break;
    default: break;
  }
}

/// Which item flags a verb answers to.
std::string_view item_flags_of(Verb verb) noexcept {
  switch (verb) {
    case Verb::kMetaGet: return "cfst";
    case Verb::kMetaArithmetic: return "ct";
    case Verb::kMetaSet: return "c";
    default: return {};
  }
}

Reply format_meta(const Command& c, std::string_view key, const Outcome& out, uint64_t unix_ms,
                  Head* head) noexcept {
  if (left_out(c, out.status)) return {};
  const bool done = out.status == Status::kOk;
  const bool valued = c.verb == Verb::kMetaGet || c.verb == Verb::kMetaArithmetic;
  bool with_value = false;
  std::string_view words = c.flags;
  for (std::string_view w = next_token(&words); valued && !w.empty(); w = next_token(&words)) {
    with_value = with_value || (done && w.front() == 'v');
  }
  head->text(with_value ? "VA " : meta_code(c, out.status));
  if (with_value) head->number(out.value.size());
  const std::string_view of_item = done ? item_flags_of(c.verb) : std::string_view();
  words = c.flags;
  for (std::string_view w = next_token(&words); !w.empty(); w = next_token(&words)) {
    if (of_item.contains(w.front())) {
      append_item_flag(w.front(), out, unix_ms, head);
    } else {
      append_flag(c, w.front(), w, key, head);
    }
  }
  head->text(kLineEnd);
  return {head->bytes(), with_value, with_value ? kLineEnd : std::string_view()};
}

/// Which address to ask. The port is not told: each KN has its own memcached_port.
void append_owner(const wire::KnRecord& owner, Head* head) noexcept {
  std::array<char, ingress::kAddressTextBytesMax> text;
  head->text("SERVER_ERROR KN ");
  head->number(owner.kn_slot);
  head->text(" at ");
  head->text(ingress::format_address(owner.address, &text));
  head->text(" owns this key: ask it, this one does not relay\r\n");
}

}  // namespace

kn::Operation to_operation(const Command& c, Bytes key, uint64_t unix_ms) noexcept {
  kn::Operation o;
  o.opcode = opcode_of(c);
  o.flags = wire::kWantItem;
  o.create = c.create;
  o.item_flags = c.item_flags;
  o.key = key;
  o.value = c.value;
  o.expiry_ms = expiry_of(c.exptime, unix_ms);
  o.expected_version = c.compare ? c.version : 0;
  o.delta = c.number;
  o.initial = c.initial;
  return o;
}

std::string_view failure_line(Status status) noexcept {
  switch (status) {
    case Status::kOk:
    case Status::kNotFound:
    case Status::kExists:
    case Status::kNotStored: return {};
    case Status::kNotNumber: return kNotANumber;
    case Status::kTooLarge: return "SERVER_ERROR object too large for cache\r\n";
    case Status::kNoSpace: return "SERVER_ERROR out of memory storing object\r\n";
    case Status::kBusy: return "SERVER_ERROR busy: repeat in a moment\r\n";
    case Status::kMoving: return "SERVER_ERROR this key is moving to another KN: repeat soon\r\n";
    case Status::kWrongOwner:
      return "SERVER_ERROR another KN owns this key: this one does not relay to it\r\n";
    case Status::kUnsupported: return "SERVER_ERROR this operation is not served\r\n";
    default: return "SERVER_ERROR internal error\r\n";
  }
}

Reply format_reply(const Command& c, std::string_view key, const Outcome& out, uint64_t unix_ms,
                   std::array<char, kReplyHeadBytesMax>* room) noexcept {
  Head head(room);
  const std::string_view failure = failure_line(out.status);
  if (failure.empty()) {
    return is_meta(c.verb) ? format_meta(c, key, out, unix_ms, &head)
                           : format_classic(c, key, out, &head);
  }
  if (!is_meta(c.verb) && c.noreply) return {};
  if (out.status == Status::kWrongOwner && out.value.size() == sizeof(wire::KnRecord)) {
    append_owner(load<wire::KnRecord>(out.value.data()), &head);
  } else {
    head.text(failure);
  }
  return {head.bytes(), false, {}};
}

}  // namespace dinomo::memcached
