// SPDX-License-Identifier: BSD-3-Clause
// The ingress suite over the ethdev driver: a memif pair inside this process, no root, no
// hugepages.
#include <gtest/gtest.h>
#include <rte_cycles.h>
#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <sched.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "drivers/ingress/ethdev/hints.h"
#include "test/conformance/ingress_conformance.h"

namespace dinomo::test {
namespace {

constexpr uint16_t kFarDescriptors = 1024;
constexpr int kLinkTries = 500;
constexpr uint32_t kLinkPauseUs = 10'000;
constexpr int kCaptureTries = 50;

/// A vdev that lives as long as this does.
class VirtualDevice {
 public:
  VirtualDevice() = default;
  ~VirtualDevice() {
    if (!name_.empty()) rte_eal_hotplug_remove("vdev", name_.c_str());
  }
  VirtualDevice(const VirtualDevice&) = delete;
  VirtualDevice& operator=(const VirtualDevice&) = delete;

  bool make(const std::string& name, const std::string& arguments) {
    if (rte_eal_hotplug_add("vdev", name.c_str(), arguments.c_str()) != 0) return false;
    name_ = name;
    return true;
  }

 private:
  std::string name_;
};

class MemifHarness final : public IngressHarness {
 public:
  ~MemifHarness() override {
    ingress_.reset();
    if (far_ != RTE_MAX_ETHPORTS) {
      rte_eth_dev_stop(far_);
      rte_eth_dev_close(far_);
    }
    rte_mempool_free(far_pool_);
    unlink(socket_.c_str());
  }

  bool make(const ingress::Config& config, std::string* why);

  ingress::Ingress& ingress() noexcept override { return *ingress_; }
  ingress::MacAddress far_mac() const noexcept override { return far_mac_; }
  bool has_frames() const noexcept override { return true; }
  bool inject(Bytes frame, uint16_t path) override;
  Frame capture() override;

 private:
  bool start_far_end(uint16_t queues, std::string* why);
  bool wait_for_link(std::string* why);

  VirtualDevice near_device_;
  VirtualDevice far_device_;
  std::unique_ptr<ingress::Ingress> ingress_;
  std::string socket_;
  rte_mempool* far_pool_ = nullptr;
  ingress::MacAddress far_mac_{};
  uint16_t far_ = RTE_MAX_ETHPORTS;
  uint16_t far_queues_ = 1;
};

bool MemifHarness::make(const ingress::Config& wanted, std::string* why) {
  static int made = 0;
  const std::string number = std::to_string(made++);
  socket_ = testing::TempDir() + "dinomo-memif-" + std::to_string(getpid()) + "-" + number;
  const std::string common = ",socket-abstract=no,socket=" + socket_;
  if (!near_device_.make("net_memif_near" + number, "role=server,id=0" + common) ||
      !far_device_.make("net_memif_far" + number, "role=client,id=0" + common)) {
    *why = "cannot make a memif pair; " + ingress::ethdev::missing_driver("net_memif0");
    return false;
  }
  ingress::Config config = wanted;
  config.port = "net_memif_near" + number;
  auto opened = ingress::find_driver("ethdev")->open(config, why);
  if (!opened) return false;
  ingress_ = std::move(*opened);
  if (!ok(ingress_->start(why))) return false;
  if (rte_eth_dev_get_port_by_name(("net_memif_far" + number).c_str(), &far_) != 0) return false;
  return start_far_end(config.queues, why) && wait_for_link(why);
}

bool MemifHarness::start_far_end(uint16_t queues, std::string* why) {
  *why = "the far end does not start";
  far_queues_ = queues;
  const std::string pool_name = "far" + socket_.substr(socket_.rfind('-'));
  far_pool_ = rte_pktmbuf_pool_create(pool_name.c_str(), 4095, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE,
                                      SOCKET_ID_ANY);
  if (far_pool_ == nullptr) return false;
  const rte_eth_conf conf{};
  if (rte_eth_dev_configure(far_, queues, queues, &conf) != 0) return false;
  for (uint16_t q = 0; q < queues; ++q) {
    if (rte_eth_rx_queue_setup(far_, q, kFarDescriptors, 0, nullptr, far_pool_) != 0 ||
        rte_eth_tx_queue_setup(far_, q, kFarDescriptors, 0, nullptr) != 0) {
      return false;
    }
  }
  rte_ether_addr mac{};
  rte_eth_macaddr_get(far_, &mac);
  std::memcpy(far_mac_.data(), mac.addr_bytes, far_mac_.size());
  return rte_eth_dev_start(far_) == 0;
}

bool MemifHarness::wait_for_link(std::string* why) {
  for (int i = 0; i < kLinkTries; ++i) {
    rte_eth_link link{};
    if (rte_eth_link_get_nowait(far_, &link) == 0 && link.link_status != 0 && ingress_->link_up()) {
      return capture().empty();  // the client's first poll is what gives the server buffers
    }
    rte_delay_us_sleep(kLinkPauseUs);
  }
  *why = "the memif pair does not connect";
  return false;
}

bool MemifHarness::inject(Bytes frame, uint16_t path) {
  rte_mbuf* m = rte_pktmbuf_alloc(far_pool_);
  if (m == nullptr) return false;
  std::memcpy(rte_pktmbuf_append(m, static_cast<uint16_t>(frame.size())), frame.data(),
              frame.size());
  if (rte_eth_tx_burst(far_, path, &m, 1) == 1) return true;
  rte_pktmbuf_free(m);
  return false;
}

Frame MemifHarness::capture() {
  for (int i = 0; i < kCaptureTries; ++i) {
    for (uint16_t q = 0; q < far_queues_; ++q) {
      rte_mbuf* m = nullptr;
      if (rte_eth_rx_burst(far_, q, &m, 1) != 1) continue;
      Frame frame(m->pkt_len);
      const void* data = rte_pktmbuf_read(m, 0, m->pkt_len, frame.data());
      if (data != frame.data()) std::memcpy(frame.data(), data, frame.size());
      rte_pktmbuf_free(m);
      return frame;
    }
  }
  return {};
}

IngressFactory memif(const char* name, uint16_t workers, uint16_t queues) {
  return {.name = name,
          .workers = workers,
          .queues = queues,
          .make = [](const ingress::Config& config,
                     std::string* why) -> std::unique_ptr<IngressHarness> {
            auto harness = std::make_unique<MemifHarness>();
            if (!harness->make(config, why)) return nullptr;
            return harness;
          }};
}

INSTANTIATE_TEST_SUITE_P(Memif, IngressConformance,
                         testing::Values(memif("one_worker", 1, 1),
                                         memif("three_workers_one_queue", 3, 1),
                                         memif("two_workers_two_queues", 2, 2),
                                         memif("three_workers_two_queues", 3, 2)),
                         factory_name);

TEST(EthdevErrors, MissingPortListsWhatThereIs) {
  ingress::Config config;
  config.base_port = 9000;
  config.addresses = {*ingress::parse_address("10.0.0.2")};
  std::string why;
  const ingress::Driver* driver = ingress::find_driver("ethdev");
  ASSERT_NE(driver, nullptr);
  auto opened = driver->open(config, &why);
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error(), Status::kNotFound);
  EXPECT_NE(why.find("--vdev"), std::string::npos) << why;

