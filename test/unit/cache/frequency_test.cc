// SPDX-License-Identifier: BSD-3-Clause
#include "cache/frequency.h"

#include <gtest/gtest.h>

#include <cmath>

namespace dinomo::cache {
namespace {

TEST(Frequency, CountsExactlyUpTo63) {
  Dice dice;
  uint32_t code = 0;
  for (uint32_t n = 0; n <= 63; ++n) {
    EXPECT_EQ(frequency_of(code), n);
    code = frequency_incremented(code, dice);
  }
}

TEST(Frequency, NeverDecreasesAndSaturates) {
  Dice dice;
  for (uint32_t code = 0; code < kFrequencyCodeMax; ++code) {
    EXPECT_LT(frequency_of(code), frequency_of(code + 1));
  }
  EXPECT_EQ(frequency_incremented(kFrequencyCodeMax, dice), kFrequencyCodeMax);
}

TEST(Frequency, MeanStaysTrueWhenCountingByChance) {
  constexpr int kHits = 20'000;
  constexpr int kRuns = 50;
  Dice dice;
  double sum = 0;
  for (int run = 0; run < kRuns; ++run) {
    uint32_t code = 0;
    for (int i = 0; i < kHits; ++i) code = frequency_incremented(code, dice);
    sum += frequency_of(code);
  }
  EXPECT_NEAR(sum / kRuns, kHits, kHits * 0.05);
}

TEST(Frequency, HalvingHalves) {
  for (uint32_t code = 0; code <= kFrequencyCodeMax; ++code) {
    EXPECT_EQ(frequency_of(frequency_halved(code)), frequency_of(code) / 2) << code;
  }
}

}  // namespace
}  // namespace dinomo::cache
