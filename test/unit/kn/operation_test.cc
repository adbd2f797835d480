// SPDX-License-Identifier: BSD-3-Clause
// Every operation against an absent and a present item, and requests as they come from the wire.
#include "kn/operation.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

#include "pool/format.h"

namespace dinomo::kn {
namespace {

using wire::Opcode;
using wire::Status;

constexpr uint64_t kMost = std::numeric_limits<uint64_t>::max();

class Decide : public testing::Test {
 protected:
  Decision absent(const Operation& op) { return decide(op, nullptr, scratch_); }
  Decision present(const Operation& op, std::string_view value) {
    item_ = {as_bytes(value), {.version = 7, .expiry_ms = 900, .item_flags = 5}};
    return decide(op, &item_, scratch_);
  }
  static Operation make(Opcode opcode, std::string_view value = {}) {
    Operation op;
    op.opcode = opcode;
    op.key = as_bytes("k");
    op.value = as_bytes(value);
    op.item_flags = 3;
    op.expiry_ms = 100;
    return op;
  }
  static Operation counter(Opcode opcode, uint64_t delta) {
    Operation op = make(opcode);
    op.delta = delta;
    op.initial = 40;
    return op;
  }
  static void stores(const Decision& d, std::string_view value, uint32_t flags, uint64_t expiry) {
    EXPECT_EQ(d.status, Status::kOk);
    EXPECT_FALSE(d.remove);
    EXPECT_EQ(as_text(d.value), value);
    EXPECT_EQ(d.item_flags, flags);
    EXPECT_EQ(d.expiry_ms, expiry);
  }

