// SPDX-License-Identifier: BSD-3-Clause
// Reading and writing datagrams: pure functions over byte spans, no allocation, safe on any input.
#pragma once

#include <optional>

#include "common/align.h"
#include "common/bytes.h"
#include "wire/format.h"

namespace dinomo::wire {

/// The extras of a message as T; if they were left out, `fallback`. Sizes were checked by the
/// reader only against the datagram, so a size other than 0 and sizeof(T) yields nullopt.
template <class T>
std::optional<T> extras_as(Bytes extras, const T& fallback = T{}) noexcept {
  if (extras.empty()) return fallback;
  if (extras.size() != sizeof(T)) return std::nullopt;
  return load<T>(extras.data());
}

/// One message; the spans point into the datagram.
struct Message {
  MessageHeader header;
  Bytes extras;
  Bytes key;
  Bytes value;

  Opcode opcode() const noexcept { return static_cast<Opcode>(header.opcode); }
  Status status() const noexcept { return static_cast<Status>(header.status); }

  template <class T>
  std::optional<T> extras_as(const T& fallback = T{}) const noexcept {
    return wire::extras_as<T>(extras, fallback);
  }
};

inline constexpr size_t message_bytes(size_t extra_bytes, size_t key_bytes,
                                      size_t value_bytes) noexcept {
  return align_up<size_t>(sizeof(MessageHeader) + extra_bytes + key_bytes + value_bytes, 8);
}

enum class ReadError : uint8_t {
  kNone,
  kTruncated,  // shorter than its headers or lengths say
  kNotDinomo,  // magic
  kVersion,    // another protocol version
  kMalformed,  // reserved bits, kind, zero messages, over-long key
  kTrailing,   // bytes after the last message
};
inline constexpr size_t kReadErrors = 6;
const char* read_error_name(ReadError e) noexcept;

/// Iterates over the messages of one datagram.
///   Reader reader(payload, Kind::kRequest);
///   Message m;
///   while (reader.next(&m)) { ... }
///   if (reader.error() != ReadError::kNone) count it; messages already returned stay valid.
class Reader {
 public:
  Reader(Bytes datagram, Kind expected) noexcept;

  ReadError error() const noexcept { return error_; }
  const DatagramHeader& header() const noexcept { return header_; }
  uint32_t messages_left() const noexcept { return left_; }

  /// The next message, or false at the end or at an error.
  bool next(Message* out) noexcept;

 private:
  Bytes rest_;
  DatagramHeader header_{};
  uint32_t left_ = 0;
  ReadError error_ = ReadError::kNone;
};

/// Writes one datagram into a buffer that the caller owns.
class Writer {
 public:
  Writer() noexcept = default;
  /// `buffer` has room for at least the header and is 8-byte aligned.
  Writer(MutableBytes buffer, const DatagramHeader& header) noexcept;

  bool fits(size_t extra_bytes, size_t key_bytes, size_t value_bytes) const noexcept {
    return used_ + message_bytes(extra_bytes, key_bytes, value_bytes) <= buffer_.size();
  }

  /// Appends a message; the lengths in `header` are set from the spans. False if it does not fit
  /// (nothing was written then).
  bool append(MessageHeader header, Bytes extras, Bytes key, Bytes value) noexcept;

  uint32_t messages() const noexcept { return messages_; }
  size_t bytes() const noexcept { return used_; }
  /// Completes the header; the datagram is the first bytes() bytes of the buffer.
  Bytes finish() noexcept;

 private:
  MutableBytes buffer_;
  size_t used_ = 0;
  uint16_t messages_ = 0;
};

const char* opcode_name(Opcode op) noexcept;
const char* status_name(Status s) noexcept;

}  // namespace dinomo::wire
