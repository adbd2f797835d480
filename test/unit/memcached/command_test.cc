// SPDX-License-Identifier: BSD-3-Clause
// The parser by itself, the frame, and lifetimes.
#include "memcached/command.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "memcached/frame.h"
#include "memcached/operation.h"

namespace dinomo::memcached {
namespace {

using Kind = Parsed::Kind;

constexpr size_t kLineMax = 64 * 1024;

Parsed parsed(std::string_view text) { return parse(as_bytes(text), kLineMax); }

TEST(Parser, ReadsEveryPartOfAStorageCommand) {
  const std::string text("cas some-key 7 -1 5 99 noreply\r\na\r\nb\0\r\nget x\r\n", 46);
  const Parsed p = parsed(text);
  ASSERT_EQ(p.kind, Kind::kCommand);
  EXPECT_EQ(p.command.verb, Verb::kCas);
  EXPECT_EQ(p.command.keys, "some-key");
  EXPECT_EQ(p.command.item_flags, 7U);
  EXPECT_EQ(p.command.exptime, -1);
  EXPECT_EQ(p.command.version, 99U);
  EXPECT_TRUE(p.command.compare && p.command.noreply && p.silent);
  EXPECT_EQ(as_text(p.command.value), std::string_view("a\r\nb\0", 5));
  EXPECT_EQ(text.substr(p.consumed), "get x\r\n");
}

TEST(Parser, ReadsEveryFlagOfAMetaCommand) {
  const Parsed p = parsed("ms YQ== 2 b k c q O12 F9 T60 ME\r\nab\r\n");
  ASSERT_EQ(p.kind, Kind::kCommand) << p.refusal;
  EXPECT_EQ(p.command.mode, Mode::kAdd);
  EXPECT_EQ(p.command.item_flags, 9U);
  EXPECT_EQ(p.command.exptime, 60);
  EXPECT_TRUE(p.command.noreply && p.command.base64_key);
  EXPECT_FALSE(p.silent);
  std::array<std::byte, kKeyBytesMax> room;
  EXPECT_EQ(as_text(binary_key(p.command, &room)), "a");
  EXPECT_EQ(as_text(p.command.value), "ab");
}

TEST(Parser, TakesCommandsOneByOneHoweverTheyArrive) {
  const std::string stream =
      "set a 0 0 3\r\nx\ny\r\nget a b\r\nmg a v k\nappend a 0 0 0\r\n\r\nms a 4 "
      "F1\r\nmn\r\n\r\ndelete "
      "a\r\nincr n 5\r\nset long 0 0 -1\r\nmn\r\n";
  const auto all = [](std::string_view text, bool by_byte) {
    std::vector<std::string> seen;
    size_t have = by_byte ? 0 : text.size();
    while (!text.empty()) {
      const Parsed p = parsed(text.substr(0, have));
      if (p.kind == Kind::kIncomplete) {
        EXPECT_GT(p.wanted, have);
        if (have >= text.size()) break;
        have += by_byte ? 1 : 0;
        continue;
      }
      EXPECT_LE(p.consumed, have);
      seen.push_back(std::string(p.kind == Kind::kRefused ? p.refusal : verb_name(p.command.verb)) +
                     "|" + std::string(p.command.keys) + "|" +
                     std::string(as_text(p.command.value)));
      text.remove_prefix(p.consumed);
      have = by_byte ? 0 : text.size();
    }
    return seen;
  };
  const auto whole = all(stream, false);
  EXPECT_EQ(whole.size(), 9U);
  EXPECT_EQ(whole, all(stream, true));
}

TEST(Parser, NeverCarriesOutAValue) {
  // Whatever is wrong with the line: if the value's length can be read, the value is skipped.
  const std::string key(251, 'k');
  for (const std::string& line :
       {"set " + key + " 0 0 9", std::string("set a x 0 9"), std::string("set a 0 x 9"),
        std::string("set a 0 0 9 1 2"), std::string("cas a 0 0 9"), "ms " + key + " 9",
        std::string("ms a 9 Fx"), std::string("ms a 9 I"), std::string("add a -1 0 9")}) {
    const std::string text = line + "\r\nflush_all\r\nmn\r\n";
    const Parsed p = parsed(text);
    ASSERT_EQ(p.kind, Kind::kRefused) << line;
    EXPECT_EQ(text.substr(p.consumed), "mn\r\n") << line;
    EXPECT_EQ(p.skip, 0U);
  }
  // A stream has not brought all of it yet.
  const Parsed p = parsed("set a 0 0 1000000\r\nabc");
  ASSERT_EQ(p.kind, Kind::kRefused);
  EXPECT_EQ(p.refusal, "SERVER_ERROR object too large for cache");
  EXPECT_EQ(p.consumed + p.skip, 19U + 1'000'002U);
}

TEST(Parser, KeepsItsLimits) {
  EXPECT_EQ(parsed("set " + std::string(250, 'k') + " 0 0 1\r\nx\r\n").kind, Kind::kCommand);
  const std::string most(60 * 1024, 'v');
  EXPECT_EQ(parsed("set a 0 0 61440\r\n" + most + "\r\n").kind, Kind::kCommand);
  EXPECT_EQ(parsed("set a 0 0 61441\r\nx" + most + "\r\n").kind, Kind::kRefused);
  EXPECT_EQ(parsed("set a 4294967295 0 1\r\nx\r\n").kind, Kind::kCommand);
  EXPECT_EQ(parsed("set a 4294967296 0 1\r\nx\r\n").kind, Kind::kRefused);
  EXPECT_EQ(parsed("incr a 18446744073709551615\r\n").kind, Kind::kCommand);
  EXPECT_EQ(parsed("incr a 18446744073709551616\r\n").kind, Kind::kRefused);
  EXPECT_EQ(parsed("mg a O" + std::string(31, 'o') + "\r\n").kind, Kind::kCommand);
  EXPECT_EQ(parsed("mg a O" + std::string(33, 'o') + "\r\n").kind, Kind::kRefused);
  // Lines without an end.
  EXPECT_EQ(parsed("set " + std::string(2000, 'x')).kind, Kind::kIncomplete);
  EXPECT_EQ(parsed("set " + std::string(2100, 'x')).kind, Kind::kHopeless);
  EXPECT_EQ(parsed("get " + std::string(2100, 'x')).kind, Kind::kIncomplete);
  EXPECT_EQ(parsed("get " + std::string(kLineMax, 'x')).kind, Kind::kHopeless);
  EXPECT_EQ(parsed("\x80\x01").kind, Kind::kHopeless) << "the binary protocol";
}

TEST(Parser, SaysWhatItDoesNotServe) {
  for (const std::string_view line :
       {"mg a h", "mg a l", "mg a N30", "mg a R30", "md a I", "ma a T9"}) {
    const Parsed p = parsed(std::string(line) + "\r\n");
    ASSERT_EQ(p.kind, Kind::kRefused) << line;
    EXPECT_TRUE(p.refusal.starts_with("CLIENT_ERROR flag ")) << p.refusal;
    EXPECT_TRUE(p.refusal.contains("not served")) << p.refusal;
  }
}

TEST(Expiry, IsReadAsMemcachedDoes) {
  constexpr uint64_t kNow = 1'800'000'000'500;
  EXPECT_EQ(expiry_of(0, kNow), 0U);
  EXPECT_EQ(expiry_of(60, kNow), kNow + 60'000);
  EXPECT_EQ(expiry_of(2'592'000, kNow), kNow + 2'592'000'000);
  EXPECT_EQ(expiry_of(2'592'001, kNow), 2'592'001'000U) << "a time in 1970";
  EXPECT_LT(expiry_of(-1, kNow), kNow);
  EXPECT_NE(expiry_of(-1, kNow), 0U);
  EXPECT_EQ(expiry_of(1'800'000'001, kNow), kNow + 500);
  EXPECT_GT(expiry_of(std::numeric_limits<int64_t>::max(), kNow), kNow);
}

TEST(Frame, TakesWholeRequestsOnly) {
  const auto frame = [](std::string_view bytes) { return parse_frame(as_bytes(bytes)); };
  const auto good = frame(std::string_view("\x12\x34\0\0\0\1\0\0mn\r\n", 12));
  ASSERT_TRUE(good);
  EXPECT_EQ(good->id, 0x1234);
  EXPECT_EQ(as_text(good->text), "mn\r\n");
  EXPECT_TRUE(frame(std::string_view("\0\0\0\0\0\1\7\7x", 9))) << "reserved is let pass";
  EXPECT_FALSE(frame(std::string_view("\0\0\0\0\0\1\0\0", 8))) << "no text";
  EXPECT_FALSE(frame("abc"));
  EXPECT_FALSE(frame(std::string_view("\0\0\0\0\0\2\0\0mn\r\n", 12))) << "first of two";
  EXPECT_FALSE(frame(std::string_view("\0\0\0\1\0\1\0\0mn\r\n", 12))) << "second of one";
  EXPECT_FALSE(frame(std::string_view("\0\0\0\0\0\0\0\0mn\r\n", 12))) << "of none";
}

TEST(Frame, NumbersTheDatagramsOfAReply) {
  EXPECT_EQ(frames_of(1), 1U);
  EXPECT_EQ(frames_of(kFrameTextBytes), 1U);
  EXPECT_EQ(frames_of(kFrameTextBytes + 1), 2U);
  EXPECT_LE(frames_of(kReplyBytesLimit), 65'535U);
  const FrameHeader h = make_frame(0x1234, 2, 0x0103);
  EXPECT_EQ(as_text(object_bytes(h)), std::string_view("\x12\x34\0\2\1\3\0\0", 8));
}

TEST(Reply, TellsFailuresFromMisses) {
  const Parsed p = parsed("get a\r\n");
  std::array<char, kReplyHeadBytesMax> room;
  const auto head = [&](wire::Status s) {
    const Reply r = format_reply(p.command, "a", {.status = s}, 0, &room);
    return std::string(room.data(), r.head_bytes);
  };
  EXPECT_EQ(head(wire::Status::kNotFound), "");
  for (const auto s : {wire::Status::kBusy, wire::Status::kWrongOwner, wire::Status::kMoving,
                       wire::Status::kNoSpace, wire::Status::kInternal}) {
    EXPECT_TRUE(head(s).starts_with("SERVER_ERROR "));
    EXPECT_EQ(head(s), failure_line(s));
  }
}

TEST(Reply, FitsTheRoomAtItsLongest) {
  const std::string key(250, 'A');
  const Parsed p =
      parsed("mg " + key + " b k c f s t v O" + std::string(31, 'o') + " q L" + key + "\r\n");
  // 250 letters are no whole number of base64 groups: 248 are.
  ASSERT_EQ(p.kind, Kind::kRefused);
  const std::string key64(248, 'A');
  const std::string line = "mg " + key64 + " b k c f s t v O" + std::string(31, 'o') + "\r\n";
  const Parsed q = parsed(line);  // refers to it
  ASSERT_EQ(q.kind, Kind::kCommand) << q.refusal;
  const uint64_t most = ~uint64_t{0};
  std::array<char, kReplyHeadBytesMax> room;
  const std::string value(61440, 'v');
  const Reply r = format_reply(q.command, q.command.keys,
                               {.item = {most, most, ~0U, 0}, .value = as_bytes(value)}, 0, &room);
  EXPECT_TRUE(std::string_view(room.data(), r.head_bytes).ends_with("\r\n"));
  EXPECT_LT(r.head_bytes, kReplyHeadBytesMax / 2);
}

}  // namespace
}  // namespace dinomo::memcached
