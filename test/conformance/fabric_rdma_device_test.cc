// SPDX-License-Identifier: BSD-3-Clause
// The fabric conformance suite over the whole RDMA drivers: connections over TCP, objects from
// Debian's libibverbs and its providers, data path by direct verbs (mlx5) or by libibverbs (verbs).
// It needs a device: a soft HCA that was preloaded (fabric_rdma.sh, in this process or in another),
// or soft-RoCE (test/guest, verbs only). DPM_DEVICE and KN_DEVICE in the environment name it, else
// it is the first that fits. CONNECT=rdmacm: pairs are connected by librdmacm, the DPM's address
// being DPM_HOST.
#include <arpa/inet.h>
#include <dlfcn.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>

#include "test/conformance/fabric_conformance.h"

namespace dinomo::fabric {
namespace {

constexpr size_t kPoolBytes = size_t{1} << 20;

std::string setting(const char* variable, const char* otherwise) {
  const char* value = std::getenv(variable);
  return value == nullptr ? otherwise : value;
}

/// A port of this machine that was free a moment ago.
std::string free_address() {
  const int s = ::socket(AF_INET, SOCK_STREAM, 0);
  if (s < 0) return "";
  sockaddr_in a{};
  a.sin_family = AF_INET;
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(::bind(s, reinterpret_cast<sockaddr*>(&a), sizeof a), 0);
  socklen_t size = sizeof a;
  EXPECT_EQ(::getsockname(s, reinterpret_cast<sockaddr*>(&a), &size), 0);
  ::close(s);
  return setting("DPM_HOST", "127.0.0.1") + ":" + std::to_string(ntohs(a.sin_port));
}

PairSetup pair_setup() {
  const std::string name = setting("CONNECT", "exchange");
  EXPECT_TRUE(name == "rdmacm" || name == "exchange") << "CONNECT=" << name;
  return name == "rdmacm" ? PairSetup::kRdmacm : PairSetup::kExchange;
}

class DeviceWorld final : public FabricWorld {
 public:
  DeviceWorld(const char* driver, pool::Persistence persistence)
      : driver_(find_driver(driver)), address_(free_address()) {
    void* at =
        ::mmap(nullptr, kPoolBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    EXPECT_NE(at, MAP_FAILED);
    memory_ = {static_cast<std::byte*>(at), kPoolBytes};
    PoolExport exported;
    exported.memory = memory_;
    exported.path = "memory of the test";
    exported.superblock_offset = 4096;
    exported.uuid[0] = 0xd1;
    exported.node_id = 7;
    exported.kn_slots = 4;
    exported.persistence = persistence;
    exported.device = setting("DPM_DEVICE", "");
    exported.pair_setup = pair_setup();
    std::string why;
    auto target = driver_->listen(address_, exported, &why);
    EXPECT_TRUE(target.has_value()) << why;
    if (target) target_ = std::move(*target);
  }
  ~DeviceWorld() override {
    target_.reset();
    ::munmap(memory_.data(), memory_.size());
  }
  const std::string& address() const { return address_; }
  MutableBytes memory() override { return memory_; }
  Target& target() override { return *target_; }
  Result<std::unique_ptr<Fabric>> connect(int kn_slot, std::string* why) override {
    return driver_->connect({.target = address_,
                             .device = setting("KN_DEVICE", ""),
                             .kn_slot = kn_slot,
                             .timeout_ms = 5000,
                             .pair_setup = pair_setup()},
                            why);
  }

 private:
  const Driver* driver_;
  std::string address_;
  MutableBytes memory_;
  std::unique_ptr<Target> target_;
};

FabricCase device_case(const char* driver, const char* name, pool::Persistence persistence) {
  return {std::string(driver) + "_" + name,
          [=] { return std::make_unique<DeviceWorld>(driver, persistence); }};
}

INSTANTIATE_TEST_SUITE_P(
    Rdma, FabricConformance,
    testing::Values(device_case("mlx5", "page_cache", pool::Persistence::kPageCache),
                    device_case("mlx5", "dax", pool::Persistence::kDax),
                    device_case("verbs", "page_cache", pool::Persistence::kPageCache),
                    device_case("verbs", "dax", pool::Persistence::kDax)),
    [](const auto& param) { return param.param.name; });

class RdmaDriver : public testing::TestWithParam<const char*> {
 protected:
  RdmaDriver() : world_(GetParam(), pool::Persistence::kPageCache) {
    std::string why;
    auto connected = world_.connect(-1, &why);
    EXPECT_TRUE(connected.has_value()) << why;
    fabric_ = std::move(*connected);
  }
  Status write_word(Queue& queue, uint64_t value) {
    word_ = value;
    Awaited done;
    const Status posted = queue.post_write(8192, object_bytes(word_), {}, Purpose::kLog, &done);
    if (posted != Status::kInProgress) return posted;
    queue.flush();
    for (int i = 0; i < 60'000'000 && done.calls == 0; ++i) queue.poll(8);
    return done.status;
  }
  uint64_t remote_word() { return load<uint64_t>(world_.memory().data() + 8192); }

