// SPDX-License-Identifier: BSD-3-Clause
// Runs of CUnit tests, driven by GoogleTest.
//
// Each CU_run_*() makes a plan, registers every test of it with GoogleTest and calls
// RUN_ALL_TESTS(). The body of such a GoogleTest test is one step of CUnit's own order of events:
// suite initialisation before the suite's first test, cleanup after its last.
//
// A program may run its tests several times. GoogleTest then sees those of earlier runs again, and
// writes its XML anew: they replay their outcome, so the last XML holds every run. Suites of the
// n-th run are called name/n.
#include <gtest/gtest.h>

#include <chrono>
#include <csetjmp>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "internal.h"

namespace dinomo::cunit {

namespace {

struct Outcome {
  std::string file;
  int line = 0;
  std::string text;
};

struct PlannedTest {
  CU_pTest test = nullptr;  // nullptr: stands for a suite without tests
  std::string name;         // in GoogleTest
  bool done = false;
  std::vector<Outcome> failures;
  std::string skipped;  // why; empty if it ran
};

struct PlannedSuite {
  CU_pSuite suite = nullptr;
  std::string name;     // in GoogleTest
  bool single = false;  // CU_run_test()
  bool done = false;
  bool begun = false;
  bool usable = false;  // active and initialised
  CU_ErrorCode result = CUE_SUCCESS;
  CU_pFailureRecord last_before = nullptr;
  std::vector<Outcome> failures;  // of the suite itself
  std::string skip_reason;
  std::vector<std::unique_ptr<PlannedTest>> tests;
};

struct State {
  CU_RunSummary summary{};
  CU_pFailureRecord first = nullptr;
  CU_pFailureRecord last = nullptr;
  CU_BOOL fail_on_inactive = CU_TRUE;
  bool running = false;
  CU_pSuite suite = nullptr;
  CU_pTest test = nullptr;
  PlannedTest* planned = nullptr;
  CU_ErrorCode result = CUE_SUCCESS;
  std::chrono::steady_clock::time_point started;
  Handlers handlers;
  std::vector<std::unique_ptr<PlannedSuite>> plan;  // of all runs
  size_t runs = 0;
  bool any_failed = false;
};

State& state() {
  static State s;
  return s;
}

void forget(CU_pFailureRecord record) {
  while (record != nullptr) {
    CU_pFailureRecord next = record->pNext;
    std::free(record->strFileName);
    std::free(record->strCondition);
    std::free(record);
    record = next;
  }
}

void add_failure(CU_FailureType type, unsigned line, const char* condition, const char* file,
                 CU_pSuite suite, CU_pTest test) {
  State& s = state();
  auto* record = static_cast<CU_pFailureRecord>(std::calloc(1, sizeof(CU_FailureRecord)));
  if (record == nullptr) std::abort();
  record->type = type;
  record->uiLineNumber = line;
  record->strFileName = copy_string(file);
  record->strCondition = copy_string(condition);
  record->pSuite = suite;
  record->pTest = test;
  record->pPrev = s.last;
  (s.last != nullptr ? s.last->pNext : s.first) = record;
  s.last = record;
  ++s.summary.nFailureRecords;
}

CU_pFailureRecord after(CU_pFailureRecord record) {
  return record != nullptr ? record->pNext : state().first;
}

void keep_first(CU_ErrorCode* result, CU_ErrorCode code) {
  if (*result == CUE_SUCCESS) *result = code;
}

bool go_on(CU_ErrorCode result) {
  return result == CUE_SUCCESS || CU_get_error_action() == CUEA_IGNORE;
}

/// One test with its set-up and tear-down. No object with a destructor lives here: longjmp.
void call_test(CU_pSuite suite, CU_pTest test) {
  if (suite->pSetUpFunc != nullptr) suite->pSetUpFunc();
  jmp_buf fatal;
  test->pJumpBuf = &fatal;
  if (setjmp(fatal) == 0) {  // NOLINT(cert-err52-cpp): fatal assertions leave C code this way
    if (test->pTestFunc != nullptr) test->pTestFunc();
  }
  test->pJumpBuf = nullptr;
  if (suite->pTearDownFunc != nullptr) suite->pTearDownFunc();
}

CU_ErrorCode run_single_test(PlannedSuite& suite, PlannedTest& planned) {
  State& s = state();
  CU_pTest test = planned.test;
  CU_ErrorCode result = CUE_SUCCESS;
  CU_pFailureRecord before = s.last;
  s.test = test;
  s.planned = &planned;
  if (s.handlers.test_start != nullptr) s.handlers.test_start(test, suite.suite);
  if (test->fActive != CU_FALSE) {
    call_test(suite.suite, test);
    ++s.summary.nTestsRun;
  } else {
    ++s.summary.nTestsInactive;
    planned.skipped = "inactive";
    result = CUE_TEST_INACTIVE;
    if (s.fail_on_inactive != CU_FALSE) {
      add_failure(CUF_TestInactive, 0, "Test inactive", "CUnit System", suite.suite, test);
    }
  }
  if (s.last != before) {
    ++s.summary.nTestsFailed;
    ++suite.suite->uiNumberOfTestsFailed;
  } else {
    ++suite.suite->uiNumberOfTestsSuccess;
  }
  if (s.handlers.test_complete != nullptr) {
    s.handlers.test_complete(test, suite.suite, after(before));
  }
  s.test = nullptr;
  s.planned = nullptr;
  return result;
}

void begin_suite(PlannedSuite& p) {
  State& s = state();
  p.begun = true;
  p.last_before = s.last;
  s.suite = p.suite;
  if (s.handlers.suite_start != nullptr) s.handlers.suite_start(p.suite);
  p.suite->uiNumberOfTestsFailed = 0;
  p.suite->uiNumberOfTestsSuccess = 0;
  if (p.suite->fActive == CU_FALSE) {
    ++s.summary.nSuitesInactive;
    p.skip_reason = "suite inactive";
    if (s.fail_on_inactive != CU_FALSE) {
      add_failure(CUF_SuiteInactive, 0, "Suite inactive", "CUnit System", p.suite, nullptr);
      p.result = CUE_SUITE_INACTIVE;
    }
  } else if (p.suite->pInitializeFunc != nullptr && p.suite->pInitializeFunc() != 0) {
    if (s.handlers.init_failure != nullptr) s.handlers.init_failure(p.suite);
    ++s.summary.nSuitesFailed;
    add_failure(CUF_SuiteInitFailed, 0, "Suite Initialization failed - Suite Skipped",
                "CUnit System", p.suite, nullptr);
    p.result = CUE_SINIT_FAILED;
    p.skip_reason = "suite initialisation failed";
    // GoogleTest's XML has no place for failures of a suite: they are told of its first test.
    p.tests.front()->failures.push_back(
        {"CUnit System", 0, "Suite Initialization failed - Suite Skipped"});
  } else {
    p.usable = true;
  }
}

void end_suite(PlannedSuite& p) {
  State& s = state();
  p.done = true;
  s.suite = p.suite;
  if (p.usable) {
    if (!p.single) ++s.summary.nSuitesRun;
    if (p.suite->pCleanupFunc != nullptr && p.suite->pCleanupFunc() != 0) {
      if (s.handlers.cleanup_failure != nullptr) s.handlers.cleanup_failure(p.suite);
      ++s.summary.nSuitesFailed;
      add_failure(CUF_SuiteCleanupFailed, 0, "Suite cleanup failed.", "CUnit System", p.suite,
                  nullptr);
      keep_first(&p.result, CUE_SCLEAN_FAILED);
      p.failures.push_back({"CUnit System", 0, "Suite cleanup failed."});
    }
  }
  if (s.handlers.suite_complete != nullptr) {
    s.handlers.suite_complete(p.suite, p.single ? nullptr : after(p.last_before));
  }
  s.suite = nullptr;
  keep_first(&s.result, p.result);
}

void step(PlannedSuite& p, PlannedTest& t) {
  State& s = state();
  t.done = true;
  if (!p.usable) {
    t.skipped = p.skip_reason;
  } else if (t.test == nullptr) {
    t.skipped = "the suite has no tests";
  } else if (!go_on(p.result)) {
    t.skipped = "not run: stopped at an error";
  } else if (t.test->fActive == CU_FALSE && !p.single) {
    ++s.summary.nTestsInactive;
    t.skipped = "inactive";
    if (s.fail_on_inactive != CU_FALSE) {
      add_failure(CUF_TestInactive, 0, "Test inactive", "CUnit System", p.suite, t.test);
      keep_first(&p.result, CUE_TEST_INACTIVE);
    }
  } else {
    keep_first(&p.result, run_single_test(p, t));
  }
}

void report(const std::vector<Outcome>& failures) {
  for (const Outcome& f : failures) {
    state().any_failed = true;
    GTEST_MESSAGE_AT_(f.file.c_str(), f.line, f.text.c_str(),
                      testing::TestPartResult::kNonFatalFailure);
  }
}

/// The suite whose GoogleTest suite is running.
PlannedSuite* current_plan() {
  const std::string name = testing::UnitTest::GetInstance()->current_test_suite()->name();
  for (const auto& p : state().plan) {
    if (p->name == name) return p.get();
  }
  return nullptr;
}

class CUnitTest : public testing::Test {
 public:
  CUnitTest(PlannedSuite* suite, PlannedTest* test) : suite_(suite), test_(test) {}

