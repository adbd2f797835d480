// SPDX-License-Identifier: BSD-3-Clause
// The commands of memcached's text protocol, classic and meta: from bytes to a Command. Pure
// functions over byte spans: no allocation, no state between calls, safe on any input.
//
// A stream is read by calling parse() on what has come so far; a datagram by calling it until the
// bytes are used up. Whatever a Command points at lies in the input.
//
// Where memcached 1.6.18 would take the value of a refused storage command for the next command,
// this parser skips it: a value is never carried out.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "common/bytes.h"
#include "memcached/token.h"

namespace dinomo::memcached {

enum class Verb : uint8_t {
  kGet,
  kGets,
  kGat,
  kGats,
  kSet,
  kAdd,
  kReplace,
  kAppend,
  kPrepend,
  kCas,
  kIncr,
  kDecr,
  kDelete,
  kTouch,
  kVersion,
  kStats,
  kVerbosity,
  kFlushAll,
  kQuit,
  kMetaGet,
  kMetaSet,
  kMetaDelete,
  kMetaArithmetic,
  kMetaNoop,
};
inline constexpr size_t kVerbs = 24;

/// Several keys, and END after the last.
inline constexpr bool is_retrieval(Verb v) noexcept { return v <= Verb::kGats; }
inline constexpr bool is_storage(Verb v) noexcept {
  return (v >= Verb::kSet && v <= Verb::kCas) || v == Verb::kMetaSet;
}
inline constexpr bool is_meta(Verb v) noexcept { return v >= Verb::kMetaGet; }
/// Has one key or more.
inline constexpr bool has_key(Verb v) noexcept {
  return v <= Verb::kTouch || (is_meta(v) && v != Verb::kMetaNoop);
}
const char* verb_name(Verb v) noexcept;

/// Mode of ms and ma, and what the classic storage commands amount to.
enum class Mode : uint8_t { kSet, kAdd, kReplace, kAppend, kPrepend, kIncr, kDecr };

struct Command {
  Verb verb = Verb::kMetaNoop;
  Mode mode = Mode::kSet;
  bool noreply = false;     // classic: answer nothing; meta (q): leave the usual answer out
  bool base64_key = false;  // meta b: the key is written in base64
  bool compare = false;     // `version` has to be the item's
  bool touch = false;       // mg: exptime is to be set
  bool create = false;      // ma: make the item if there is none
  uint32_t item_flags = 0;
  int64_t exptime = 0;         // as memcached counts: see expiry_of()
  uint64_t version = 0;        // cas unique
  uint64_t number = 1;         // delta of incr, decr, ma
  uint64_t initial = 0;        // ma, with create
  std::string_view keys;       // retrieval: all of them, as written; else the one key, as written
  std::string_view flags;      // meta: as written, every one of them valid
  std::string_view arguments;  // stats, verbosity, flush_all: the rest of the line
  Bytes value;
};

struct Parsed {
  enum class Kind : uint8_t {
    kCommand,     // `command` is to be carried out
    kRefused,     // `refusal` is the answer, unless silent
    kIncomplete,  // come again with at least `wanted` bytes
    kHopeless,    // no text protocol, or a line without end: close the connection
  };
  Kind kind = Kind::kIncomplete;
  bool silent = false;
  size_t consumed = 0;  // bytes of the input that are done with
  size_t skip = 0;      // refused: so many bytes after the input are the refused command's, too
  size_t wanted = 0;
  std::string_view refusal;  // without its line end
  Command command;
};

/// The longest line without an end, but for retrievals, whose number of keys has no limit of its
/// own: they may fill what the caller can keep (`line_bytes_max`).
inline constexpr size_t kShortLineBytesMax = 2048;

/// `line_bytes_max`: the longest line that the caller is able to give.
Parsed parse(Bytes input, size_t line_bytes_max) noexcept;

/// The next key of a retrieval, or an empty one at the end. Takes it from *keys.
std::string_view next_key(std::string_view* keys) noexcept;

/// The key of any other command in binary, decoded into `room` if it came in base64. The parser has
/// seen to it that this works.
inline constexpr size_t kKeyBytesMax = 250;
Bytes binary_key(const Command& command, std::array<std::byte, kKeyBytesMax>* room) noexcept;

/// What memcached's exptime means, as the Unix time from which an item is absent, 0 never: seconds
/// from now up to 30 days, else Unix time itself; negative is at once.
uint64_t expiry_of(int64_t exptime, uint64_t unix_ms) noexcept;

}  // namespace dinomo::memcached
