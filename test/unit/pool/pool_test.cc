// SPDX-License-Identifier: BSD-3-Clause
#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "common/hash.h"
#include "pool/address.h"
#include "pool/superblock.h"

namespace dinomo::pool {
namespace {

constexpr uint64_t kRootOffset = 4096 * 3;
constexpr uint64_t kPoolBytes = uint64_t{256} << 20;

Superblock good() {
  return make_superblock(PoolGeometry{}, kRootOffset, kPoolBytes, {1, 2, 3}, 7, 1);
}

TEST(GlobalAddress, KeepsEveryFieldAtItsLimits) {
  const auto a = GlobalAddress::direct(255, ((uint64_t{1} << 36) - 1) * 64, 1023 * 64, 0x1ff);
  EXPECT_EQ(a.node(), 255);
  EXPECT_EQ(a.offset_bytes(), ((uint64_t{1} << 36) - 1) * 64);
  EXPECT_EQ(a.length_bytes(), 1023u * 64);
  EXPECT_EQ(a.generation(), 0xff);
  EXPECT_FALSE(a.is_indirect());
  EXPECT_TRUE(GlobalAddress::indirect(3, 640).is_indirect());
  EXPECT_EQ(GlobalAddress::indirect(3, 640).offset_bytes(), 640u);
  EXPECT_FALSE(GlobalAddress());
}

TEST(TableRef, KeepsItsFields) {
  const TableRef r(uint64_t{64} << 30, 33, 0xfffe);
  EXPECT_EQ(r.offset_bytes(), uint64_t{64} << 30);
  EXPECT_EQ(r.buckets_log2(), 33u);
  EXPECT_EQ(r.version(), 0xfffe);
}

TEST(Superblock, IsAcceptedAsMade) {
  std::string why;
  EXPECT_EQ(check_superblock(good(), kPoolBytes, &why), Status::kOk) << why;
}

TEST(Superblock, RecordsDoNotOverlapAndFitTheRoot) {
  const Superblock s = good();
  const std::vector<uint64_t> starts = {
      kRootOffset + 4096, s.index_root_offset, s.leader_offset,
      s.directory_offset, s.logs_offset,       s.mailboxes_offset,
      s.ring_offset,      s.sessions_offset,   kRootOffset + root_bytes(PoolGeometry{})};
  EXPECT_EQ(s.state_offset, starts[0]);
  for (size_t i = 1; i < starts.size(); ++i) EXPECT_GT(starts[i], starts[i - 1]) << i;
  EXPECT_LE(mailbox_offset(s, 15, 16, 3) + sizeof(MailboxCell), s.ring_offset);
  EXPECT_LE(log_record_offset(s, log_count(s) - 1) + sizeof(LogRecord), s.mailboxes_offset);
}

TEST(Superblock, AnyFlippedBitIsFound) {
  const Superblock original = good();
  for (size_t bit = 0; bit < sizeof(Superblock) * 8; bit += 7) {
    Superblock s = original;
    reinterpret_cast<uint8_t*>(&s)[bit / 8] ^= static_cast<uint8_t>(1u << (bit % 8));
    std::string why;
    EXPECT_NE(check_superblock(s, kPoolBytes, &why), Status::kOk) << "bit " << bit;
    EXPECT_FALSE(why.empty());
  }
}

TEST(Superblock, AnotherVersionIsNamedInTheMessage) {
  Superblock s = good();
  s.format_version = 9;
  std::string why;
  EXPECT_EQ(check_superblock(s, kPoolBytes, &why), Status::kVersion);
  EXPECT_NE(why.find("version 9"), std::string::npos);
}

TEST(Superblock, ATruncatedPoolIsNamedInTheMessage) {
  std::string why;
  EXPECT_EQ(check_superblock(good(), kPoolBytes / 2, &why), Status::kCorrupt);
  EXPECT_NE(why.find("truncated"), std::string::npos);
}

}  // namespace
}  // namespace dinomo::pool
