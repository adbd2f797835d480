// SPDX-License-Identifier: BSD-3-Clause
// The enumeration would find the bugs that it is for: each of these is planted in the product's
// sources (common/planted.h) and must be caught within so many images.
#include <gtest/gtest.h>

#include <algorithm>

#include "common/planted.h"
#include "test/crash/scripted_run.h"

namespace dinomo::test {
namespace {

struct Plant {
  const char* name;
  uint64_t images;  // caught within
};

// NOLINTNEXTLINE(readability-identifier-naming): GoogleTest's name for it
void PrintTo(const Plant& plant, std::ostream* out) { *out << plant.name; }

class Planted : public testing::TestWithParam<Plant> {
 protected:
  ~Planted() override { planted_bug = {}; }
};

constexpr uint64_t kPoints = 8000;

TEST_P(Planted, IsCaught) {
  planted_bug = GetParam().name;
  ScriptedRun run({.points = kPoints, .seed = 1, .bounds = {.images = 8}});
  run.run();
  const Recorder& recorder = run.recorder();
  std::printf("%-32s after %6lu images: %s%s\n", GetParam().name, recorder.images(),
              recorder.failure().c_str(), run.trouble().c_str());
  EXPECT_FALSE(recorder.failure().empty() && run.trouble().empty()) << "not caught";
  EXPECT_LE(recorder.images(), GetParam().images);
}

TEST(PlantedNothing, TheSameProgramFindsNothingWithoutABug) {
  ScriptedRun run({.points = 2000, .seed = 1, .bounds = {.images = 8}});
  run.run();
  EXPECT_EQ(run.recorder().failure(), "");
  EXPECT_EQ(run.trouble(), "");
}

// About four times what it takes now.
INSTANTIATE_TEST_SUITE_P(
    Bugs, Planted,
    testing::Values(Plant{"acknowledged-early", 10000}, Plant{"checksum-ignored", 2500},
                    Plant{"entries-not-flushed", 2500}, Plant{"merged-lsn-before-index", 2500},
                    Plant{"tombstone-forgotten", 2500}, Plant{"update-not-flushed", 5000},
                    Plant{"delete-not-flushed", 10000}, Plant{"hash-before-address", 2500},
                    Plant{"overflow-linked-before-complete", 5000},
                    Plant{"overflow-not-claimed", 16000}, Plant{"segment-reused-early", 2500},
                    Plant{"live-bytes-not-counted", 2500}, Plant{"locks-kept", 2500},
                    Plant{"generation-not-raised", 25000}, Plant{"grant-not-flushed", 2500},
                    Plant{"grant-heard-before-durable", 2500}, Plant{"outcome-not-flushed", 2500},
                    Plant{"sessions-not-repaired", 10000}, Plant{"torn-reply-answers", 2500},
                    Plant{"merged-before-its-end", 10000}, Plant{"copy-not-flushed", 60000},
                    Plant{"swing-not-flushed", 60000}, Plant{"expired-too-early", 60000},
                    Plant{"expiry-removes-what-is-there", 60000},
                    Plant{"mark-before-copies-durable", 60000}, Plant{"mark-not-flushed", 60000}),
    [](const auto& info) {
      std::string name = info.param.name;
      std::replace(name.begin(), name.end(), '-', '_');
      return name;
    });

}  // namespace
}  // namespace dinomo::test
