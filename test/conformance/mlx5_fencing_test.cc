// SPDX-License-Identifier: BSD-3-Clause
// Fencing against a device that goes on: a KN process is killed, or hangs, while the NIC has
// thousands of its work requests. Once the DPM has been told that the KN is fenced, none of them
// changes the pool any more; without fencing, all of them do.
//
// Run by fabric_mlx5.sh with a slow device process. The KN is this program, started again.
#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>  // NOLINT(modernize-deprecated-headers): kill
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "common/file_descriptor.h"
#include "fabric/driver.h"

namespace dinomo::fabric {
namespace {

constexpr size_t kPoolBytes = size_t{1} << 20;
constexpr uint64_t kCounterAt = 4096;
constexpr uint64_t kWritesAt = 8192;
constexpr uint32_t kQueues = 4;
constexpr uint32_t kDepth = 2048;
constexpr uint32_t kPosted = kQueues * kDepth;  // half of them add one to the counter

// The KN ----------------------------------------------------------------------------------------

struct Ended : Completion {
  Ended() {
    callback = [](Completion* c, Status s) noexcept { static_cast<Ended*>(c)->status = s; };
  }
  Status status = Status::kInProgress;
};

/// Says 'r' when it is connected, posts at the word 'g', says 'p'; lets go of everything at the
/// next word and says how many were refused. The two ends of its talk are its standard streams.
int run_kn(const std::string& address) {
  std::string why;
  auto fabric = find_driver("mlx5")->connect(
      {.target = address, .device = {}, .kn_slot = -1, .timeout_ms = 20'000}, &why);
  if (!fabric) {
    std::fprintf(stderr, "%s\n", why.c_str());
    return 1;
  }
  std::vector<std::unique_ptr<Queue>> queues;
  for (uint32_t q = 0; q < kQueues; ++q) {
    auto queue = (*fabric)->open_queue({.depth = kDepth});
    if (!queue) return 1;
    queues.push_back(std::move(*queue));
  }
  char word = 'r';
  if (::write(STDOUT_FILENO, &word, 1) != 1 || ::read(STDIN_FILENO, &word, 1) != 1) return 1;
  std::vector<Ended> ended(kPosted);
  std::vector<uint64_t> old(kPosted);
  uint64_t value = 1;
  for (uint32_t i = 0; i < kPosted; ++i) {
    Queue& queue = *queues[i % kQueues];
    ++value;
    const Status s = i / kQueues % 2 == 0 ? queue.post_fetch_add(kCounterAt, 1, &old[i],
                                                                 Purpose::kControl, &ended[i])
                                          : queue.post_write(kWritesAt + i * 8, object_bytes(value),
                                                             {}, Purpose::kLog, &ended[i]);
    if (s != Status::kInProgress) return 1;
  }
  for (auto& queue : queues) queue->flush();
  word = 'p';
  if (::write(STDOUT_FILENO, &word, 1) != 1 || ::read(STDIN_FILENO, &word, 1) != 1) return 1;
  const auto began = std::chrono::steady_clock::now();
  uint32_t left = kPosted;
  while (left != 0 && std::chrono::steady_clock::now() - began < std::chrono::seconds(30)) {
    left = 0;
    for (auto& queue : queues) {
      queue->poll(kDepth);
      left += queue->in_flight();
    }
  }
  uint32_t refused = 0;
  for (const Ended& e : ended) {
    refused += e.status == Status::kFenced || e.status == Status::kUnreachable ? 1 : 0;
  }
  return ::write(STDOUT_FILENO, &refused, sizeof refused) == sizeof refused && left == 0 ? 0 : 1;
}

// The DPM ---------------------------------------------------------------------------------------

class KnProcess {
 public:
  explicit KnProcess(const std::string& address) {
    int to[2];
    int from[2];
    EXPECT_EQ(::pipe2(to, O_CLOEXEC) + ::pipe2(from, O_CLOEXEC), 0);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::dup2(to[0], STDIN_FILENO);
      ::dup2(from[1], STDOUT_FILENO);
      ::execl("/proc/self/exe", "kn", "--kn", address.c_str(), nullptr);
      ::_exit(127);
    }
    ::close(to[0]);
    ::close(from[1]);
    to_ = FileDescriptor(to[1]);
    from_ = FileDescriptor(from[0]);
  }
  ~KnProcess() { kill(); }
  KnProcess(const KnProcess&) = delete;
  KnProcess& operator=(const KnProcess&) = delete;

  bool heard(char expected) const {
    char word = 0;
    return ::read(from_.get(), &word, 1) == 1 && word == expected;
  }
  uint32_t refused() const {
    uint32_t count = 0;
    EXPECT_EQ(::read(from_.get(), &count, sizeof count), static_cast<ssize_t>(sizeof count));
    return count;
  }
  void say(char word) const { EXPECT_EQ(::write(to_.get(), &word, 1), 1); }
  void send(int signal) const { ::kill(pid_, signal); }
  void kill() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = 0;
  }
  int wait() {
    int status = -1;
    ::waitpid(pid_, &status, 0);
    pid_ = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

 private:
  pid_t pid_ = 0;
  FileDescriptor to_;
  FileDescriptor from_;
};

std::string free_address() {
  const FileDescriptor s(::socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in a{};
  a.sin_family = AF_INET;
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(::bind(s.get(), reinterpret_cast<sockaddr*>(&a), sizeof a), 0);
  socklen_t size = sizeof a;
  EXPECT_EQ(::getsockname(s.get(), reinterpret_cast<sockaddr*>(&a), &size), 0);
  return "127.0.0.1:" + std::to_string(ntohs(a.sin_port));
}

class Fencing : public testing::Test {
 protected:
  void SetUp() override {
    const char* pid = std::getenv("DINOMO_SOFTHCA_PID");
    ASSERT_NE(pid, nullptr) << "run it by fabric_mlx5.sh slow";
    device_ = std::atoi(pid);
    void* at =
        ::mmap(nullptr, kPoolBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(at, MAP_FAILED);
    pool_ = {static_cast<std::byte*>(at), kPoolBytes};
    PoolExport exported;
    exported.memory = pool_;
    exported.path = "memory of the test";
    exported.superblock_offset = 4096;
    exported.node_id = 7;
    exported.kn_slots = 4;
    std::string why;
    const std::string address = free_address();
    auto target = find_driver("mlx5")->listen(address, exported, &why);
    ASSERT_TRUE(target.has_value()) << why;
    target_ = std::move(*target);
    kn_ = std::make_unique<KnProcess>(address);
    ASSERT_TRUE(kn_->heard('r'));
  }
  void TearDown() override {
    if (device_ > 0) ::kill(device_, SIGCONT);
    kn_.reset();
    target_.reset();
    if (!pool_.empty()) ::munmap(pool_.data(), pool_.size());
  }

  uint64_t counter() const {
    return std::atomic_ref<uint64_t>(*reinterpret_cast<uint64_t*>(pool_.data() + kCounterAt))
        .load();
  }
  /// Everything is posted while the device stands still.
  void post_all() {
    ::kill(device_, SIGSTOP);
    kn_->say('g');
    ASSERT_TRUE(kn_->heard('p'));
    EXPECT_EQ(counter(), 0u);
  }
  void resume_device() const { ::kill(device_, SIGCONT); }
  /// Waits until the device has begun with them.
  void wait_begun() const {
    for (int i = 0; i < 20'000 && counter() < 10; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    ASSERT_GE(counter(), 10u);
  }
  /// From now on nothing may land, though the device had plenty to do.
  void expect_sealed() {
    const std::vector<std::byte> sealed(pool_.begin(), pool_.end());
    EXPECT_LT(counter(), kPosted / 2) << "the device was too fast to prove anything";
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
    EXPECT_EQ(std::memcmp(sealed.data(), pool_.data(), pool_.size()), 0);
  }

  pid_t device_ = 0;
  MutableBytes pool_;
  std::unique_ptr<Target> target_;
  std::unique_ptr<KnProcess> kn_;
};

/// What fencing is needed for: the process is gone, its requests are not.
TEST_F(Fencing, WithoutItTheDeviceCarriesOutWhatAHangingKnPosted) {
  ASSERT_NO_FATAL_FAILURE(post_all());
  kn_->send(SIGSTOP);
  resume_device();
  for (int i = 0; i < 60'000 && counter() != kPosted / 2; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_EQ(counter(), kPosted / 2);
}

TEST_F(Fencing, OfAHangingKnEndsItsRequestsAndItIsToldWhenItWakesUp) {
  ASSERT_NO_FATAL_FAILURE(post_all());
  kn_->send(SIGSTOP);
  resume_device();
  ASSERT_NO_FATAL_FAILURE(wait_begun());
  ASSERT_EQ(target_->fence(0), Status::kOk);
  expect_sealed();
  kn_->send(SIGCONT);
  kn_->say('e');
  EXPECT_GT(kn_->refused(), 0u);
  EXPECT_EQ(kn_->wait(), 0);
  EXPECT_FALSE(target_->connected(0));
}

TEST_F(Fencing, OfAKilledKnEndsItsRequests) {
  ASSERT_NO_FATAL_FAILURE(post_all());
  kn_->kill();
  std::thread later([this] {  // so that device and fencing begin together
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    resume_device();
  });
  EXPECT_EQ(target_->fence(0), Status::kOk);
  later.join();
  expect_sealed();
}

/// Nobody asks for it here: the end of the KN's connection is the end of its rights.
TEST_F(Fencing, ComesByItselfWithTheDeathOfTheKn) {
  ASSERT_NO_FATAL_FAILURE(post_all());
  resume_device();
  ASSERT_NO_FATAL_FAILURE(wait_begun());
  kn_->kill();
  for (int i = 0; i < 20'000 && target_->connected(0); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  ASSERT_FALSE(target_->connected(0));
  ASSERT_EQ(target_->revoke(0), Status::kOk);
  expect_sealed();
}

}  // namespace
}  // namespace dinomo::fabric

int main(int argc, char** argv) {
  ::signal(SIGPIPE, SIG_IGN);
  if (argc == 3 && std::string(argv[1]) == "--kn") return dinomo::fabric::run_kn(argv[2]);
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
