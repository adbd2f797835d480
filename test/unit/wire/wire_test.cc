// SPDX-License-Identifier: BSD-3-Clause
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "wire/codec.h"

namespace dinomo::wire {
namespace {

DatagramHeader request_header() {
  DatagramHeader h{};
  h.magic = kMagic;
  h.version = kVersion;
  h.kind = static_cast<uint8_t>(Kind::kRequest);
  h.session = 11;
  h.cookie = 22;
  return h;
}

MessageHeader message(Opcode op, uint64_t sequence) {
  MessageHeader m{};
  m.opcode = static_cast<uint8_t>(op);
  m.sequence = sequence;
  return m;
}

std::vector<std::byte> datagram() {
  std::vector<std::byte> buffer(kDatagramBytesMax);
  Writer w(buffer, request_header());
  EXPECT_TRUE(w.append(message(Opcode::kGet, 1), {}, as_bytes("alpha"), {}));
  PutExtras put{};
  put.item_flags = 3;
  EXPECT_TRUE(
      w.append(message(Opcode::kPut, 2), object_bytes(put), as_bytes("b"), as_bytes("value")));
  const size_t bytes = w.finish().size();
  buffer.resize(bytes);
  return buffer;
}

TEST(Codec, ReadsBackWhatWasWritten) {
  const auto bytes = datagram();
  Reader r(bytes, Kind::kRequest);
  EXPECT_EQ(r.header().session, 11u);
  Message m;
  ASSERT_TRUE(r.next(&m));
  EXPECT_EQ(m.opcode(), Opcode::kGet);
  EXPECT_EQ(as_text(m.key), "alpha");
  EXPECT_TRUE(m.extras_as<PutExtras>().has_value());  // left out: the default
  ASSERT_TRUE(r.next(&m));
  EXPECT_EQ(m.header.sequence, 2u);
  EXPECT_EQ(as_text(m.value), "value");
  EXPECT_EQ(m.extras_as<PutExtras>()->item_flags, 3u);
  EXPECT_FALSE(m.extras_as<CasExtras>().has_value());  // of another size
  EXPECT_FALSE(r.next(&m));
  EXPECT_EQ(r.error(), ReadError::kNone);
}

TEST(Codec, MessagesStayAligned) {
  std::vector<std::byte> buffer(256);
  Writer w(buffer, request_header());
  for (const char* key : {"a", "abcdefg", "abcdefgh", "abcdefghi"}) {
    ASSERT_TRUE(w.append(message(Opcode::kGet, 1), {}, as_bytes(key), {}));
    EXPECT_EQ(w.bytes() % 8, 0u);
  }
}

TEST(Codec, AFullBufferRefusesAndStaysWhole) {
  std::vector<std::byte> buffer(sizeof(DatagramHeader) + 24);
  Writer w(buffer, request_header());
  EXPECT_TRUE(w.append(message(Opcode::kGet, 1), {}, as_bytes("12345678"), {}));
  EXPECT_FALSE(w.append(message(Opcode::kGet, 2), {}, as_bytes("1"), {}));
  Reader r(w.finish(), Kind::kRequest);
  Message m;
  EXPECT_TRUE(r.next(&m));
  EXPECT_FALSE(r.next(&m));
  EXPECT_EQ(r.error(), ReadError::kNone);
}

TEST(Codec, EveryTruncationIsAnError) {
  const auto bytes = datagram();
  for (size_t n = 0; n < bytes.size(); ++n) {
    Reader r(Bytes(bytes).first(n), Kind::kRequest);
    Message m;
    while (r.next(&m)) {
    }
    EXPECT_NE(r.error(), ReadError::kNone) << n;
  }
}

TEST(Codec, NamesWhatIsWrong) {
  auto with = [](size_t at, uint8_t value) {
    auto bytes = datagram();
    bytes[at] = std::byte{value};
    return Reader(bytes, Kind::kRequest).error();
  };
  EXPECT_EQ(with(0, 'X'), ReadError::kNotDinomo);
  EXPECT_EQ(with(2, 9), ReadError::kVersion);
  EXPECT_EQ(with(3, 1), ReadError::kMalformed);  // a reply
  EXPECT_EQ(with(4, 0), ReadError::kMalformed);  // no messages
  EXPECT_EQ(with(6, 1), ReadError::kMalformed);  // reserved flag

  auto bytes = datagram();
  bytes.resize(bytes.size() + 8);
  Reader r(bytes, Kind::kRequest);
  Message m;
  while (r.next(&m)) {
  }
  EXPECT_EQ(r.error(), ReadError::kTrailing);
}

TEST(Codec, DamagedDatagramsNeverLeaveTheBuffer) {
  std::mt19937_64 random(7);
  const auto good = datagram();
  for (int round = 0; round < 50'000; ++round) {
    auto bytes = good;
    for (int flips = 0; flips < 3; ++flips) {
      bytes[random() % bytes.size()] = static_cast<std::byte>(random());
    }
    bytes.resize(random() % (bytes.size() + 1));
    Reader r(bytes, Kind::kRequest);
    Message m;
    while (r.next(&m)) {
      for (const Bytes part : {m.extras, m.key, m.value}) {
        if (part.empty()) continue;
        ASSERT_GE(part.data(), bytes.data());
        ASSERT_LE(part.data() + part.size(), bytes.data() + bytes.size());
      }
    }
  }
}

}  // namespace
}  // namespace dinomo::wire
