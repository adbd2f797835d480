// SPDX-License-Identifier: BSD-3-Clause
// A power failure at every persist point of a scripted run leaves only images from which the
// product recovers to a legal state (see judge.h).
//
//   CRASH_POINTS=20000 CRASH_IMAGES=64 crash_enumeration    full size, minutes
#include <gtest/gtest.h>

#include <cstdlib>

#include "test/crash/scripted_run.h"

namespace dinomo::test {
namespace {

uint64_t setting(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

class CrashEnumeration : public testing::TestWithParam<uint64_t> {};

TEST_P(CrashEnumeration, EveryImageRecoversToALegalState) {
  const uint64_t points = setting("CRASH_POINTS", 8000);
  ScriptedRun run({.points = points,
                   .seed = GetParam(),
                   .bounds = {.images = static_cast<uint32_t>(setting("CRASH_IMAGES", 8))}});
  run.run();
  const Recorder& recorder = run.recorder();
  EXPECT_EQ(run.trouble(), "");
  EXPECT_EQ(recorder.failure(), "")
      << "image " << recorder.failed_at_image() << " at point " << recorder.points();
  EXPECT_GE(recorder.points(), points);
  EXPECT_GT(recorder.images(), recorder.points());
  EXPECT_GT(recorder.exhaustive_points(), 0u);
  EXPECT_GT(run.segments_reclaimed(), 0u);
  EXPECT_GT(run.overflow_used_max(), 1u);
  EXPECT_GT(run.index_buckets_max(), 8u) << "the index was to be resized";
  EXPECT_GT(run.shrinks(), 0u);
  EXPECT_GT(run.compacted_entries(), 0u);
  EXPECT_GT(run.expired_items(), 0u);
  EXPECT_GT(run.restarts(), 2u);
  EXPECT_GT(run.deaths(), 0u);
  RecordProperty("points", std::to_string(recorder.points()));
  RecordProperty("images", std::to_string(recorder.images()));
  std::printf(
      "%lu points (%lu exhaustively), %lu images, %lu restarts, %lu deaths, %lu entries compacted, "
      "%lu items expired, %lu shrinks\n",
      recorder.points(), recorder.exhaustive_points(), recorder.images(), run.restarts(),
      run.deaths(), run.compacted_entries(), run.expired_items(), run.shrinks());
}

INSTANTIATE_TEST_SUITE_P(Seeds, CrashEnumeration, testing::Values(1, 2));

}  // namespace
}  // namespace dinomo::test
