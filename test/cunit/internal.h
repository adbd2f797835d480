// SPDX-License-Identifier: BSD-3-Clause
// What the parts of the CUnit layer share. Single-threaded, as CUnit is.
#pragma once

#include <CUnit/TestDB.h>
#include <CUnit/TestRun.h>

#include <string>

namespace dinomo::cunit {

/// The registry in use, nullptr before CU_initialize_registry().
CU_pTestRegistry registry();

/// malloc()ed, as everything that CUnit's structures point at.
char* copy_string(const char* text);

/// Handlers of an interface, set for the time of a run.
struct Handlers {
  CU_SuiteStartMessageHandler suite_start = nullptr;
  CU_TestStartMessageHandler test_start = nullptr;
  CU_TestCompleteMessageHandler test_complete = nullptr;
  CU_SuiteCompleteMessageHandler suite_complete = nullptr;
  CU_AllTestsCompleteMessageHandler all_complete = nullptr;
  CU_SuiteInitFailureMessageHandler init_failure = nullptr;
  CU_SuiteCleanupFailureMessageHandler cleanup_failure = nullptr;
};
Handlers& handlers();

}  // namespace dinomo::cunit
