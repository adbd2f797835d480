// SPDX-License-Identifier: BSD-3-Clause
// The fabric conformance suite over the mlx5 data path on a soft HCA, without libibverbs: what
// stands between the seam and the device's binary formats is the product's; connections are made by
// hand here.
#include <atomic>
#include <mutex>
#include <set>

#include "drivers/fabric/mlx5/mlx5_path.h"
#include "drivers/fabric/mlx5/softhca/factory.h"
#include "test/conformance/fabric_conformance.h"

namespace dinomo::fabric {
namespace {

using softhca::Device;
using softhca::FactoryQueue;
using softhca::QpState;

constexpr size_t kPoolBytes = size_t{1} << 20;
constexpr uint16_t kSlots = 4;
constexpr uint32_t kPairs = 4;
constexpr uint64_t kRemoteBase = 0x1'0000'0000;
constexpr uint32_t kRemoteAccess =
    IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_ATOMIC;
constexpr uint32_t kPoolAccess = kRemoteAccess | IBV_ACCESS_LOCAL_WRITE;

struct Setup {
  uint32_t entry_bytes = 64;
  uint32_t bf_half_bytes = 256;
  bool flush_by_read = false;
  softhca::Faults faults{};
};

/// Who is connected, as a DPM knows it.
class SlotTarget final : public Target {
 public:
  uint32_t poll() noexcept override { return 0; }
  Status revoke(uint16_t slot) noexcept override {
    return connected(slot) ? Status::kBusy : Status::kOk;
  }
  bool connected(uint16_t slot) noexcept override {
    const std::lock_guard lock(mutex);
    return slots.contains(slot);
  }
  std::mutex mutex;
  std::set<uint16_t> slots;
};

class FactoryPairs final : public mlx5::PairOwner {
 public:
  FactoryPairs(Device& device, uint32_t kn_pd, uint32_t dpm_pd, const Setup& setup)
      : kn(device, config(kn_pd, setup)), dpm(device, config(dpm_pd, setup)), cq(kn.cq()) {
    softhca::connect(device, kn, dpm, kRemoteAccess);
  }
  void stop() noexcept override { kn.move(QpState::kError); }
  static softhca::FactoryConfig config(uint32_t pd, const Setup& setup) {
    return {.pd = pd,
            .pairs = kPairs,
            .blocks = 128,
            .entries = 1024,
            .entry_bytes = setup.entry_bytes,
            .bf_half_bytes = setup.bf_half_bytes};
  }
  FactoryQueue kn;
  FactoryQueue dpm;
  mlx5::CompletionQueue cq;
};

class FactoryFabric final : public Fabric {
 public:
  FactoryFabric(Device& device, SlotTarget& target, MutableBytes pool, uint16_t slot,
                const Setup& setup)
      : device_(device), target_(target), setup_(setup) {
    remote_.pool_bytes = pool.size();
    remote_.superblock_offset = 4096;
    remote_.uuid[0] = 0xd1;
    remote_.node_id = 7;
    remote_.kn_slot = slot;
    kn_pd_ = device.make_pd();
    dpm_pd_ = device.make_pd();
    rkey_ = device.register_memory(dpm_pd_, kRemoteBase, pool.size(), pool.data(), kPoolAccess).key;
  }
  ~FactoryFabric() override {
    device_.deregister(rkey_);
    const std::lock_guard lock(target_.mutex);
    target_.slots.erase(remote_.kn_slot);
  }
  const RemotePool& remote() const noexcept override { return remote_; }
  Status register_memory(MutableBytes memory) noexcept override {
    if (keys_.find(memory)) return Status::kOk;
    if (keys_.full()) return Status::kNoResource;
    keys_.add(memory, add_key(memory));
    return Status::kOk;
  }
  Result<std::unique_ptr<Queue>> open_queue(const QueueConfig& config) noexcept override {
    auto pairs = std::make_unique<FactoryPairs>(device_, kn_pd_, dpm_pd_, setup_);
    auto flame = std::make_unique<mlx5::BlueFlame>(
        mlx5::BlueFlame{pairs->kn.bf_register(), pairs->kn.bf_half_bytes(), 0});
    std::vector<mlx5::SendQueue> queues;
    for (uint32_t p = 0; p < kPairs; ++p) {
      queues.emplace_back(pairs->kn.qp(p), pairs->kn.qpn(p), flame.get());
    }
    landings_.emplace_back(std::bit_ceil(config.depth) * 8 + 8);
    rdma::RdmaQueueConfig c{.depth = config.depth,
                            .remote_address = kRemoteBase,
                            .pool_bytes = remote_.pool_bytes,
                            .rkey = rkey_,
                            .keys = &keys_,
                            .landing = landings_.back(),
                            .flush_by_read = setup_.flush_by_read};
    c.landing_lkey = add_key(c.landing);
    mlx5::CompletionQueue* cq = &pairs->cq;
    return std::make_unique<mlx5::Mlx5Queue>(
        c, mlx5::Mlx5Path(std::move(pairs), cq, std::move(flame), std::move(queues)));
  }
  bool alive() noexcept override { return true; }

 private:
  uint32_t add_key(MutableBytes memory) {
    return device_
        .register_memory(kn_pd_, reinterpret_cast<uintptr_t>(memory.data()), memory.size(),
                         memory.data(), IBV_ACCESS_LOCAL_WRITE)
        .key;
  }
  Device& device_;
  SlotTarget& target_;
  Setup setup_;
  RemotePool remote_;
  uint32_t kn_pd_ = 0;
  uint32_t dpm_pd_ = 0;
  uint32_t rkey_ = 0;
  rdma::LocalKeys keys_;
  std::vector<std::vector<std::byte>> landings_;
};

class FactoryWorld final : public FabricWorld {
 public:
  explicit FactoryWorld(const Setup& setup)
      : setup_(setup), device_(setup.faults), pool_(kPoolBytes) {
    device_.start();
  }
  ~FactoryWorld() override {
    device_.stop();
    for (const softhca::Finding& f : device_.take_findings()) {
      ADD_FAILURE() << to_string(f);
    }
  }
  MutableBytes memory() override { return pool_; }
  Target& target() override { return target_; }
  Result<std::unique_ptr<Fabric>> connect(int wanted, std::string* why) override {
    const std::lock_guard lock(target_.mutex);
    for (uint16_t s = 0; s < kSlots; ++s) {
      if ((wanted >= 0 && s != wanted) || target_.slots.contains(s)) continue;
      target_.slots.insert(s);
      return std::make_unique<FactoryFabric>(device_, target_, pool_, s, setup_);
    }
    *why = "slot in use";
    return std::unexpected(Status::kBusy);
  }

 private:
  Setup setup_;
  Device device_;
  SlotTarget target_;
  std::vector<std::byte> pool_;
};

FabricCase factory_case(const char* name, const Setup& setup) {
  return {name, [setup] { return std::make_unique<FactoryWorld>(setup); }};
}

softhca::Faults nasty() {
  return {.seed = 7, .delay_cqe = 300, .tear = 500, .read_again = 300, .hca_only_atomics = true};
}

INSTANTIATE_TEST_SUITE_P(
    Mlx5Factory, FabricConformance,
    testing::Values(factory_case("blueflame", {}), factory_case("doorbell", {.bf_half_bytes = 0}),
                    factory_case("cqe128", {.entry_bytes = 128}),
                    factory_case("flush_by_read", {.flush_by_read = true}),
                    factory_case("nasty", {.flush_by_read = true, .faults = nasty()})),
    [](const auto& param) { return param.param.name; });

}  // namespace
}  // namespace dinomo::fabric
