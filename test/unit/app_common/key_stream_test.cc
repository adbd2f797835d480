// SPDX-License-Identifier: BSD-3-Clause
// Recordings: what is written is read, and what is damaged is refused with its reason.
#include "app/common/key_stream.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>

namespace dinomo::app {
namespace {

class KeyStreamTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = std::filesystem::temp_directory_path() / "dinomo-stream-XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    directory_ = name;
    path_ = directory_ / "a.stream";
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  void write_some(uint64_t records) {
    KeyStreamWriter writer;
    ASSERT_EQ(writer.open(path_, 1234), "");
    for (uint64_t i = 0; i < records; ++i) {
      writer.append(StreamOp::kGet, object_bytes(i), i * 10, i % 2 == 1);
    }
    ASSERT_EQ(writer.close(), "");
    EXPECT_EQ(writer.records(), records);
  }
  void patch(std::streamoff at, char byte) const {
    std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(at);
    file.put(byte);
  }
  std::string why_refused(uint64_t records_max = UINT64_MAX) const {
    const auto read = read_key_stream(path_, records_max);
    return read ? "read without complaint" : read.error();
  }

  std::filesystem::path directory_;
  std::string path_;
};

TEST_F(KeyStreamTest, WhatIsWrittenIsRead) {
  KeyStreamWriter writer;
  ASSERT_EQ(writer.open(path_, 1), "");
  const std::string key(250, 'k');
  writer.append(StreamOp::kPut, as_bytes(key), 61'440, false);
  writer.append(StreamOp::kDelete, as_bytes("a"), 0, true);
  writer.append(StreamOp::kGet, as_bytes(key), 0, false);
  ASSERT_EQ(writer.close(), "");
  const auto read = read_key_stream(path_, 100);
  ASSERT_TRUE(read) << read.error();
  ASSERT_EQ(read->size(), 3u);
  const KeyStreamRecord& put = (*read)[0];
  EXPECT_EQ(put.op, static_cast<uint8_t>(StreamOp::kPut));
  EXPECT_EQ(put.value_bytes, 61'440u);
  EXPECT_EQ(put.key_bytes, 250);
  EXPECT_EQ(put.flags, 0);
  EXPECT_EQ((*read)[1].flags, KeyStreamRecord::kAbsent);
  EXPECT_NE((*read)[1].key_hash, put.key_hash);
  EXPECT_EQ((*read)[2].key_hash, put.key_hash);
}

TEST_F(KeyStreamTest, ReadsNoMoreThanAskedFor) {
  write_some(200'000);  // several chunks
  EXPECT_EQ(read_key_stream(path_, 70'000)->size(), 70'000u);
  EXPECT_EQ(read_key_stream(path_, UINT64_MAX)->size(), 200'000u);
}

TEST_F(KeyStreamTest, ThreadsWriteWholeRecords) {
  KeyStreamWriter writer;
  ASSERT_EQ(writer.open(path_, 1), "");
  {
    std::vector<std::jthread> threads;
    for (uint64_t t = 0; t < 4; ++t) {
      threads.emplace_back([&writer, t] {
        for (int i = 0; i < 5000; ++i) writer.append(StreamOp::kGet, object_bytes(t), t, false);
      });
    }
  }
  ASSERT_EQ(writer.close(), "");
  const auto read = read_key_stream(path_, UINT64_MAX);
  ASSERT_TRUE(read);
  ASSERT_EQ(read->size(), 20'000u);
  for (const KeyStreamRecord& r : *read) {
    const uint64_t t = r.value_bytes;
    ASSERT_EQ(r.key_hash, key_hash(object_bytes(t), 0));
  }
}

TEST_F(KeyStreamTest, ARecordingThatWasNotClosedIsReadToItsEnd) {
  write_some(1000);
  // As a killed recorder leaves it: the count is still 0, the last record is cut.
  KeyStreamHeader header{};
  std::ifstream(path_, std::ios::binary).read(reinterpret_cast<char*>(&header), sizeof header);
  header.records = 0;
  header.checksum = checksum64(object_bytes(header).first(offsetof(KeyStreamHeader, checksum)));
  std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
  file.write(reinterpret_cast<const char*>(&header), sizeof header);
  file.close();
  std::filesystem::resize_file(path_, sizeof(KeyStreamHeader) + 700 * 16 + 5);
  EXPECT_EQ(read_key_stream(path_, UINT64_MAX)->size(), 700u);
}

TEST_F(KeyStreamTest, DamagedFilesAreRefusedWithTheReason) {
  EXPECT_NE(why_refused().find("No such file"), std::string::npos) << why_refused();
  write_some(10);
  std::filesystem::resize_file(path_, sizeof(KeyStreamHeader) + 9 * 16);
  EXPECT_NE(why_refused().find("has 9 of 10 records"), std::string::npos) << why_refused();
  std::filesystem::resize_file(path_, 20);
  EXPECT_NE(why_refused().find("shorter"), std::string::npos) << why_refused();
  write_some(10);
  patch(0, 'x');
  EXPECT_NE(why_refused().find("not a recording"), std::string::npos) << why_refused();
  write_some(10);
  patch(offsetof(KeyStreamHeader, format_version), 9);
  EXPECT_NE(why_refused().find("version 9"), std::string::npos) << why_refused();
  write_some(10);
  patch(offsetof(KeyStreamHeader, records), 3);
  EXPECT_NE(why_refused().find("checksum"), std::string::npos) << why_refused();
  write_some(10);
  patch(sizeof(KeyStreamHeader) + 4 * 16 + offsetof(KeyStreamRecord, op), 77);
  EXPECT_NE(why_refused().find("record 4 has the unknown operation 77"), std::string::npos)
      << why_refused();
}

TEST_F(KeyStreamTest, SaysThatItCannotWrite) {
  KeyStreamWriter writer;
  EXPECT_NE(writer.open(directory_ / "no" / "such", 1), "");
  KeyStreamWriter full;
  if (access("/dev/full", W_OK) != 0) GTEST_SKIP() << "no /dev/full here";
  ASSERT_EQ(full.open("/dev/full", 1), "");
  for (int i = 0; i < 200'000; ++i) full.append(StreamOp::kGet, object_bytes(i), 1, false);
  EXPECT_NE(full.close().find("cannot write all"), std::string::npos);
}

}  // namespace
}  // namespace dinomo::app