  VirtualDevice null;
  ASSERT_TRUE(null.make("net_null_errors", ""));
  for (const char* name : {"eth9", "77", "99999"}) {
    config.port = name;
    why.clear();
    opened = driver->open(config, &why);
    ASSERT_FALSE(opened.has_value());
    EXPECT_NE(why.find("net_null_errors"), std::string::npos) << why;
  }
}

TEST(EthdevErrors, TooManyBuffersNamesTheRemedy) {
  VirtualDevice null;
  ASSERT_TRUE(null.make("net_null_memory", ""));
  ingress::Config config;
  config.base_port = 9000;
  config.port = "net_null_memory";
  config.addresses = {*ingress::parse_address("10.0.0.2")};
  config.buffers = 4'000'000;
  std::string why;
  const auto opened = ingress::find_driver("ethdev")->open(config, &why);
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error(), Status::kNoSpace);
  EXPECT_NE(why.find("hugepages"), std::string::npos) << why;
}

TEST(EthdevErrors, UnsupportedMtuNamesTheRange) {
  VirtualDevice memif;
  ASSERT_TRUE(memif.make("net_memif_mtu", "role=server,id=9,socket=dinomo-mtu-test"));
  ingress::Config config;
  config.base_port = 9000;
  config.port = "net_memif_mtu";
  config.mtu = 9000;
  config.addresses = {*ingress::parse_address("10.0.0.2")};
  std::string why;
  const auto opened = ingress::find_driver("ethdev")->open(config, &why);
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error(), Status::kInvalid);
  EXPECT_NE(why.find("MTU of 9000"), std::string::npos) << why;
}

TEST(EthdevHints, NamesThePackageOfAMissingDriver) {
  EXPECT_EQ(ingress::ethdev::missing_driver("net_memif0,role=server"), "");
  const std::string hint = ingress::ethdev::missing_driver("net_no_such0,iface=x");
  EXPECT_NE(hint.find("apt install librte-net-no-such23"), std::string::npos) << hint;
}

}  // namespace
}  // namespace dinomo::test

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  const std::string lcore = "--lcores=0@" + std::to_string(sched_getcpu());
  const char* eal[] = {"conformance", "--no-huge",      "--no-shconf",       "-m",         "128",
                       "--no-pci",    "--no-telemetry", "--log-level=error", lcore.c_str()};
  if (rte_eal_init(std::size(eal), const_cast<char**>(eal)) < 0) {
    std::fprintf(stderr, "EAL does not start\n");
    return 1;
  }
  const int status = RUN_ALL_TESTS();
  rte_eal_cleanup();
  return status;
}