  static void SetUpTestSuite() {
    PlannedSuite* p = current_plan();
    if (p != nullptr && !p->done && go_on(state().result)) begin_suite(*p);
  }
  static void TearDownTestSuite() {
    PlannedSuite* p = current_plan();
    if (p == nullptr) return;
    if (p->begun && !p->done) end_suite(*p);
    report(p->failures);
  }
  void TestBody() override {
    if (!test_->done) {
      if (suite_->begun && !suite_->done) {
        step(*suite_, *test_);
      } else {
        test_->done = true;
        test_->skipped = "not run: stopped at an error";
      }
    }
    report(test_->failures);
    if (!test_->skipped.empty() && test_->failures.empty()) GTEST_SKIP() << test_->skipped;
  }

 private:
  PlannedSuite* suite_;
  PlannedTest* test_;
};

/// GoogleTest's filters give . : - * ? / a meaning, so a name keeps only letters, digits and _.
std::string filter_name(const char* name) {
  std::string result = name;
  for (char& c : result) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
  }
  return result.empty() ? "unnamed" : result;
}

std::string unique_name(std::set<std::string>* taken, const std::string& wanted) {
  std::string name = wanted;
  for (int i = 2; !taken->insert(name).second; ++i) name = wanted + "_" + std::to_string(i);
  return name;
}

void plan_suite(std::set<std::string>* names, CU_pSuite suite, CU_pTest only) {
  State& s = state();
  auto p = std::make_unique<PlannedSuite>();
  p->suite = suite;
  p->single = only != nullptr;
  p->name = unique_name(names, filter_name(suite->pName));
  if (s.runs > 1) p->name += "/" + std::to_string(s.runs);
  std::set<std::string> taken;
  const auto add = [&](CU_pTest test, const std::string& name) {
    auto t = std::make_unique<PlannedTest>();
    t->test = test;
    t->name = unique_name(&taken, name);
    p->tests.push_back(std::move(t));
  };
  for (CU_pTest test = suite->pTest; test != nullptr; test = test->pNext) {
    if (only == nullptr || only == test) add(test, filter_name(test->pName));
  }
  if (p->tests.empty()) add(nullptr, "no_tests");
  for (const auto& t : p->tests) {
    testing::RegisterTest(p->name.c_str(), t->name.c_str(), nullptr, nullptr, __FILE__, __LINE__,
                          [suite_plan = p.get(), test_plan = t.get()]() -> CUnitTest* {
                            return new CUnitTest(suite_plan, test_plan);
                          });
  }
  s.plan.push_back(std::move(p));
}

/// main() belongs to the CUnit program and need not hand its arguments on.
std::vector<std::string>& arguments() {
  static std::vector<std::string> words;
  return words;
}

bool under_test_runner() {
  for (const std::string& word : arguments()) {
    if (word.starts_with("--gtest_")) return true;
  }
  return std::getenv("GTEST_OUTPUT") != nullptr;
}

/// CUnit programs often return 0 although tests failed; a test runner has to know.
void correct_exit_status(int status, void* /*unused*/) {
  if (status == 0 && state().any_failed && under_test_runner()) {
    std::fflush(nullptr);
    _exit(1);
  }
}

void start_googletest() {
  static bool started = false;
  if (started) return;
  started = true;
  std::vector<char*> argv;
  for (std::string& word : arguments()) argv.push_back(word.data());
  int argc = static_cast<int>(argv.size());
  argv.push_back(nullptr);
  testing::InitGoogleTest(&argc, argv.data());
  // What a CUnit program prints is CUnit's output.
  testing::TestEventListeners& listeners = testing::UnitTest::GetInstance()->listeners();
  delete listeners.Release(listeners.default_result_printer());
  on_exit(correct_exit_status, nullptr);
}

void start_run() {
  CU_clear_previous_results();
  State& s = state();
  s.result = CUE_SUCCESS;
  s.running = true;
  s.started = std::chrono::steady_clock::now();
  ++s.runs;
}

CU_ErrorCode finish_run() {
  State& s = state();
  start_googletest();
  std::fflush(stdout);
  if (RUN_ALL_TESTS() != 0) s.any_failed = true;
  // What a filter or an error left out is not made up for by the next run.
  for (const auto& p : s.plan) p->done = true;
  if (testing::GTEST_FLAG(list_tests)) std::exit(0);
  s.summary.ElapsedTime =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - s.started).count();
  s.running = false;
  if (s.handlers.all_complete != nullptr) s.handlers.all_complete(s.first);
  CU_set_error(s.result);
  return s.result;
}

