// SPDX-License-Identifier: BSD-3-Clause
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "log/format.h"

namespace dinomo::log {
namespace {

std::vector<std::byte> entry(std::string_view key, std::string_view value, Op op = Op::kPut) {
  std::vector<std::byte> bytes(entry_bytes(key.size(), value.size()));
  EntryFields f;
  f.lsn = 5;
  f.generation = 0x107;
  f.log_id = 2;
  f.op = op;
  f.item_flags = 9;
  EXPECT_EQ(build_entry(bytes.data(), f, as_bytes(key), as_bytes(value)), bytes.size());
  return bytes;
}

TEST(Entry, ReadsBackWhatWasBuilt) {
  const auto bytes = entry("key", "value");
  Entry e;
  ASSERT_EQ(parse_entry(bytes, 0x107, &e), EntryCheck::kValid);
  EXPECT_EQ(as_text(e.key), "key");
  EXPECT_EQ(as_text(e.value), "value");
  EXPECT_EQ(e.header.item_flags, 9u);
  EXPECT_EQ(e.version(), item_version(2, 5));
  EXPECT_EQ(parse_entry_low8(bytes, 0x07, &e), EntryCheck::kValid);
}

TEST(Entry, DefaultSizesPackWithoutWaste) {
  EXPECT_EQ(entry_bytes(8, 64), 128u);
  EXPECT_EQ(entry_bytes(8, 1024), 1088u);
}

TEST(Entry, LargestEntryFitsAGlobalAddress) {
  const std::string value(pool::kValueBytesMax, 'v');
  const auto bytes = entry(std::string(pool::kKeyBytesMax, 'k'), value);
  Entry e;
  ASSERT_EQ(parse_entry(bytes, 0x107, &e), EntryCheck::kValid);
  EXPECT_EQ(as_text(e.value), value);
  EXPECT_LE(bytes.size(), kEntryBytesMax);
}

TEST(Entry, EveryFlippedBitOfContentIsRefused) {
  const auto good = entry("key", "some value");
  const size_t content = sizeof(EntryHeader) + 3 + 10;
  for (size_t bit = 0; bit < content * 8; ++bit) {
    auto bytes = good;
    bytes[bit / 8] ^= static_cast<std::byte>(1u << (bit % 8));
    Entry e;
    EXPECT_NE(parse_entry(bytes, 0x107, &e), EntryCheck::kValid) << "bit " << bit;
  }
}

TEST(Entry, EveryTruncationIsRefused) {
  const auto good = entry("key", std::string(200, 'x'));
  for (size_t n = 0; n < good.size(); ++n) {
    Entry e;
    EXPECT_NE(parse_entry(Bytes(good).first(n), 0x107, &e), EntryCheck::kValid) << n;
  }
}

TEST(Entry, ATornTailIsRefused) {
  const auto good = entry("key", std::string(1000, 'x'));
  for (size_t n = 64; n < good.size(); n += 64) {
    auto bytes = good;
    std::fill(bytes.begin() + static_cast<ptrdiff_t>(n), bytes.end(), std::byte{0});
    Entry e;
    EXPECT_EQ(parse_entry(bytes, 0x107, &e), EntryCheck::kBadChecksum) << n;
  }
}

TEST(Entry, AnotherGenerationIsRefused) {
  const auto bytes = entry("key", "value");
  Entry e;
  EXPECT_EQ(parse_entry(bytes, 0x108, &e), EntryCheck::kWrongGeneration);
  EXPECT_EQ(parse_entry_low8(bytes, 0x08, &e), EntryCheck::kWrongGeneration);
}

TEST(Entry, RandomBytesAreNeverAccepted) {
  std::mt19937_64 random(1);
  std::vector<std::byte> bytes(512);
  for (int round = 0; round < 20'000; ++round) {
    for (auto& b : bytes) b = static_cast<std::byte>(random());
    Entry e;
    EXPECT_NE(parse_entry(bytes, static_cast<uint32_t>(random()), &e), EntryCheck::kValid);
  }
}

}  // namespace
}  // namespace dinomo::log
