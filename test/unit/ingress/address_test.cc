// SPDX-License-Identifier: BSD-3-Clause
#include <gtest/gtest.h>

#include "ingress/driver.h"
#include "ingress/responder.h"

namespace dinomo::ingress {
namespace {

TEST(Address, ParsesBothFamilies) {
  const auto v4 = parse_address("10.0.0.2/24");
  ASSERT_TRUE(v4.has_value());
  EXPECT_TRUE(is_ipv4(v4->address));
  EXPECT_EQ(v4->prefix_bits, 24);
  EXPECT_EQ(format_address(v4->address), "10.0.0.2");
  const auto v6 = parse_address("fd00::2/64");
  ASSERT_TRUE(v6.has_value());
  EXPECT_FALSE(is_ipv4(v6->address));
  EXPECT_EQ(v6->prefix_bits, 64);
  EXPECT_EQ(format_address(v6->address), "fd00::2");
  EXPECT_EQ(parse_address("10.0.0.2")->prefix_bits, 32);
  EXPECT_EQ(parse_address("fd00::2")->prefix_bits, 128);
}

TEST(Address, RefusesNonsense) {
  for (const char* text : {"", "/", "10.0.0", "10.0.0.2/", "10.0.0.2/33", "10.0.0.2/-1",
                           "10.0.0.2/24x", "fd00::2/129", "fd00:::2", "name", "10.0.0.256"}) {
    EXPECT_FALSE(parse_address(text).has_value()) << text;
  }
}

TEST(Endpoint, TakesOnlyUnicast) {
  Endpoint us;
  for (const char* text :
       {"0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255", "::", "::1", "ff02::1"}) {
    EXPECT_FALSE(us.add(*parse_address(text))) << text;
  }
  for (size_t i = 0; i < Endpoint::kAddressesMax; ++i) {
    EXPECT_TRUE(us.add(*parse_address("10.0.0." + std::to_string(i + 1))));
    EXPECT_TRUE(us.add(*parse_address("fd00::" + std::to_string(i + 1))));
  }
  EXPECT_FALSE(us.add(*parse_address("10.0.0.99")));
  EXPECT_FALSE(us.add(*parse_address("fd00::99")));
}

TEST(Endpoint, KnowsItsSubnetsBroadcast) {
  Endpoint us;
  ASSERT_TRUE(us.add(*parse_address("10.0.0.2/24")));
  ASSERT_TRUE(us.add(*parse_address("10.1.0.2/32")));
  ASSERT_TRUE(us.add(*parse_address("10.2.0.2/31")));
  EXPECT_EQ(us.ipv4_broadcast[0], unmapped_ipv4(parse_address("10.0.0.255")->address));
  EXPECT_EQ(us.ipv4_broadcast[1], 0u);
  EXPECT_EQ(us.ipv4_broadcast[2], 0u);
}

Config good_config() {
  Config c;
  c.base_port = 9000;
  c.workers = 4;
  c.addresses = {*parse_address("10.0.0.2/24")};
  return c;
}

TEST(CheckConfig, NamesWhatIsWrong) {
  std::string why;
  EXPECT_EQ(check_config(good_config(), &why), Status::kOk) << why;
  const auto refused = [&why](auto change, const char* word) {
    Config c = good_config();
    change(c);
    why.clear();
    EXPECT_EQ(check_config(c, &why), Status::kInvalid);
    EXPECT_NE(why.find(word), std::string::npos) << why;
  };
  refused([](Config& c) { c.workers = 0; }, "workers");
  refused([](Config& c) { c.workers = kWorkersMax + 1; }, "workers");
  refused([](Config& c) { c.base_port = 65533; }, "base port");
  refused([](Config& c) { c.base_port = 0; }, "base port");
  refused([](Config& c) { c.shared_port = static_cast<uint16_t>(c.base_port); }, "choose another");
  refused([](Config& c) { c.addresses.clear(); }, "address");
  refused([](Config& c) { c.addresses = {*parse_address("ff02::1")}; }, "address");
  refused([](Config& c) { c.handover_slots = 1000; }, "power of two");
  refused([](Config& c) { c.mtu = 100; }, "MTU");
}

}  // namespace
}  // namespace dinomo::ingress