CU_ErrorCode refuse(CU_ErrorCode error) {
  CU_set_error(error);
  return error;
}

__attribute__((constructor)) void keep_arguments(int argc, char** argv) {
  arguments().assign(argv, argv + argc);
}

}  // namespace

Handlers& handlers() { return state().handlers; }

}  // namespace dinomo::cunit

using dinomo::cunit::state;

CU_BOOL CU_assertImplementation(CU_BOOL bValue, unsigned int uiLine, const char* strCondition,
                                const char* strFile, const char* /*strFunction*/, CU_BOOL bFatal) {
  auto& s = state();
  ++s.summary.nAsserts;
  if (bValue != CU_FALSE) return bValue;
  ++s.summary.nAssertsFailed;
  dinomo::cunit::add_failure(CUF_AssertFailed, uiLine, strCondition, strFile, s.suite, s.test);
  if (s.planned != nullptr) {
    s.planned->failures.push_back({strFile, static_cast<int>(uiLine), strCondition});
  }
  if (bFatal != CU_FALSE && s.test != nullptr && s.test->pJumpBuf != nullptr) {
    longjmp(*s.test->pJumpBuf, 1);  // NOLINT(cert-err52-cpp)
  }
  return bValue;
}

CU_ErrorCode CU_run_all_tests() {
  if (dinomo::cunit::registry() == nullptr) {
    CU_clear_previous_results();
    return dinomo::cunit::refuse(CUE_NOREGISTRY);
  }
  dinomo::cunit::start_run();
  std::set<std::string> names;
  for (CU_pSuite s = dinomo::cunit::registry()->pSuite; s != nullptr; s = s->pNext) {
    dinomo::cunit::plan_suite(&names, s, nullptr);
  }
  return dinomo::cunit::finish_run();
}

