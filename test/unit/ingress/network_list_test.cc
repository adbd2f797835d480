// SPDX-License-Identifier: BSD-3-Clause
#include "ingress/network_list.h"

#include <gtest/gtest.h>

namespace dinomo::ingress {
namespace {

NetworkList list_of(const std::string& text) {
  std::string why;
  auto list = NetworkList::parse(text, &why);
  EXPECT_TRUE(list.has_value()) << why;
  return list ? *list : NetworkList{};
}

bool has(const std::string& networks, const std::string& address) {
  return list_of(networks).contains(parse_address(address)->address);
}

std::string complaint(const std::string& text) {
  std::string why;
  EXPECT_FALSE(NetworkList::parse(text, &why).has_value()) << text;
  return why;
}

TEST(NetworkList, OfNothingIsEmpty) {
  EXPECT_TRUE(list_of("").empty());
  EXPECT_TRUE(list_of(" , ").empty());
  EXPECT_FALSE(has("", "10.0.0.1"));
}

TEST(NetworkList, ComparesPrefixes) {
  EXPECT_TRUE(has("10.0.0.0/8", "10.255.3.4"));
  EXPECT_FALSE(has("10.0.0.0/8", "11.0.0.1"));
  EXPECT_TRUE(has("10.1.2.128/25", "10.1.2.129"));
  EXPECT_FALSE(has("10.1.2.128/25", "10.1.2.127"));
  EXPECT_TRUE(has("10.1.2.3", "10.1.2.3"));
  EXPECT_FALSE(has("10.1.2.3", "10.1.2.2"));
  EXPECT_TRUE(has("fd00::/8", "fd12::1"));
  EXPECT_FALSE(has("fd00::/8", "fe80::1"));
  EXPECT_TRUE(has("2001:db8::8000:0:0:0/65", "2001:db8::9000:0:0:1"));
  EXPECT_FALSE(has("2001:db8::8000:0:0:0/65", "2001:db8::7000:0:0:1"));
  EXPECT_TRUE(has("2001:db8::1", "2001:db8::1"));
}

TEST(NetworkList, KeepsTheFamiliesApart) {
  EXPECT_TRUE(has("0.0.0.0/0", "1.2.3.4"));
  EXPECT_FALSE(has("0.0.0.0/0", "2001:db8::1"));
  EXPECT_TRUE(has("::/0", "2001:db8::1"));
  EXPECT_TRUE(has("::ffff:0:0/96", "1.2.3.4"));
}

TEST(NetworkList, HoldsSeveral) {
  const NetworkList list = list_of("10.0.0.0/8,192.168.1.0/24  fd00::/8, 127.0.0.1");
  for (const char* in : {"10.9.9.9", "192.168.1.77", "fd77::1", "127.0.0.1"}) {
    EXPECT_TRUE(list.contains(parse_address(in)->address)) << in;
  }
  for (const char* out : {"11.9.9.9", "192.168.2.77", "fc77::1", "127.0.0.2"}) {
    EXPECT_FALSE(list.contains(parse_address(out)->address)) << out;
  }
}

TEST(NetworkList, SaysWhatIsWrong) {
  EXPECT_NE(complaint("10.0.0.0/8,tea").find("'tea' is no network"), std::string::npos);
  EXPECT_NE(complaint("10.0.0.0/33").find("10.0.0.0/33"), std::string::npos);
  EXPECT_NE(complaint("10.0.0.5/8").find("behind the first 8"), std::string::npos);
  EXPECT_NE(complaint("fd00::1/64").find("behind the first 64"), std::string::npos);
  std::string many;
  for (int i = 0; i < 65; ++i) many += "10.0.0." + std::to_string(i) + ",";
  EXPECT_NE(complaint(many).find("more than 64"), std::string::npos);
}

}  // namespace
}  // namespace dinomo::ingress
