// SPDX-License-Identifier: BSD-3-Clause
#include "memcached/command.h"

#include <algorithm>

#include "memcached/internal.h"

namespace dinomo::memcached {

namespace {

constexpr std::array<const char*, kVerbs> kNames = {
    "get",       "gets",      "gat",  "gats", "set",    "add",   "replace", "append",
    "prepend",   "cas",       "incr", "decr", "delete", "touch", "version", "stats",
    "verbosity", "flush_all", "quit", "mg",   "ms",     "md",    "ma",      "mn"};

constexpr std::array<Mode, kVerbs> kModes = {
    Mode::kSet,     Mode::kSet,    Mode::kSet,     Mode::kSet, Mode::kSet,  Mode::kAdd,
    Mode::kReplace, Mode::kAppend, Mode::kPrepend, Mode::kSet, Mode::kIncr, Mode::kDecr,
    Mode::kSet,     Mode::kSet,    Mode::kSet,     Mode::kSet, Mode::kSet,  Mode::kSet,
    Mode::kSet,     Mode::kSet,    Mode::kSet,     Mode::kSet, Mode::kIncr, Mode::kSet};

constexpr int64_t kRelativeSecondsMax = int64_t{30} * 24 * 60 * 60;
constexpr std::string_view kNoreply = "noreply";

bool find_verb(std::string_view name, Verb* verb) noexcept {
  for (size_t v = 0; v < kVerbs; ++v) {
    if (name != kNames[v]) continue;
    *verb = static_cast<Verb>(v);
    return true;
  }
  return false;
}

/// Words of a line after the verb; classic commands but retrievals have at most five.
struct Words {
  explicit Words(std::string_view rest) noexcept {
    for (std::string_view w = next_token(&rest); !w.empty(); w = next_token(&rest)) {
      if (count < word.size()) word[count] = w;
      last = w;
      ++count;
    }
  }
  std::array<std::string_view, 6> word;
  std::string_view last;
  size_t count = 0;
};

Line parse_retrieval(std::string_view rest, Command* c) noexcept {
  if (c->verb == Verb::kGat || c->verb == Verb::kGats) {
    const std::string_view exptime = next_token(&rest);
    if (exptime.empty()) return {kErrorUnknown};
    const auto seconds = parse_number<int64_t>(exptime);
    if (!seconds) return {kErrorExptime};
    c->exptime = *seconds;
    c->touch = true;
  }
  c->keys = rest;
  size_t count = 0;
  for (std::string_view k = next_key(&rest); !k.empty(); k = next_key(&rest), ++count) {
    if (!good_key(k)) return {kErrorFormat};
  }
  return count != 0 ? Line{} : Line{kErrorUnknown};
}

/// KEY FLAGS EXPTIME BYTES [CAS] [noreply]; any word may stand where noreply may.
Line parse_storage(const Words& w, Command* c) noexcept {
  const size_t needed = c->verb == Verb::kCas ? 5 : 4;
  Line line;
  if (w.count >= 4) {
    const auto bytes = parse_number<uint32_t>(w.word[3]);
    line.value_known = bytes.has_value();
    line.value_bytes = bytes.value_or(0);
  }
  if (w.count < needed || w.count > needed + 1) {
    line.refusal = kErrorUnknown;
    return line;
  }
  const auto flags = parse_number<uint32_t>(w.word[1]);
  const auto exptime = parse_number<int64_t>(w.word[2]);
  const auto version = c->verb == Verb::kCas ? parse_number<uint64_t>(w.word[4]) : uint64_t{0};
  if (!good_key(w.word[0]) || !flags || !exptime || !line.value_known || !version) {
    line.refusal = kErrorFormat;
    return line;
  }
  c->keys = w.word[0];
  c->item_flags = *flags;
  c->exptime = *exptime;
  c->version = *version;
  c->compare = c->verb == Verb::kCas;
  return line;
}

Line parse_count(const Words& w, Command* c) noexcept {
  if (w.count < 2 || w.count > 3) return {kErrorUnknown};
  if (!good_key(w.word[0])) return {kErrorFormat};
  const auto delta = parse_number<uint64_t>(w.word[1]);
  if (!delta) return {"CLIENT_ERROR invalid numeric delta argument"};
  c->keys = w.word[0];
  c->number = *delta;
  return {};
}

/// A 0, which once was a time to wait, may stand behind the key.
Line parse_delete(const Words& w, Command* c) noexcept {
  if (w.count == 0) return {kErrorUnknown};
  const bool good = w.count == 1 || (w.count == 2 && (w.word[1] == "0" || c->noreply)) ||
                    (w.count == 3 && w.word[1] == "0" && c->noreply);
  if (!good) return {"CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]"};
  if (!good_key(w.word[0])) return {kErrorFormat};
  c->keys = w.word[0];
  return {};
}

Line parse_touch(const Words& w, Command* c) noexcept {
  if (w.count < 2 || w.count > 3) return {kErrorUnknown};
  if (!good_key(w.word[0])) return {kErrorFormat};
  const auto exptime = parse_number<int64_t>(w.word[1]);
  if (!exptime) return {kErrorExptime};
  c->keys = w.word[0];
  c->exptime = *exptime;
  c->touch = true;
  return {};
}

Line parse_verbosity(const Words& w, const Command& c) noexcept {
  if (w.count == 0 || w.count > 2) return {kErrorUnknown};
  const bool good = parse_number<uint32_t>(w.word[0]) || (c.noreply && w.count == 1);
  return good ? Line{} : Line{kErrorFormat};
}

Line parse_flush_all(const Words& w, const Command& c) noexcept {
  const size_t words = w.count - (c.noreply ? 1 : 0);
  if (words > 1) return {kErrorUnknown};
  const bool good = words == 0 || parse_number<int64_t>(w.word[0]);
  return good ? Line{} : Line{kErrorExptime};
}

/// `line` without its end.
Line parse_line(std::string_view line, Command* c) noexcept {
  const std::string_view name = next_token(&line);
  if (!find_verb(name, &c->verb)) return {kErrorUnknown};
  c->mode = kModes[static_cast<size_t>(c->verb)];
  if (is_retrieval(c->verb)) return parse_retrieval(line, c);
  if (c->verb == Verb::kMetaNoop) return {};
  if (is_meta(c->verb)) return parse_meta(line, c);
  c->arguments = line;
  const Words words(line);
  c->noreply = words.last == kNoreply;
  if (is_storage(c->verb)) return parse_storage(words, c);
  switch (c->verb) {
    case Verb::kIncr:
    case Verb::kDecr: return parse_count(words, c);
    case Verb::kDelete: return parse_delete(words, c);
    case Verb::kTouch: return parse_touch(words, c);
    case Verb::kVerbosity: return parse_verbosity(words, *c);
    case Verb::kFlushAll: return parse_flush_all(words, *c);
    default: c->noreply = false; return {};
  }
}

/// Whether a line may be longer than kShortLineBytesMax.
bool may_be_long(std::string_view text) noexcept {
  const std::string_view name = next_token(&text);
  Verb verb{};
  return find_verb(name, &verb) && is_retrieval(verb);
}

Parsed without_end(std::string_view text, size_t line_bytes_max) noexcept {
  Parsed p;
  const bool hopeless = text.size() >= line_bytes_max ||
                        (text.size() > kShortLineBytesMax && !may_be_long(text)) ||
                        text.starts_with('\x80');  // the binary protocol
  p.kind = hopeless ? Parsed::Kind::kHopeless : Parsed::Kind::kIncomplete;
  p.wanted = text.size() + 1;
  return p;
}

/// Joins a storage command with the value behind its line of `line_bytes`.
void take_value(std::string_view text, size_t line_bytes, const Line& line, Parsed* p) noexcept {
  const size_t whole = line_bytes + line.value_bytes + 2;
  if (line.refusal.empty() && line.value_bytes > pool::kValueBytesMax) {
    p->refusal = kErrorTooLarge;
  } else {
    p->refusal = line.refusal;
  }
  if (!p->refusal.empty()) {
    p->kind = Parsed::Kind::kRefused;
    p->consumed = std::min(whole, text.size());
    p->skip = whole - p->consumed;
    return;
  }
  if (text.size() < whole) {
    p->kind = Parsed::Kind::kIncomplete;
    p->wanted = whole;
    return;
  }
  p->consumed = whole;
  if (text.substr(whole - 2, 2) == "\r\n") {
    p->command.value = as_bytes(text.substr(line_bytes, line.value_bytes));
    p->kind = Parsed::Kind::kCommand;
    return;
  }
  // Nobody can tell where the value was meant to end: go on behind the next line end.
  p->consumed = std::min(text.find('\n', whole - 1), text.size() - 1) + 1;
  p->refusal = kErrorChunk;
  p->kind = Parsed::Kind::kRefused;
}

}  // namespace

const char* verb_name(Verb v) noexcept { return kNames[static_cast<size_t>(v)]; }

std::string_view next_key(std::string_view* keys) noexcept { return next_token(keys); }

Parsed parse(Bytes input, size_t line_bytes_max) noexcept {
  const std::string_view text = as_text(input);
  const size_t end = text.find('\n');
  if (end == std::string_view::npos) return without_end(text, line_bytes_max);
  Parsed p;
  std::string_view line_text = text.substr(0, end);
  if (line_text.ends_with('\r')) line_text.remove_suffix(1);
  const Line line = parse_line(line_text, &p.command);
  // memcached never answers a classic command with noreply, and errors of a meta command always.
  p.silent = p.command.noreply && !is_meta(p.command.verb);
  p.consumed = end + 1;
  if (is_storage(p.command.verb) && line.value_known) {
    take_value(text, end + 1, line, &p);
    return p;
  }
  p.refusal = line.refusal;
  p.kind = line.refusal.empty() ? Parsed::Kind::kCommand : Parsed::Kind::kRefused;
  return p;
}

uint64_t expiry_of(int64_t exptime, uint64_t unix_ms) noexcept {
  if (exptime == 0) return 0;
  if (exptime < 0) return 1;  // long ago
  // Beyond what 64 bits hold in milliseconds is the end of time.
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max() / 1000;
  const auto ms = static_cast<uint64_t>(std::min(exptime, kMax)) * 1000;
  return exptime <= kRelativeSecondsMax ? unix_ms + ms : ms;
}

}  // namespace dinomo::memcached
