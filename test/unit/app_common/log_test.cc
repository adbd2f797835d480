// SPDX-License-Identifier: BSD-3-Clause
#include "app/common/log.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace dinomo::app {
namespace {

TEST(RateLimit, AdmitsOneASecondAndCountsTheRest) {
  RateLimit limit;
  uint64_t suppressed = 99;
  const uint64_t start = 5 * RateLimit::kIntervalNs;
  EXPECT_TRUE(limit.admit(start, &suppressed));
  EXPECT_EQ(suppressed, 0u);
  for (uint64_t i = 1; i <= 7; ++i) EXPECT_FALSE(limit.admit(start + i, &suppressed));
  EXPECT_FALSE(limit.admit(start + RateLimit::kIntervalNs - 1, &suppressed));
  EXPECT_TRUE(limit.admit(start + RateLimit::kIntervalNs, &suppressed));
  EXPECT_EQ(suppressed, 8u);
  EXPECT_TRUE(limit.admit(start + 3 * RateLimit::kIntervalNs, &suppressed));
  EXPECT_EQ(suppressed, 0u);
}

TEST(RateLimit, OfManyThreadsOneIsAdmitted) {
  RateLimit limit;
  std::atomic<int> admitted{0};
  std::vector<std::thread> threads;
  threads.reserve(4);
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      uint64_t suppressed = 0;
      for (int i = 0; i < 1000; ++i) admitted += limit.admit(1, &suppressed) ? 1 : 0;
    });
  }
  for (auto& t : threads) t.join();
  EXPECT_EQ(admitted, 1);
  uint64_t suppressed = 0;
  EXPECT_TRUE(limit.admit(1 + RateLimit::kIntervalNs, &suppressed));
  EXPECT_EQ(suppressed, 3999u);
}

TEST(Log, LinesCarryLevelThreadAndSuppressedCount) {
  testing::internal::CaptureStderr();
  start_logging({.level = LogLevel::kWarning});
  spdlog::info("not to be seen");
  spdlog::warn("plain {}", 1);
  std::thread([] {
    set_log_thread_name("worker0");
    for (int i = 0; i < 3; ++i) DINOMO_LOG_LIMITED(err, "again {}", i);
  }).join();
  const std::string text = testing::internal::GetCapturedStderr();
  EXPECT_EQ(text.find("not to be seen"), std::string::npos);
  EXPECT_NE(text.find(" warning plain 1\n"), std::string::npos) << text;
  EXPECT_NE(text.find(" error worker0: again 0\n"), std::string::npos) << text;
  EXPECT_EQ(text.find("again 1"), std::string::npos) << text;
}

}  // namespace
}  // namespace dinomo::app
