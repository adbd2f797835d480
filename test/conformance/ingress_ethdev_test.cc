// SPDX-License-Identifier: BSD-3-Clause
// The ingress suite over the ethdev driver: a memif pair inside this process, no root, no
// hugepages.
#include <gtest/gtest.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include <cstring>

#include "drivers/ingress/ethdev/hints.h"
#include "test/conformance/ingress_conformance.h"
#include "test/support/memif_pair.h"

namespace dinomo::test {
namespace {

constexpr int kCaptureTries = 50;

class MemifHarness final : public IngressHarness {
 public:
  ~MemifHarness() override { pair_.stop_far_end(); }

  bool make(const ingress::Config& wanted, std::string* why) {
    if (!pair_.make(wanted.queues, why)) return false;
    ingress::Config config = wanted;
    config.port = pair_.near_name();
    auto opened = ingress::find_driver("ethdev")->open(config, why);
    if (!opened) return false;
    ingress_ = std::move(*opened);
    return ok(ingress_->start(why)) && pair_.start_far_end(why);
  }

  ingress::Ingress& ingress() noexcept override { return *ingress_; }
  ingress::MacAddress far_mac() const noexcept override { return pair_.far_mac(); }
  bool has_frames() const noexcept override { return true; }

  bool inject(Bytes frame, uint16_t path) override {
    rte_mbuf* m = rte_pktmbuf_alloc(pair_.far_pool());
    if (m == nullptr) return false;
    std::memcpy(rte_pktmbuf_append(m, static_cast<uint16_t>(frame.size())), frame.data(),
                frame.size());
    if (rte_eth_tx_burst(pair_.far_port(), path, &m, 1) == 1) return true;
    rte_pktmbuf_free(m);
    return false;
  }

  Frame capture() override {
    for (int i = 0; i < kCaptureTries; ++i) {
      for (uint16_t q = 0; q < pair_.queues(); ++q) {
        rte_mbuf* m = nullptr;
        if (rte_eth_rx_burst(pair_.far_port(), q, &m, 1) != 1) continue;
        Frame frame(m->pkt_len);
        const void* data = rte_pktmbuf_read(m, 0, m->pkt_len, frame.data());
        if (data != frame.data()) std::memcpy(frame.data(), data, frame.size());
        rte_pktmbuf_free(m);
        return frame;
      }
    }
    return {};
  }

 private:
  MemifPair pair_;
  std::unique_ptr<ingress::Ingress> ingress_;  // closes the near port before the pair goes
};

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
  if (!dinomo::test::start_eal()) return 1;
  const int status = RUN_ALL_TESTS();
  rte_eal_cleanup();
  return status;
}