  std::vector<std::byte> scratch_ = std::vector<std::byte>(pool::kValueBytesMax);
  Item item_;
};

TEST_F(Decide, WhatStoresAWholeValue) {
  stores(absent(make(Opcode::kPut, "new")), "new", 3, 100);
  stores(present(make(Opcode::kPut, "new"), "old"), "new", 3, 100);
  stores(absent(make(Opcode::kAdd, "new")), "new", 3, 100);
  EXPECT_EQ(present(make(Opcode::kAdd, "new"), "old").status, Status::kExists);
  EXPECT_EQ(absent(make(Opcode::kReplace, "new")).status, Status::kNotStored);
  stores(present(make(Opcode::kReplace, "new"), "old"), "new", 3, 100);
}

TEST_F(Decide, DeleteNeedsAnItem) {
  EXPECT_EQ(absent(make(Opcode::kDelete)).status, Status::kNotFound);
  const Decision d = present(make(Opcode::kDelete), "old");
  EXPECT_EQ(d.status, Status::kOk);
  EXPECT_TRUE(d.remove);
}

TEST_F(Decide, CasComparesVersions) {
  Operation cas = make(Opcode::kCas, "new");
  cas.expected_version = 7;
  EXPECT_EQ(absent(cas).status, Status::kNotFound);
  stores(present(cas, "old"), "new", 3, 100);
  cas.expected_version = 8;
  EXPECT_EQ(present(cas, "old").status, Status::kExists);
  cas.expected_version = 0;  // no item has it
  EXPECT_EQ(present(cas, "old").status, Status::kExists);
}

TEST_F(Decide, AnyOperationMayBeBoundToAVersion) {
  for (const Opcode opcode : {Opcode::kPut, Opcode::kDelete, Opcode::kAppend, Opcode::kIncr}) {
    Operation op = make(opcode);
    op.expected_version = 7;
    EXPECT_TRUE(is_conditional(op));
    EXPECT_EQ(present(op, "1").status, Status::kOk) << wire::opcode_name(opcode);
    op.expected_version = 6;
    EXPECT_EQ(present(op, "1").status, Status::kExists) << wire::opcode_name(opcode);
    EXPECT_NE(absent(op).status, Status::kOk) << wire::opcode_name(opcode);
  }
  EXPECT_FALSE(is_conditional(make(Opcode::kPut)));
}

TEST_F(Decide, AppendAndPrependKeepFlagsAndExpiry) {
  EXPECT_EQ(absent(make(Opcode::kAppend, "x")).status, Status::kNotStored);
  EXPECT_EQ(absent(make(Opcode::kPrepend, "x")).status, Status::kNotStored);
  stores(present(make(Opcode::kAppend, "new"), "old"), "oldnew", 5, 900);
  stores(present(make(Opcode::kPrepend, "new"), "old"), "newold", 5, 900);
  stores(present(make(Opcode::kAppend, ""), ""), "", 5, 900);
  const std::string half(pool::kValueBytesMax / 2, 'x');
  EXPECT_EQ(present(make(Opcode::kAppend, half), half).value.size(), pool::kValueBytesMax);
  EXPECT_EQ(present(make(Opcode::kAppend, half + "y"), half).status, Status::kTooLarge);
  EXPECT_EQ(present(make(Opcode::kPrepend, half + "y"), half).status, Status::kTooLarge);
}

TEST_F(Decide, CountersAreDecimalText) {
  stores(present(counter(Opcode::kIncr, 1), "9"), "10", 5, 900);
  stores(present(counter(Opcode::kDecr, 1), "10"), "9", 5, 900);
  stores(present(counter(Opcode::kIncr, 2), "007"), "9", 5, 900);
  stores(present(counter(Opcode::kIncr, 0), "0"), "0", 5, 900);
  // 64 bits: INCR wraps, DECR ends at 0.
  stores(present(counter(Opcode::kIncr, 1), std::to_string(kMost)), "0", 5, 900);
  stores(present(counter(Opcode::kIncr, kMost), "5"), "4", 5, 900);
  stores(present(counter(Opcode::kDecr, 6), "5"), "0", 5, 900);
  stores(present(counter(Opcode::kDecr, kMost), std::to_string(kMost)), "0", 5, 900);
  for (const char* const no_number :
       {"", "x", "1x", " 1", "1 ", "-1", "+1", "1.0", "0x1", "18446744073709551616"}) {
    EXPECT_EQ(present(counter(Opcode::kIncr, 1), no_number).status, Status::kNotNumber);
    EXPECT_EQ(present(counter(Opcode::kDecr, 1), no_number).status, Status::kNotNumber);
  }
}

TEST_F(Decide, ACounterIsMadeOnlyIfAskedFor) {
  EXPECT_EQ(absent(counter(Opcode::kIncr, 1)).status, Status::kNotFound);
  Operation op = counter(Opcode::kDecr, 1);
  op.create = true;
  stores(absent(op), "40", 0, 100);
  stores(present(op, "3"), "2", 5, 900);
}

TEST_F(Decide, TouchChangesTheExpiryOnly) {
  for (const Opcode opcode : {Opcode::kTouch, Opcode::kGetAndTouch}) {
    EXPECT_EQ(absent(make(opcode)).status, Status::kNotFound);
    stores(present(make(opcode), "old"), "old", 5, 100);
  }
}

TEST(Check, KeysAndValuesHaveLimits) {
  const std::string key(pool::kKeyBytesMax + 1, 'k');
  const std::string value(pool::kValueBytesMax + 1, 'v');
  Operation op;
  op.opcode = Opcode::kPut;
  EXPECT_EQ(check_operation(op), Status::kBadRequest);
  op.key = as_bytes(key);
  EXPECT_EQ(check_operation(op), Status::kTooLarge);
  op.key = op.key.first(pool::kKeyBytesMax);
  EXPECT_EQ(check_operation(op), Status::kOk);
  op.value = as_bytes(value);
  EXPECT_EQ(check_operation(op), Status::kTooLarge);
  op.value = op.value.first(pool::kValueBytesMax);
  EXPECT_EQ(check_operation(op), Status::kOk);
  for (const Opcode opcode : {Opcode::kGet, Opcode::kDelete, Opcode::kIncr, Opcode::kTouch}) {
    op.opcode = opcode;
    EXPECT_EQ(check_operation(op), Status::kBadRequest) << wire::opcode_name(opcode);
  }
}

class Parse : public testing::Test {
 protected:
  Status parse(Opcode opcode, Bytes extras, std::string_view value = {}, uint64_t sequence = 1) {
    wire::Message m{};
    m.header.opcode = static_cast<uint8_t>(opcode);
    m.header.sequence = sequence;
    m.header.flags = wire::kWantItem;
    m.key = as_bytes("k");
    m.extras = extras;
    m.value = as_bytes(value);
    return parse_operation(m, 1000, &op);
  }
  Operation op;
};

TEST_F(Parse, FieldsOfTheExtras) {
  const wire::PutExtras put{50, 9, 0};
  ASSERT_EQ(parse(Opcode::kPut, object_bytes(put), "v"), Status::kOk);
  EXPECT_EQ(op.expiry_ms, 1050u);
  EXPECT_EQ(op.item_flags, 9u);
  EXPECT_EQ(as_text(op.value), "v");
  EXPECT_EQ(op.flags, wire::kWantItem);
  const wire::CasExtras cas{77, put};
  ASSERT_EQ(parse(Opcode::kCas, object_bytes(cas), "v"), Status::kOk);
  EXPECT_EQ(op.expected_version, 77u);
  EXPECT_EQ(op.expiry_ms, 1050u);
  const wire::CounterExtras counter{3, 4, 5, 1, 0};
  ASSERT_EQ(parse(Opcode::kDecr, object_bytes(counter)), Status::kOk);
  EXPECT_EQ(op.delta, 3u);
  EXPECT_EQ(op.initial, 4u);
  EXPECT_EQ(op.expiry_ms, 1005u);
  EXPECT_TRUE(op.create);
  const wire::TouchExtras touch{kMost};
  ASSERT_EQ(parse(Opcode::kTouch, object_bytes(touch)), Status::kOk);
  EXPECT_EQ(op.expiry_ms, kMost);  // no wrap-around into the past
}

TEST_F(Parse, OnlyTheExtrasOfPutMayBeLeftOut) {
  for (const Opcode opcode :
       {Opcode::kPut, Opcode::kAdd, Opcode::kReplace, Opcode::kAppend, Opcode::kPrepend}) {
    EXPECT_EQ(parse(opcode, {}, "v"), Status::kOk) << wire::opcode_name(opcode);
    EXPECT_EQ(op.expiry_ms, 0u);
  }
  for (const Opcode opcode :
       {Opcode::kCas, Opcode::kIncr, Opcode::kDecr, Opcode::kTouch, Opcode::kGetAndTouch}) {
    EXPECT_EQ(parse(opcode, {}), Status::kBadRequest) << wire::opcode_name(opcode);
  }
}

TEST_F(Parse, WhatDoesNotBelongThereIsRefused) {
  const std::array<std::byte, 40> wrong{};
  for (int opcode = 16; opcode <= 42; ++opcode) {
    const auto o = static_cast<Opcode>(opcode);
    const bool known = o == Opcode::kGet || opcode >= 32;
    EXPECT_EQ(parse(o, wrong), known ? Status::kBadRequest : Status::kUnsupported) << opcode;
  }
  EXPECT_EQ(parse(static_cast<Opcode>(43), {}), Status::kUnsupported);
  EXPECT_EQ(parse(Opcode::kPut, {}, "v", 0), Status::kBadRequest);
  EXPECT_EQ(parse(Opcode::kGet, {}, "", 0), Status::kOk);
  EXPECT_EQ(parse(Opcode::kGet, {}, "v"), Status::kBadRequest);
  EXPECT_EQ(parse(Opcode::kDelete, {}, "v"), Status::kBadRequest);
  const wire::CounterExtras create_two{1, 1, 0, 2, 0};
  EXPECT_EQ(parse(Opcode::kIncr, object_bytes(create_two)), Status::kBadRequest);
}

}  // namespace
}  // namespace dinomo::kn
