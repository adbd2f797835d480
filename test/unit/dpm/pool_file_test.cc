// SPDX-License-Identifier: BSD-3-Clause
#include "dpm/pool_file.h"

#include <gtest/gtest.h>
#include <libpmemobj.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "test/unit/dpm/temporary.h"

namespace dinomo::dpm {
namespace {

namespace fs = std::filesystem;

class PoolFileTest : public testing::Test {
 protected:
  test::TemporaryDirectory directory_;
  PoolOptions options_ = test::small_pool(directory_.file("pool"));
  std::string why_;

  Result<std::unique_ptr<PoolFile>> open() { return PoolFile::open(options_, &why_); }
  void expect_refused(Status status, const std::string& words) {
    const auto pool = open();
    ASSERT_FALSE(pool);
    EXPECT_EQ(pool.error(), status) << why_;
    EXPECT_NE(why_.find(words), std::string::npos) << why_;
  }
  void make() { ASSERT_TRUE(open()) << why_; }
  uint64_t superblock_at() {
    const auto pool = open();
    EXPECT_TRUE(pool) << why_;
    return pool ? (*pool)->superblock_offset() : 0;
  }
  void overwrite(uint64_t at, const std::string& bytes) {
    std::fstream file(options_.path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(at));
    file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  }
};

TEST_F(PoolFileTest, IsMadeOnceAndOpenedAgain) {
  auto pool = open();
  ASSERT_TRUE(pool) << why_;
  EXPECT_TRUE((*pool)->created());
  EXPECT_EQ((*pool)->superblock_offset() % 64, 0u);
  EXPECT_EQ((*pool)->superblock().kn_slots, options_.geometry.kn_slots);
  EXPECT_EQ((*pool)->superblock().uuid, options_.uuid);
  const pool::TableRef table(
      (*pool)->record<pool::IndexRoot>((*pool)->superblock().index_root_offset)->current);
  EXPECT_EQ(table.offset_bytes() % 64, 0u);
  EXPECT_EQ(table.buckets(), default_index_buckets(options_.pool_bytes));
  pool->reset();
  options_.hash_seed = 99;  // of a new pool only
  pool = open();
  ASSERT_TRUE(pool) << why_;
  EXPECT_FALSE((*pool)->created());
  EXPECT_NE((*pool)->superblock().hash_seed, 99u);
  EXPECT_FALSE(fs::exists(options_.path + ".new"));
}

TEST_F(PoolFileTest, ObjectsAreAlignedAndFoundAgain) {
  auto pool = open();
  ASSERT_TRUE(pool) << why_;
  std::vector<uint64_t> made;
  for (int i = 0; i < 5; ++i) {
    const auto object = (*pool)->allocate(
        pool::ObjectType::kSegment, 100'000,
        [](std::byte* at) noexcept { store(at, uint64_t{0x1234}); }, 64);
    ASSERT_TRUE(object);
    EXPECT_EQ(object->offset % 64, 0u);
    EXPECT_GE(object->bytes, 100'000u);
    EXPECT_EQ(load<uint64_t>((*pool)->at(object->offset)), 0x1234u);
    made.push_back(object->offset);
  }
  pool->reset();
  pool = open();
  ASSERT_TRUE(pool) << why_;
  std::vector<uint64_t> found;
  for (const auto& o : (*pool)->objects(pool::ObjectType::kSegment)) found.push_back(o.offset);
  std::ranges::sort(made);
  std::ranges::sort(found);
  EXPECT_EQ(made, found);
}

TEST_F(PoolFileTest, AFullPoolSaysSo) {
  const auto pool = open();
  ASSERT_TRUE(pool) << why_;
  const auto none = (*pool)->allocate(pool::ObjectType::kSegment, uint64_t{1} << 30, nullptr, 0);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error(), Status::kNoSpace);
}

TEST_F(PoolFileTest, IsNotMadeUnlessAsked) {
  options_.create = false;
  expect_refused(Status::kNotFound, "--create");
}

TEST_F(PoolFileTest, NamesAMissingDirectory) {
  options_.path = directory_.file("nowhere/pool");
  expect_refused(Status::kNotFound, "does not exist");
}

TEST_F(PoolFileTest, NamesMissingPermission) {
  if (geteuid() == 0) GTEST_SKIP() << "root may write everywhere";
  ASSERT_EQ(chmod(directory_.path().c_str(), 0500), 0);
  expect_refused(Status::kInvalid, "permission");
  ASSERT_EQ(chmod(directory_.path().c_str(), 0700), 0);
}

TEST_F(PoolFileTest, NamesADiskThatIsTooSmall) {
  options_.pool_bytes = uint64_t{1} << 52;
  options_.index_buckets = 1024;
  expect_refused(Status::kNoSpace, "free");
  EXPECT_FALSE(fs::exists(options_.path));
}

TEST_F(PoolFileTest, NamesAPoolSizeThatIsTooSmall) {
  options_.pool_bytes = uint64_t{8} << 20;
  expect_refused(Status::kInvalid, "too small");
}

TEST_F(PoolFileTest, HasRoomForAsManySegmentsAsItSays) {
  struct Shape {
    uint64_t pool_mib;
    uint64_t segment_bytes;
  };
  for (const Shape shape :
       {Shape{24, 128 << 10}, Shape{48, 256 << 10}, Shape{64, 300'032}, Shape{64, 1 << 20},
        Shape{64, 8 << 20}, Shape{300, 8 << 20}, Shape{300, 5'000'064}}) {
    options_.path = directory_.file("pool" + std::to_string(shape.pool_mib) + "-" +
                                    std::to_string(shape.segment_bytes));
    options_.pool_bytes = shape.pool_mib << 20;
    options_.geometry.segment_bytes = shape.segment_bytes;
    const auto opened = open();
    ASSERT_TRUE(opened) << why_;
    PoolFile* pool = opened->get();
    const uint64_t bytes = pool->superblock().segment_bytes;
    const uint64_t left = pool->segments_left(bytes);
    EXPECT_GE(left * bytes, (shape.pool_mib << 20) / 4) << shape.pool_mib << " MiB";
    uint64_t made = 0;
    while (pool->allocate(pool::ObjectType::kSegment, bytes, nullptr, 0)) ++made;
    EXPECT_EQ(made, left) << shape.pool_mib << " MiB, " << shape.segment_bytes;
    // The index keeps its share.
    EXPECT_TRUE(
        pool->allocate(pool::ObjectType::kIndexTable, (shape.pool_mib << 20) / 16, nullptr, 0))
        << shape.pool_mib << " MiB, " << shape.segment_bytes;
  }
}

TEST_F(PoolFileTest, NeverReplacesAnotherFile) {
  std::ofstream(options_.path) << std::string(1 << 24, 'x');
  expect_refused(Status::kInvalid, "cannot be opened as a pool");
  std::ifstream file(options_.path);
  EXPECT_EQ(file.get(), 'x');
}

TEST_F(PoolFileTest, RefusesASmallFile) {
  std::ofstream(options_.path) << "tiny";
  expect_refused(Status::kCorrupt, "too few");
}

TEST_F(PoolFileTest, RefusesATruncatedPool) {
  make();
  for (const uint64_t bytes :
       {options_.pool_bytes / 2, options_.pool_bytes - 4096, uint64_t{9} << 20, uint64_t{4096}}) {
    fs::copy_file(options_.path, directory_.file("cut"), fs::copy_options::overwrite_existing);
    ASSERT_EQ(truncate(directory_.file("cut").c_str(), static_cast<off_t>(bytes)), 0);
    PoolOptions cut = options_;
    cut.path = directory_.file("cut");
    const auto pool = PoolFile::open(cut, &why_);
    ASSERT_FALSE(pool) << bytes;
    EXPECT_NE(why_.find("truncated"), std::string::npos) << why_;
  }
}

TEST_F(PoolFileTest, RefusesAnotherLayout) {
  PMEMobjpool* other = pmemobj_create(options_.path.c_str(), "other", PMEMOBJ_MIN_POOL, 0600);
  ASSERT_NE(other, nullptr);
  pmemobj_close(other);
  expect_refused(Status::kInvalid, "layout \"other\"");
}

TEST_F(PoolFileTest, RefusesALaterLayoutAsAnotherVersion) {
  PMEMobjpool* other = pmemobj_create(options_.path.c_str(), "dinomo-2", PMEMOBJ_MIN_POOL, 0600);
  ASSERT_NE(other, nullptr);
  pmemobj_close(other);
  expect_refused(Status::kVersion, "dinomo-2");
}

TEST_F(PoolFileTest, RefusesAnUnknownFormatVersion) {
  const uint64_t at = superblock_at();
  overwrite(at + offsetof(pool::Superblock, format_version), std::string("\x09\x00\x00\x00", 4));
  expect_refused(Status::kVersion, "version 9");
}

TEST_F(PoolFileTest, RefusesAFlippedBitInTheSuperblock) {
  const uint64_t at = superblock_at();
  overwrite(at + offsetof(pool::Superblock, logs_offset), "\x55");
  expect_refused(Status::kCorrupt, "damaged");
}

TEST_F(PoolFileTest, RefusesAnIndexOutsideOfThePool) {
  uint64_t root_at = 0;
  {
    const auto pool = open();
    ASSERT_TRUE(pool) << why_;
    root_at = (*pool)->superblock().index_root_offset;
  }
  overwrite(root_at, std::string(8, '\x7f'));
  expect_refused(Status::kCorrupt, "index root");
}

TEST_F(PoolFileTest, IsOpenInOneProcessOnly) {
  const auto pool = open();
  ASSERT_TRUE(pool) << why_;
  expect_refused(Status::kBusy, "open in another process");
}

TEST_F(PoolFileTest, AnUnfinishedDraftOfACrashIsNoObstacle) {
  std::ofstream(options_.path + ".new") << "half a pool";
  make();
  EXPECT_FALSE(fs::exists(options_.path + ".new"));
}

TEST_F(PoolFileTest, FinishesAnEmptyPoolMadeByPmempool) {
  PMEMobjpool* empty =
      pmemobj_create(options_.path.c_str(), pool::kLayoutName, options_.pool_bytes, 0600);
  ASSERT_NE(empty, nullptr);
  pmemobj_close(empty);
  options_.create = false;
  expect_refused(Status::kInvalid, "no superblock");
  options_.create = true;
  const auto pool = open();
  ASSERT_TRUE(pool) << why_;
  EXPECT_TRUE((*pool)->created());
}

TEST_F(PoolFileTest, GivesTheDurabilityThatIsDemandedOrRefuses) {
  options_.persistence = PersistenceChoice::kDax;
  expect_refused(Status::kUnsupported, "dax");  // tests run on ordinary files
  options_.persistence = PersistenceChoice::kPageCache;
  options_.require_power_safe = true;
  expect_refused(Status::kUnsupported, "power failure");
  options_.require_power_safe = false;
  {
    const auto pool = open();
    ASSERT_TRUE(pool) << why_;
    EXPECT_EQ((*pool)->persistence(), pool::Persistence::kPageCache);
  }
  options_.persistence = PersistenceChoice::kMsync;
  const auto pool = open();
  ASSERT_TRUE(pool) << why_;
  EXPECT_EQ((*pool)->persistence(), pool::Persistence::kMsync);
}

TEST_F(PoolFileTest, PmempoolUnderstandsIt) {
  if (std::system("command -v pmempool >/dev/null 2>&1") != 0) {
    GTEST_SKIP() << "pmempool is not installed (apt install pmdk-tools)";
  }
  make();
  std::FILE* pipe = popen(("pmempool info " + options_.path + " 2>&1").c_str(), "r");
  ASSERT_NE(pipe, nullptr);
  std::string text;
  for (int c = std::fgetc(pipe); c != EOF; c = std::fgetc(pipe)) text += static_cast<char>(c);
  EXPECT_EQ(pclose(pipe), 0) << text;
  EXPECT_NE(text.find(pool::kLayoutName), std::string::npos) << text;
  EXPECT_EQ(std::system(("pmempool check " + options_.path + " >/dev/null 2>&1").c_str()), 0);
}

}  // namespace
}  // namespace dinomo::dpm