CU_ErrorCode CU_run_suite(CU_pSuite pSuite) {
  CU_clear_previous_results();
  if (pSuite == nullptr) return dinomo::cunit::refuse(CUE_NOSUITE);
  dinomo::cunit::start_run();
  std::set<std::string> names;
  dinomo::cunit::plan_suite(&names, pSuite, nullptr);
  return dinomo::cunit::finish_run();
}

CU_ErrorCode CU_run_test(CU_pSuite pSuite, CU_pTest pTest) {
  CU_clear_previous_results();
  auto& s = state();
  if (pSuite == nullptr) return dinomo::cunit::refuse(CUE_NOSUITE);
  if (pTest == nullptr) return dinomo::cunit::refuse(CUE_NOTEST);
  if (pSuite->fActive == CU_FALSE) {
    ++s.summary.nSuitesInactive;
    if (s.fail_on_inactive != CU_FALSE) {
      dinomo::cunit::add_failure(CUF_SuiteInactive, 0, "Suite inactive", "CUnit System", pSuite,
                                 nullptr);
    }
    return dinomo::cunit::refuse(CUE_SUITE_INACTIVE);
  }
  bool ours = false;
  for (CU_pTest t = pSuite->pTest; t != nullptr; t = t->pNext) ours = ours || t == pTest;
  if (!ours) return dinomo::cunit::refuse(CUE_TEST_NOT_IN_SUITE);
  dinomo::cunit::start_run();
  std::set<std::string> names;
  dinomo::cunit::plan_suite(&names, pSuite, pTest);
  return dinomo::cunit::finish_run();
}

