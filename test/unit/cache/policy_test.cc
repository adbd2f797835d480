// SPDX-License-Identifier: BSD-3-Clause
#include "cache/policy.h"

#include "cache_fixture.h"

namespace dinomo::cache::test {
namespace {

TEST(PolicyNames, RoundTrip) {
  for (const char* text :
       {"dac", "value-only", "shortcut-only", "none", "static:0.3", "static:0", "static:1"}) {
    const auto spec = parse_policy(text);
    ASSERT_TRUE(spec) << text;
    EXPECT_EQ(format_policy(*spec), text);
  }
  EXPECT_EQ(parse_policy("static:0.30")->static_value_fraction, 0.3);
}

TEST(PolicyNames, RefusesTheRest) {
  for (const char* text : {"", "DAC", "dac ", "static", "static:", "static:1.5", "static:-0.1",
                           "static:0.5x", "static:nan", "static:inf", "lru"}) {
    EXPECT_FALSE(parse_policy(text)) << text;
  }
}

}  // namespace
}  // namespace dinomo::cache::test
