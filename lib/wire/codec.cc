// SPDX-License-Identifier: BSD-3-Clause
#include "wire/codec.h"

#include <cstring>

namespace dinomo::wire {

namespace {
constexpr uint8_t kKeyBytesMax = 250;
constexpr uint64_t kSequenceLimit = uint64_t{1} << 56;
}  // namespace

Reader::Reader(Bytes datagram, Kind expected) noexcept {
  if (datagram.size() < sizeof(DatagramHeader)) {
    error_ = ReadError::kTruncated;
    return;
  }
  header_ = load<DatagramHeader>(datagram.data());
  if (header_.magic != kMagic) {
    error_ = ReadError::kNotDinomo;
  } else if (header_.version != kVersion) {
    error_ = ReadError::kVersion;
  } else if (header_.kind != static_cast<uint8_t>(expected) || header_.flags != 0 ||
             header_.messages == 0) {
    error_ = ReadError::kMalformed;
  } else {
    left_ = header_.messages;
    rest_ = datagram.subspan(sizeof(DatagramHeader));
  }
}

bool Reader::next(Message* out) noexcept {
  if (left_ == 0) {
    if (error_ == ReadError::kNone && !rest_.empty()) error_ = ReadError::kTrailing;
    return false;
  }
  if (rest_.size() < sizeof(MessageHeader)) {
    error_ = ReadError::kTruncated;
    left_ = 0;
    return false;
  }
  const auto h = load<MessageHeader>(rest_.data());
  const size_t size = message_bytes(h.extra_bytes, h.key_bytes, h.value_bytes);
  if (size > rest_.size()) {
    error_ = ReadError::kTruncated;
    left_ = 0;
    return false;
  }
  if (h.key_bytes > kKeyBytesMax || h.extra_bytes % 8 != 0 || h.sequence >= kSequenceLimit) {
    error_ = ReadError::kMalformed;
    left_ = 0;
    return false;
  }
  const Bytes body = rest_.subspan(sizeof(MessageHeader));
  *out = Message{h, body.first(h.extra_bytes), body.subspan(h.extra_bytes, h.key_bytes),
                 body.subspan(h.extra_bytes + size_t{h.key_bytes}, h.value_bytes)};
  rest_ = rest_.subspan(size);
  --left_;
  return true;
}

Writer::Writer(MutableBytes buffer, const DatagramHeader& header) noexcept : buffer_(buffer) {
  store(buffer_.data(), header);
  used_ = sizeof(DatagramHeader);
}

bool Writer::append(MessageHeader header, Bytes extras, Bytes key, Bytes value) noexcept {
  if (!fits(extras.size(), key.size(), value.size()) || messages_ == UINT16_MAX) return false;
  header.extra_bytes = static_cast<uint16_t>(extras.size());
  header.key_bytes = static_cast<uint8_t>(key.size());
  header.value_bytes = static_cast<uint16_t>(value.size());
  std::byte* at = buffer_.data() + used_;
  store(at, header);
  at += sizeof header;
  for (const Bytes part : {extras, key, value}) {
    if (part.empty()) continue;
    std::memcpy(at, part.data(), part.size());
    at += part.size();
  }
  const size_t total = message_bytes(extras.size(), key.size(), value.size());
  std::memset(at, 0, static_cast<size_t>(buffer_.data() + used_ + total - at));
  used_ += total;
  ++messages_;
  return true;
}

Bytes Writer::finish() noexcept {
  store(buffer_.data() + offsetof(DatagramHeader, messages), messages_);
  return Bytes(buffer_).first(used_);
}

const char* read_error_name(ReadError e) noexcept {
  switch (e) {
    case ReadError::kNone: return "none";
    case ReadError::kTruncated: return "truncated";
    case ReadError::kNotDinomo: return "not_dinomo";
    case ReadError::kVersion: return "version";
    case ReadError::kMalformed: return "malformed";
    case ReadError::kTrailing: return "trailing";
  }
  return "unknown";
}

const char* opcode_name(Opcode op) noexcept {
  switch (op) {
    case Opcode::kHello: return "hello";
    case Opcode::kPing: return "ping";
    case Opcode::kRing: return "ring";
    case Opcode::kStats: return "stats";
    case Opcode::kGet: return "get";
    case Opcode::kPut: return "put";
    case Opcode::kDelete: return "delete";
    case Opcode::kAdd: return "add";
    case Opcode::kReplace: return "replace";
    case Opcode::kCas: return "cas";
    case Opcode::kAppend: return "append";
    case Opcode::kPrepend: return "prepend";
    case Opcode::kIncr: return "incr";
    case Opcode::kDecr: return "decr";
    case Opcode::kTouch: return "touch";
    case Opcode::kGetAndTouch: return "get-and-touch";
  }
  return "unknown";
}

const char* status_name(Status s) noexcept {
  switch (s) {
    case Status::kOk: return "ok";
    case Status::kNotFound: return "not-found";
    case Status::kExists: return "exists";
    case Status::kNotStored: return "not-stored";
    case Status::kNotNumber: return "not-a-number";
    case Status::kBadRequest: return "bad-request";
    case Status::kTooLarge: return "too-large";
    case Status::kUnsupported: return "unsupported";
    case Status::kBadVersion: return "bad-version";
    case Status::kTooOld: return "too-old";
    case Status::kNoSession: return "no-session";
    case Status::kWrongOwner: return "wrong-owner";
    case Status::kMoving: return "moving";
    case Status::kBusy: return "busy";
    case Status::kNoSpace: return "no-space";
    case Status::kSessionLost: return "session-lost";
    case Status::kInternal: return "internal";
  }
  return "unknown";
}

}  // namespace dinomo::wire
