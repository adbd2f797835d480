// SPDX-License-Identifier: BSD-3-Clause
// The unit tests of the driver would find the bugs that they are for: each of these is planted in
// the driver's sources (common/planted.h), and the tests, run again in a process of their own with
// it, have to fail: by an assertion, not by a crash and not by a hang.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "common/planted.h"

namespace dinomo {
namespace {

constexpr const char* kVariable = "DINOMO_PLANT";

[[maybe_unused]] const bool switched_on = [] {
  const char* name = std::getenv(kVariable);
  if (name != nullptr) planted_bug = name;
  return true;
}();

struct Outcome {
  int status = -1;         // as from a shell
  std::string first_test;  // that failed
};

Outcome run_tests_with(const std::string& bug) {
  char self[4096];
  const ssize_t size = ::readlink("/proc/self/exe", self, sizeof self - 1);
  EXPECT_GT(size, 0);
  self[std::max<ssize_t>(size, 0)] = '\0';
  const std::string command = std::string(kVariable) + "=" + bug + " timeout 60 '" + self +
                              "' --gtest_filter='-*Planted*' 2>&1";
  std::FILE* out = ::popen(command.c_str(), "r");
  Outcome outcome;
  char line[512];
  while (std::fgets(line, sizeof line, out) != nullptr) {
    const std::string text = line;
    const std::string mark = "[  FAILED  ] ";
    if (outcome.first_test.empty() && text.starts_with(mark)) {
      outcome.first_test =
          text.substr(mark.size(), text.find_first_of(" ,\n", mark.size()) - mark.size());
    }
  }
  const int status = ::pclose(out);
  outcome.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128;
  return outcome;
}

class Planted : public testing::TestWithParam<const char*> {};

TEST_P(Planted, IsCaught) {
  const Outcome outcome = run_tests_with(GetParam());
  std::printf("%-28s by %s\n", GetParam(), outcome.first_test.c_str());
  EXPECT_EQ(outcome.status, 1) << "0: not caught; 124: a hang; above: a crash";
}

TEST(PlantedNothing, TheSameTestsPassWithoutABug) {
  const Outcome outcome = run_tests_with("nothing");
  EXPECT_EQ(outcome.status, 0) << outcome.first_test;
}

INSTANTIATE_TEST_SUITE_P(
    Bugs, Planted,
    testing::Values("address-not-swapped", "all-before-failed", "blocks-reused-early",
                    "blueflame-for-a-batch", "chain-changes-pair", "consumer-not-told",
                    "control-half-written", "copy-not-wrapped", "counter-not-swapped",
                    "data-segment-for-nothing", "first-half-of-a-long-entry",
                    "flushed-on-another-pair", "full-ring-not-rung", "half-used-twice",
                    "index-masked", "inline-header-not-counted", "inline-not-marked",
                    "inline-not-wrapped", "invalid-taken", "lap-of-a-ring-twice-as-long",
                    "last-not-signalled", "one-block-retired", "one-landing-for-all",
                    "operands-swapped", "others-not-stopped", "owner-ignored",
                    "record-names-the-last", "record-not-swapped", "register-before-record",
                    "register-not-written", "rkey-misplaced", "signals-only-the-last",
                    "stopped-without-a-ring", "vendor-for-syndrome", "write-not-flushed"),
    [](const auto& info) {
      std::string name = info.param;
      std::replace(name.begin(), name.end(), '-', '_');
      return name;
    });

}  // namespace
}  // namespace dinomo