  DeviceWorld world_;
  std::unique_ptr<Fabric> fabric_;
  uint64_t word_ = 0;
};

TEST_P(RdmaDriver, AFencedKnWritesNothingAndIsTold) {
  auto queue = fabric_->open_queue({});
  ASSERT_TRUE(queue.has_value());
  ASSERT_EQ(write_word(**queue, 1), Status::kOk);
  const uint16_t slot = fabric_->remote().kn_slot;
  ASSERT_EQ(world_.target().fence(slot), Status::kOk);
  EXPECT_FALSE(world_.target().connected(slot));
  const Status refused = write_word(**queue, 2);
  EXPECT_TRUE(refused == Status::kFenced || refused == Status::kUnreachable)
      << status_name(refused);
  EXPECT_EQ(remote_word(), 1u);
  EXPECT_EQ(write_word(**queue, 3), refused);  // at once from now on
  EXPECT_EQ(remote_word(), 1u);
}

TEST_P(RdmaDriver, AQueueOpenedAgainWorksOnTheSamePairsAfterTheirReset) {
  for (uint64_t round = 1; round <= 20; ++round) {
    auto queue = fabric_->open_queue({});
    ASSERT_TRUE(queue.has_value()) << round;
    ASSERT_EQ(write_word(**queue, round), Status::kOk) << round;
    ASSERT_EQ(remote_word(), round);
    uint64_t old = 0;
    Awaited left_behind;  // under way when the queue goes
    ASSERT_EQ((*queue)->post_fetch_add(16384, 1, &old, Purpose::kControl, &left_behind),
              Status::kInProgress);
    (*queue)->flush();
  }
}

TEST_P(RdmaDriver, MemoryThatWasNotRegisteredIsRefused) {
  auto queue = fabric_->open_queue({});
  ASSERT_TRUE(queue.has_value());
  std::vector<std::byte> buffer(4096);
  Awaited done;
  EXPECT_EQ((*queue)->post_read(0, buffer, Purpose::kValue, &done), Status::kInvalid);
  EXPECT_EQ((*queue)->in_flight(), 0u);
}

/// Takes the soft HCA of this process out, or puts it back; false if there is none.
bool take_out(bool out) {
  const bool here = std::getenv("DINOMO_SOFTHCA") == nullptr;
  using Switch = void (*)(bool);
  const auto change = reinterpret_cast<Switch>(::dlsym(RTLD_DEFAULT, "dinomo_softhca_take_out"));
  if (!here || change == nullptr) return false;
  change(out);
  return true;
}

TEST_P(RdmaDriver, ADeviceThatIsTakenOutEndsWhatWasPostedAndIsUsedAgainWhenItIsBack) {
  auto queue = fabric_->open_queue({});
  ASSERT_TRUE(queue.has_value());
  ASSERT_EQ(write_word(**queue, 1), Status::kOk);
  EXPECT_TRUE(fabric_->alive());
  if (!take_out(true)) GTEST_SKIP() << "the device is not in this process (test/guest has another)";
  uint64_t old = 0;
  std::array<Awaited, 8> lost;
  for (Awaited& done : lost) {
    ASSERT_EQ((*queue)->post_fetch_add(16384, 1, &old, Purpose::kControl, &done),
              Status::kInProgress);
  }
  (*queue)->flush();
  EXPECT_FALSE(fabric_->alive());
  for (int i = 0; i < 100 && (*queue)->in_flight() != 0; ++i) (*queue)->poll(8);
  for (const Awaited& done : lost) {
    EXPECT_EQ(done.calls, 1);
    EXPECT_EQ(done.status, Status::kUnreachable);
  }
  EXPECT_EQ(write_word(**queue, 2), Status::kUnreachable);
  queue->reset();
  fabric_.reset();
  std::string why;
  EXPECT_FALSE(world_.connect(-1, &why).has_value());

  take_out(false);
  for (int i = 0; i < 1000 && !fabric_; ++i) {  // the DPM's end looks every half second
    auto again = world_.connect(-1, &why);
    if (again) {
      fabric_ = std::move(*again);
    } else {
      ::usleep(10'000);
    }
  }
  ASSERT_TRUE(fabric_) << why;
  auto fresh = fabric_->open_queue({});
  ASSERT_TRUE(fresh.has_value());
  EXPECT_EQ(write_word(**fresh, 3), Status::kOk);
  EXPECT_EQ(remote_word(), 3u);
}

INSTANTIATE_TEST_SUITE_P(Rdma, RdmaDriver, testing::Values("mlx5", "verbs"),
                         [](const auto& param) { return param.param; });

/// Both speak the same exchange: a KN may use direct verbs and its DPM need not.
TEST(RdmaDrivers, OneConnectsToTheOther) {
  DeviceWorld world("verbs", pool::Persistence::kPageCache);
  std::string why;
  auto fabric = find_driver("mlx5")->connect(
      {.target = world.address(), .device = {}, .kn_slot = -1, .timeout_ms = 5000}, &why);
  ASSERT_TRUE(fabric.has_value()) << why;
  EXPECT_TRUE((*fabric)->open_queue({}).has_value());
}

TEST(RdmaErrors, NamesTheDevicesThatThereAre) {
  std::string why;
  auto fabric = find_driver("verbs")->connect({.target = "127.0.0.1:1", .device = "none_9"}, &why);
  ASSERT_FALSE(fabric.has_value());
  EXPECT_EQ(fabric.error(), Status::kNotFound);
  EXPECT_NE(why.find("devices here: "), std::string::npos) << why;
  EXPECT_EQ(why.find("none."), std::string::npos) << why;
}

TEST(RdmaErrors, NobodyListens) {
  std::string why;
  auto fabric = find_driver("verbs")->connect({.target = free_address(), .device = {}}, &why);
  ASSERT_FALSE(fabric.has_value());
  EXPECT_EQ(fabric.error(), Status::kUnreachable);
  EXPECT_NE(why.find("--listen"), std::string::npos) << why;
}

TEST(RdmaErrors, AnAddressWithoutAPort) {
  std::string why;
  auto fabric = find_driver("verbs")->connect({.target = "localhost", .device = {}}, &why);
  ASSERT_FALSE(fabric.has_value());
  EXPECT_EQ(fabric.error(), Status::kInvalid);
}

}  // namespace
}  // namespace dinomo::fabric
