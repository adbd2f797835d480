// SPDX-License-Identifier: BSD-3-Clause
// The fabric conformance suite over the shm driver, for each persistence domain that runs here.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <thread>

#include "test/conformance/fabric_conformance.h"

namespace dinomo::fabric {
namespace {

constexpr size_t kPoolBytes = size_t{1} << 20;

class ShmWorld final : public FabricWorld {
 public:
  explicit ShmWorld(pool::Persistence persistence) {
    char name[] = "/dev/shm/dinomo-fabric-XXXXXX";  // memory: may pass for DAX
    directory_ = ::mkdtemp(name);
    path_ = directory_ + "/pool";
    const int fd = ::open(path_.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600);
    EXPECT_EQ(::ftruncate(fd, kPoolBytes), 0);
    void* at = ::mmap(nullptr, kPoolBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ::close(fd);
    EXPECT_NE(at, MAP_FAILED);
    memory_ = {static_cast<std::byte*>(at), kPoolBytes};
    PoolExport exported;
    exported.memory = memory_;
    exported.path = path_;
    exported.superblock_offset = 4096;
    exported.uuid[0] = 0xd1;
    exported.node_id = 7;
    exported.kn_slots = 4;
    exported.persistence = persistence;
    std::string why;
    auto target = find_driver("shm")->listen(directory_ + "/dpm.sock", exported, &why);
    EXPECT_TRUE(target.has_value()) << why;
    if (target) target_ = std::move(*target);
  }
  ~ShmWorld() override {
    target_.reset();
    ::munmap(memory_.data(), memory_.size());
    ::unlink(path_.c_str());
    ::rmdir(directory_.c_str());
  }

  MutableBytes memory() override { return memory_; }
  Target& target() override { return *target_; }
  Result<std::unique_ptr<Fabric>> connect(int kn_slot, std::string* why) override {
    std::atomic<bool> done{false};
    std::thread service([&] {
      while (!done.load()) target_->poll();
    });
    auto fabric = find_driver("shm")->connect(
        {.target = directory_ + "/dpm.sock", .kn_slot = kn_slot, .timeout_ms = 5000}, why);
    done = true;
    service.join();
    return fabric;
  }

 private:
  std::string directory_;
  std::string path_;
  MutableBytes memory_;
  std::unique_ptr<Target> target_;
};

FabricCase shm_case(const char* name, pool::Persistence persistence) {
  return {name, [persistence] { return std::make_unique<ShmWorld>(persistence); }};
}

INSTANTIATE_TEST_SUITE_P(Shm, FabricConformance,
                         testing::Values(shm_case("page_cache", pool::Persistence::kPageCache),
                                         shm_case("dax", pool::Persistence::kDax),
                                         shm_case("msync", pool::Persistence::kMsync)),
                         [](const auto& param) { return param.param.name; });

TEST(ShmErrors, NobodyListening) {
  std::string why;
  auto fabric = find_driver("shm")->connect({.target = "/tmp/no-such-dinomo.sock"}, &why);
  ASSERT_FALSE(fabric.has_value());
  EXPECT_EQ(fabric.error(), Status::kUnreachable);
  EXPECT_NE(why.find("start it with --listen"), std::string::npos) << why;
}

TEST(ShmErrors, PathTooLong) {
  std::string why;
  auto fabric = find_driver("shm")->connect({.target = std::string(200, 'x')}, &why);
  ASSERT_FALSE(fabric.has_value());
  EXPECT_EQ(fabric.error(), Status::kInvalid);
}

TEST(ShmErrors, AnotherListenerIsNotRobbed) {
  char name[] = "/tmp/dinomo-fabric-XXXXXX";
  const std::string directory = ::mkdtemp(name);
  const std::string pool = directory + "/pool";
  ::close(::open(pool.c_str(), O_RDWR | O_CREAT, 0600));
  std::string why;
  PoolExport exported;
  exported.path = pool;
  auto first = find_driver("shm")->listen(directory + "/sock", exported, &why);
  ASSERT_TRUE(first.has_value()) << why;
  auto second = find_driver("shm")->listen(directory + "/sock", exported, &why);
  ASSERT_FALSE(second.has_value());
  EXPECT_EQ(second.error(), Status::kExists);
  first->reset();
  ::unlink(pool.c_str());
  ::rmdir(directory.c_str());
}

}  // namespace
}  // namespace dinomo::fabric
