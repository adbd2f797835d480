// SPDX-License-Identifier: BSD-3-Clause
#include "app/dinomo-eval/calibration.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>

namespace dinomo::eval {
namespace {

class CalibrationFile : public testing::Test {
 protected:
  ~CalibrationFile() override { std::remove(path_.c_str()); }

  Status read(const std::string& text) {
    std::ofstream(path_) << text;
    return read_calibration(path_, &calibration_, &why_);
  }
  static std::string whole() {
    std::string text;
    for (const CalibrationKnob& k : calibration_knobs()) {
      text += std::string(k.name) + " = " + std::to_string(k.min) + ";\n";
    }
    return text;
  }

  const std::string path_ = testing::TempDir() + "calibration_test.cfg";
  Calibration calibration_;
  std::string why_;
};

TEST_F(CalibrationFile, EveryNumberIsTaken) {
  ASSERT_EQ(read(whole()), Status::kOk) << why_;
  for (const CalibrationKnob& k : calibration_knobs()) {
    EXPECT_EQ(calibration_.*k.value, k.min) << k.name;
  }
}

TEST_F(CalibrationFile, ANumberThatIsMissingIsNamed) {
  std::string text = whole();
  text.erase(text.find("verb_ns"), text.find(';', text.find("verb_ns")) - text.find("verb_ns") + 1);
  EXPECT_EQ(read(text), Status::kInvalid);
  EXPECT_NE(why_.find("'verb_ns' is missing"), std::string::npos) << why_;
}

TEST_F(CalibrationFile, WhatIsWrongIsToldWithItsLine) {
  EXPECT_EQ(read("cpu_percent = 100;\nverb_nanoseconds = 3;\n"), Status::kInvalid);
  EXPECT_NE(why_.find(":2: there is no 'verb_nanoseconds'"), std::string::npos) << why_;
  EXPECT_EQ(read("kn_threads = 9;\n"), Status::kInvalid);
  EXPECT_NE(why_.find(":1: kn_threads = 9: give 1 to 8"), std::string::npos) << why_;
  EXPECT_EQ(read("kn_threads = \"eight\";\n"), Status::kInvalid);
  EXPECT_EQ(read("kn_threads ="), Status::kInvalid);
  EXPECT_EQ(read_calibration("/nowhere/at.all", &calibration_, &why_), Status::kInvalid);
  EXPECT_NE(why_.find("cannot read"), std::string::npos) << why_;
}

TEST_F(CalibrationFile, AssignmentsChangeWhatTheFileSays) {
  ASSERT_EQ(read(whole()), Status::kOk) << why_;
  EXPECT_EQ(set_calibration(&calibration_, "verb_ns=123", &why_), Status::kOk);
  EXPECT_EQ(calibration_.verb_ns, 123u);
  for (const char* bad : {"verb_ns", "verb_ns=", "verb_ns=12x", "=3", "verb_ns=-1", "nothing=3"}) {
    EXPECT_EQ(set_calibration(&calibration_, bad, &why_), Status::kInvalid) << bad;
  }
}

}  // namespace
}  // namespace dinomo::eval
