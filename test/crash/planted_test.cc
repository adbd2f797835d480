// SPDX-License-Identifier: BSD-3-Clause
// The enumeration would find the bugs that it is for: each of these is planted in the product's
// sources (common/planted.h) and must be caught within so many images.
#include <gtest/gtest.h>

#include "common/planted.h"
#include "test/crash/scripted_run.h"

namespace dinomo::test {
namespace {

struct Plant {
  const char* name;
  uint64_t images;  // caught within
};

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

constexpr uint64_t kFew = 100'000;

INSTANTIATE_TEST_SUITE_P(
    Bugs, Planted,
    testing::Values(Plant{"acknowledged-early", kFew}, Plant{"checksum-ignored", kFew},
                    Plant{"entries-not-flushed", kFew}, Plant{"merged-lsn-before-index", kFew},
                    Plant{"tombstone-forgotten", kFew}, Plant{"update-not-flushed", kFew},
                    Plant{"delete-not-flushed", kFew}, Plant{"hash-before-address", kFew},
                    Plant{"overflow-linked-before-complete", kFew},
                    Plant{"overflow-not-claimed", kFew}, Plant{"segment-reused-early", kFew},
                    Plant{"live-bytes-not-counted", kFew}, Plant{"locks-kept", kFew},
                    Plant{"generation-not-raised", kFew}, Plant{"grant-not-flushed", kFew},
                    Plant{"grant-heard-before-durable", kFew},
                    Plant{"outcome-not-flushed", kFew}, Plant{"sessions-not-repaired", kFew},
                    Plant{"torn-reply-answers", kFew}),
    [](const auto& info) {
      std::string name = info.param.name;
      std::replace(name.begin(), name.end(), '-', '_');
      return name;
    });

}  // namespace
}  // namespace dinomo::test
