// SPDX-License-Identifier: BSD-3-Clause
#include <gtest/gtest.h>

#include <sstream>

#include "sim/history.h"

namespace dinomo::test {

namespace {

sim::Operation full() {
  sim::Operation o;
  o.opcode = wire::Opcode::kCas;
  o.client = 3;
  o.key = "key";
  o.value = std::string("\x00\xff\n", 3);
  o.ttl_ms = 10;
  o.item_flags = 4;
  o.expected_version = 99;
  o.delta = 5;
  o.initial = 6;
  o.create = true;
  o.invoke_ns = 100;
  o.return_ns = 200;
  o.status = wire::Status::kExists;
  o.result = "quote\" \\ ok";
  o.version = uint64_t{3} << 48 | 7;
  o.has_item = true;
  o.result_flags = 8;
  o.result_expiry_ms = 1'800'000'000'000;
  return o;
}

TEST(History, ALineBringsEverythingBack) {
  std::string why;
  const sim::Operation o = full();
  const auto back = sim::from_json_line(sim::to_json_line(o), &why);
  ASSERT_TRUE(back.has_value()) << why;
  EXPECT_EQ(sim::to_json_line(*back), sim::to_json_line(o));
  EXPECT_EQ(back->value, o.value);
  EXPECT_EQ(back->result, o.result);
  EXPECT_EQ(back->version, o.version);
  EXPECT_EQ(back->status, o.status);
  EXPECT_EQ(back->return_ns, o.return_ns);
  EXPECT_TRUE(back->has_item);
}

TEST(History, AnOperationWithoutReplyStaysOne) {
  std::string why;
  sim::Operation o = full();
  o.return_ns = sim::kNever;
  const auto back = sim::from_json_line(sim::to_json_line(o), &why);
  ASSERT_TRUE(back.has_value()) << why;
  EXPECT_FALSE(back->answered());
}

TEST(History, FilesAreReadWithTheirEmptyLines) {
  std::stringstream file;
  sim::write_history(file, {full(), full()});
  file << "\n" << sim::to_json_line(full()) << "\n";
  std::string why;
  const auto history = sim::read_history(file, &why);
  ASSERT_TRUE(history.has_value()) << why;
  EXPECT_EQ(history->size(), 3u);
}

TEST(History, BadLinesAreNamedWithTheirField) {
  const std::vector<std::pair<std::string, std::string>> cases{
      {"{", "line 2: is no JSON object"},
      {"[1]", "line 2: is no JSON object"},
      {R"({"op":"JUMP","key":"k","invoke_ns":1})", "line 2: field 'op'"},
      {R"({"op":"GET","invoke_ns":1})", "line 2: field 'key'"},
      {R"({"op":"GET","key":"k"})", "line 2: field 'invoke_ns'"},
      {R"({"op":"GET","key":"k","invoke_ns":-1})", "line 2: field 'invoke_ns'"},
      {R"({"op":"GET","key":7,"invoke_ns":1})", "line 2: field 'key'"},
      {R"({"op":"GET","key":"k","invoke_ns":5,"return_ns":4,"status":"OK"})",
       "line 2: field 'return_ns'"},
      {R"({"op":"GET","key":"k","invoke_ns":5,"return_ns":9})", "line 2: field 'status'"},
      {R"({"op":"GET","key_hex":"6","invoke_ns":5})", "line 2: field 'key' _hex"},
      {R"({"op":"INCR","key":"k","invoke_ns":5,"create":1})", "line 2: field 'create'"},
  };
  for (const auto& [line, expected] : cases) {
    std::stringstream file;
    file << sim::to_json_line(full()) << "\n" << line << "\n";
    std::string why;
    EXPECT_FALSE(sim::read_history(file, &why).has_value()) << line;
    EXPECT_EQ(why.find(expected), 0u) << line << ": " << why;
  }
}

TEST(History, DescriptionsAreForPeople) {
  const std::string text = sim::describe(full());
  EXPECT_NE(text.find("client 3 CAS key value=00ff0a if version 99"), std::string::npos) << text;
  EXPECT_NE(text.find("EXISTS"), std::string::npos) << text;
}

}  // namespace

}  // namespace dinomo::test
