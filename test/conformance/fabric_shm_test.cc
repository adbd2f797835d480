// SPDX-License-Identifier: BSD-3-Clause
// The fabric conformance suite over the shm driver, for each persistence domain that runs here.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
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

  std::string address() const { return directory_ + "/dpm.sock"; }
  const std::string& path() const { return path_; }
  MutableBytes memory() override { return memory_; }
  Target& target() override { return *target_; }
  Result<std::unique_ptr<Fabric>> connect(int kn_slot, std::string* why) override {
    std::atomic<bool> done{false};
    std::thread service([&] {
      while (!done.load()) target_->poll();
    });
    auto fabric = find_driver("shm")->connect(
        {.target = address(), .kn_slot = kn_slot, .timeout_ms = 5000}, why);
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

constexpr uint16_t kSlot = 2;

/// Another process that is KN `kSlot`: holds its mapping until it is told that it lost it.
class ShmFencing : public testing::Test {
 protected:
  void start() {
    child_ = ::fork();
    ASSERT_GE(child_, 0);
    if (child_ == 0) {
      std::string why;
      auto fabric = find_driver("shm")->connect(
          {.target = world_.address(), .kn_slot = kSlot, .timeout_ms = 5000}, &why);
      while (fabric && (*fabric)->alive()) ::usleep(1000);
      ::_exit(fabric ? 0 : 1);
    }
    for (int i = 0; i < 5000; ++i) {
      world_.target().poll();
      if (world_.target().connected(kSlot) && locked()) return;
      ::usleep(1000);
    }
    FAIL() << "the other process does not connect";
  }
  bool locked() {
    const int pool = ::open(world_.path().c_str(), O_RDWR);
    struct flock lock{};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    const bool held = ::fcntl(pool, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
    ::close(pool);
    return held;
  }
  /// Asks as the leader does, again and again.
  bool fenced() {
    for (int i = 0; i < 1000; ++i) {
      if (ok(world_.target().fence(kSlot))) return true;
      ::usleep(10'000);
    }
    return false;
  }
  int end_of_child() const {
    int status = 0;
    ::waitpid(child_, &status, 0);
    return status;
  }

  ShmWorld world_{pool::Persistence::kPageCache};
  pid_t child_ = -1;
};

TEST_F(ShmFencing, WhoRunsGivesUpByItself) {
  start();
  EXPECT_EQ(world_.target().fence(kSlot), Status::kBusy);
  EXPECT_TRUE(fenced());
  const int status = end_of_child();
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

TEST_F(ShmFencing, WhoIsStoppedIsKilled) {
  start();
  ASSERT_EQ(::kill(child_, SIGSTOP), 0);
  int stopped = 0;
  ASSERT_EQ(::waitpid(child_, &stopped, WUNTRACED), child_);
  EXPECT_EQ(world_.target().fence(kSlot), Status::kBusy);
  EXPECT_TRUE(fenced());
  const int status = end_of_child();
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << status;
  EXPECT_FALSE(locked());
}

}  // namespace
}  // namespace dinomo::fabric