void CU_set_fail_on_inactive(CU_BOOL new_inactive) { state().fail_on_inactive = new_inactive; }
CU_BOOL CU_get_fail_on_inactive() { return state().fail_on_inactive; }

unsigned int CU_get_number_of_suites_run() { return state().summary.nSuitesRun; }
unsigned int CU_get_number_of_suites_failed() { return state().summary.nSuitesFailed; }
unsigned int CU_get_number_of_suites_inactive() { return state().summary.nSuitesInactive; }
unsigned int CU_get_number_of_tests_run() { return state().summary.nTestsRun; }
unsigned int CU_get_number_of_tests_failed() { return state().summary.nTestsFailed; }
unsigned int CU_get_number_of_tests_inactive() { return state().summary.nTestsInactive; }
unsigned int CU_get_number_of_asserts() { return state().summary.nAsserts; }
unsigned int CU_get_number_of_successes() {
  return state().summary.nAsserts - state().summary.nAssertsFailed;
}
unsigned int CU_get_number_of_failures() { return state().summary.nAssertsFailed; }
unsigned int CU_get_number_of_failure_records() { return state().summary.nFailureRecords; }

double CU_get_elapsed_time() {
  auto& s = state();
  if (!s.running) return s.summary.ElapsedTime;
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - s.started).count();
}

CU_pFailureRecord CU_get_failure_list() { return state().first; }
CU_pRunSummary CU_get_run_summary() { return &state().summary; }

void CU_clear_previous_results() {
  auto& s = state();
  dinomo::cunit::forget(s.first);
  s.first = s.last = nullptr;
  s.summary = CU_RunSummary{};
}

CU_pSuite CU_get_current_suite() { return state().suite; }
CU_pTest CU_get_current_test() { return state().test; }
CU_BOOL CU_is_test_running() { return state().running ? CU_TRUE : CU_FALSE; }

#define DINOMO_HANDLER(type, name, member)                                          \
  void CU_set_##name##_handler(type handler) { state().handlers.member = handler; } \
  type CU_get_##name##_handler() { return state().handlers.member; }
DINOMO_HANDLER(CU_SuiteStartMessageHandler, suite_start, suite_start)
DINOMO_HANDLER(CU_TestStartMessageHandler, test_start, test_start)
DINOMO_HANDLER(CU_TestCompleteMessageHandler, test_complete, test_complete)
DINOMO_HANDLER(CU_SuiteCompleteMessageHandler, suite_complete, suite_complete)
DINOMO_HANDLER(CU_AllTestsCompleteMessageHandler, all_test_complete, all_complete)
DINOMO_HANDLER(CU_SuiteInitFailureMessageHandler, suite_init_failure, init_failure)
DINOMO_HANDLER(CU_SuiteCleanupFailureMessageHandler, suite_cleanup_failure, cleanup_failure)
