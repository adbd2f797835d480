// SPDX-License-Identifier: BSD-3-Clause
// The Basic and Automated interfaces: handlers that print, and XML.
#include <CUnit/Automated.h>
#include <CUnit/Basic.h>

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <string>

#include "internal.h"

namespace {

using dinomo::cunit::handlers;

CU_BasicRunMode mode = CU_BRM_NORMAL;
CU_pSuite shown_suite = nullptr;  // its name has been printed

std::string cell(unsigned value, int width) {
  std::string text = std::to_string(value);
  while (text.size() < static_cast<size_t>(width)) text.insert(0, " ");
  return text;
}

std::string row(const char* title, unsigned total, unsigned ran, const std::string& passed,
                unsigned failed, const std::string& inactive) {
  return std::string(title) + cell(total, 7) + cell(ran, 7) + passed + cell(failed, 7) + inactive;
}

/// What ran and did not fail; inactive tests that count as failures did not run.
unsigned tests_passed(const CU_RunSummary& s) {
  return s.nTestsRun >= s.nTestsFailed ? s.nTestsRun - s.nTestsFailed : 0;
}

std::string results() {
  const CU_RunSummary& s = *CU_get_run_summary();
  const CU_TestRegistry none{};
  const CU_TestRegistry& r =
      dinomo::cunit::registry() != nullptr ? *dinomo::cunit::registry() : none;
  char elapsed[64];
  std::snprintf(elapsed, sizeof elapsed, "Elapsed time = %8.3f seconds", CU_get_elapsed_time());
  return "Run Summary:    Type  Total    Ran Passed Failed Inactive\n" +
         row("              suites", r.uiNumberOfSuites, s.nSuitesRun, "    n/a", s.nSuitesFailed,
             cell(s.nSuitesInactive, 9)) +
         "\n" +
         row("               tests", r.uiNumberOfTests, s.nTestsRun, cell(tests_passed(s), 7),
             s.nTestsFailed, cell(s.nTestsInactive, 9)) +
         "\n" +
         row("             asserts", s.nAsserts, s.nAsserts, cell(s.nAsserts - s.nAssertsFailed, 7),
             s.nAssertsFailed, "      n/a") +
         "\n\n" + elapsed;
}

// ---- Basic

void basic_test_start(const CU_pTest test, const CU_pSuite suite) {
  if (mode != CU_BRM_VERBOSE) return;
  if (shown_suite != suite) std::printf("\nSuite: %s", suite->pName);
  shown_suite = suite;
  std::printf("\n  Test: %s ...", test->pName);
}

void basic_test_complete(const CU_pTest test, const CU_pSuite suite,
                         const CU_pFailureRecord failure) {
  if (failure == nullptr) {
    if (mode == CU_BRM_VERBOSE) std::printf("passed");
    return;
  }
  if (mode == CU_BRM_SILENT) return;
  if (mode == CU_BRM_VERBOSE) {
    std::printf("FAILED");
  } else {
    std::printf("\nSuite %s, Test %s had failures:", suite->pName, test->pName);
  }
  int number = 0;
  for (CU_pFailureRecord f = failure; f != nullptr; f = f->pNext) {
    std::printf("\n    %d. %s:%u  - %s", ++number, f->strFileName, f->uiLineNumber,
                f->strCondition);
  }
}

void basic_all_complete(const CU_pFailureRecord /*failure*/) {
  std::printf("\n\n%s\n", results().c_str());
}

void basic_init_failure(const CU_pSuite suite) {
  if (mode != CU_BRM_SILENT) {
    std::printf("\nWARNING - Suite initialization failed for '%s'.", suite->pName);
  }
}

void basic_cleanup_failure(const CU_pSuite suite) {
  if (mode != CU_BRM_SILENT) {
    std::printf("\nWARNING - Suite cleanup failed for '%s'.", suite->pName);
  }
}

/// False if there is no registry.
bool start_basic() {
  setvbuf(stdout, nullptr, _IONBF, 0);
  if (dinomo::cunit::registry() == nullptr) {
    if (mode != CU_BRM_SILENT) {
      std::fprintf(stderr, "\n\nFATAL ERROR - Test registry is not initialized.\n");
    }
    return false;
  }
  if (mode != CU_BRM_SILENT) {
    std::printf("\n\n     CUnit - A unit testing framework for C - Version " CU_VERSION
                "\n     http://cunit.sourceforge.net/\n\n");
  }
  shown_suite = nullptr;
  handlers() = {.test_start = basic_test_start,
                .test_complete = basic_test_complete,
                .all_complete = basic_all_complete,
                .init_failure = basic_init_failure,
                .cleanup_failure = basic_cleanup_failure};
  return true;
}

// ---- Automated

struct CloseFile {
  void operator()(FILE* f) const { std::fclose(f); }
};
using File = std::unique_ptr<FILE, CloseFile>;

std::string file_root = "CUnitAutomated";
FILE* results_file = nullptr;
bool suite_open = false;

std::string escape(const char* text) {
  std::string result;
  for (const char* c = text; *c != '\0'; ++c) {
    switch (*c) {
      case '&': result += "&amp;"; break;
      case '<': result += "&lt;"; break;
      case '>': result += "&gt;"; break;
      default: result += *c;
    }
  }
  return result;
}

std::string element(const char* tag, const std::string& text) {
  return std::string("<") + tag + "> " + text + " </" + tag + ">\n";
}

void write(const std::string& text) { std::fputs(text.c_str(), results_file); }

void close_xml_suite() {
  if (suite_open) write("</CUNIT_RUN_SUITE_SUCCESS></CUNIT_RUN_SUITE>\n");
  suite_open = false;
}

void xml_suite_start(const CU_pSuite /*suite*/) {
  close_xml_suite();
  shown_suite = nullptr;
}

void xml_test_start(const CU_pTest /*test*/, const CU_pSuite suite) {
  if (shown_suite == suite) return;
  shown_suite = suite;
  suite_open = true;
  write("<CUNIT_RUN_SUITE><CUNIT_RUN_SUITE_SUCCESS>\n" +
        element("SUITE_NAME", escape(suite->pName)));
}

void xml_test_complete(const CU_pTest test, const CU_pSuite /*suite*/,
                       const CU_pFailureRecord failure) {
  const std::string name = element("TEST_NAME", escape(test->pName));
  if (failure == nullptr) {
    write("<CUNIT_RUN_TEST_RECORD><CUNIT_RUN_TEST_SUCCESS>\n" + name +
          "</CUNIT_RUN_TEST_SUCCESS></CUNIT_RUN_TEST_RECORD>\n");
  }
  for (CU_pFailureRecord f = failure; f != nullptr; f = f->pNext) {
    write("<CUNIT_RUN_TEST_RECORD><CUNIT_RUN_TEST_FAILURE>\n" + name +
          element("FILE_NAME", escape(f->strFileName)) +
          element("LINE_NUMBER", std::to_string(f->uiLineNumber)) +
          element("CONDITION", escape(f->strCondition)) +
          "</CUNIT_RUN_TEST_FAILURE></CUNIT_RUN_TEST_RECORD>\n");
  }
}

void xml_suite_failure(const CU_pSuite suite, const char* reason) {
  close_xml_suite();
  write("<CUNIT_RUN_SUITE><CUNIT_RUN_SUITE_FAILURE>\n" +
        element("SUITE_NAME", escape(suite->pName)) + element("FAILURE_REASON", reason) +
        "</CUNIT_RUN_SUITE_FAILURE></CUNIT_RUN_SUITE>\n");
}
void xml_init_failure(const CU_pSuite suite) {
  xml_suite_failure(suite, "Suite Initialization Failed");
}
void xml_cleanup_failure(const CU_pSuite suite) {
  xml_suite_failure(suite, "Suite Cleanup Failed");
}

void xml_record(const char* type, unsigned total, unsigned run, const std::string& succeeded,
                unsigned failed, const std::string& inactive) {
  write("<CUNIT_RUN_SUMMARY_RECORD>\n" + element("TYPE", type) +
        element("TOTAL", std::to_string(total)) + element("RUN", std::to_string(run)) +
        element("SUCCEEDED", succeeded) + element("FAILED", std::to_string(failed)) +
        element("INACTIVE", inactive) + "</CUNIT_RUN_SUMMARY_RECORD>\n");
}

std::string xml_footer() {
  const std::time_t now = std::time(nullptr);
  char date[64];
  std::tm parts{};
  std::strftime(date, sizeof date, "%a %b %e %H:%M:%S %Y", localtime_r(&now, &parts));
  return element("CUNIT_FOOTER", std::string("File Generated By CUnit v" CU_VERSION " - ") + date);
}

void xml_all_complete(const CU_pFailureRecord /*failure*/) {
  const CU_RunSummary& s = *CU_get_run_summary();
  const CU_TestRegistry& r = *dinomo::cunit::registry();
  close_xml_suite();
  write("</CUNIT_RESULT_LISTING>\n<CUNIT_RUN_SUMMARY>\n");
  xml_record("Suites", r.uiNumberOfSuites, s.nSuitesRun, "- NA -", s.nSuitesFailed,
             std::to_string(s.nSuitesInactive));
  xml_record("Test Cases", r.uiNumberOfTests, s.nTestsRun, std::to_string(tests_passed(s)),
             s.nTestsFailed, std::to_string(s.nTestsInactive));
  xml_record("Assertions", s.nAsserts, s.nAsserts, std::to_string(s.nAsserts - s.nAssertsFailed),
             s.nAssertsFailed, "n/a");
  write("</CUNIT_RUN_SUMMARY>\n" + xml_footer() + "</CUNIT_TEST_RUN_REPORT>\n");
}

std::string xml_head(const std::string& kind, const std::string& root) {
  return "<?xml version=\"1.0\" ?>\n<?xml-stylesheet type=\"text/xsl\" href=\"CUnit-" + kind +
         ".xsl\" ?>\n<!DOCTYPE " + root + " SYSTEM \"CUnit-" + kind + ".dtd\">\n<" + root +
         ">\n<CUNIT_HEADER/>\n";
}

File open_file(const char* suffix) {
  File file(std::fopen((file_root + suffix).c_str(), "w"));
  CU_set_error(file != nullptr ? CUE_SUCCESS : CUE_FOPEN_FAILED);
  return file;
}

/// Errors of a full disk show at the latest here.
void close_file(File file) {
  const bool bad = std::ferror(file.get()) != 0;
  const bool closed = std::fclose(file.release()) == 0;
  CU_set_error(!closed ? CUE_FCLOSE_FAILED : (bad ? CUE_WRITE_ERROR : CUE_SUCCESS));
}

std::string yes_no(bool yes) { return yes ? "Yes" : "No"; }

std::string listing_of(const CU_Suite& suite) {
  std::string text = "<CUNIT_ALL_TEST_LISTING_SUITE>\n<CUNIT_ALL_TEST_LISTING_SUITE_DEFINITION>\n" +
                     element("SUITE_NAME", escape(suite.pName)) +
                     element("INITIALIZE_VALUE", yes_no(suite.pInitializeFunc != nullptr)) +
                     element("CLEANUP_VALUE", yes_no(suite.pCleanupFunc != nullptr)) +
                     element("ACTIVE_VALUE", yes_no(suite.fActive != CU_FALSE)) +
                     element("TEST_COUNT_VALUE", std::to_string(suite.uiNumberOfTests)) +
                     "</CUNIT_ALL_TEST_LISTING_SUITE_DEFINITION>\n"
                     "<CUNIT_ALL_TEST_LISTING_SUITE_TESTS>\n";
  for (CU_pTest t = suite.pTest; t != nullptr; t = t->pNext) {
    text +=
        "<TEST_CASE_DEFINITION>\n" + element("TEST_CASE_NAME", escape(t->pName)) +
        element("TEST_ACTIVE_VALUE", yes_no(suite.fActive != CU_FALSE && t->fActive != CU_FALSE)) +
        "</TEST_CASE_DEFINITION>\n";
  }
  return text + "</CUNIT_ALL_TEST_LISTING_SUITE_TESTS>\n</CUNIT_ALL_TEST_LISTING_SUITE>\n";
}

std::string listing_total(const char* title, unsigned value) {
  return "<CUNIT_LIST_TOTAL_SUMMARY_RECORD>\n" +
         element("CUNIT_LIST_TOTAL_SUMMARY_RECORD_TEXT", title) +
         element("CUNIT_LIST_TOTAL_SUMMARY_RECORD_VALUE", std::to_string(value)) +
         "</CUNIT_LIST_TOTAL_SUMMARY_RECORD>\n";
}

}  // namespace

char* CU_get_run_results_string() { return dinomo::cunit::copy_string(results().c_str()); }

CU_ErrorCode CU_basic_run_tests() { return start_basic() ? CU_run_all_tests() : CUE_NOREGISTRY; }

CU_ErrorCode CU_basic_run_suite(CU_pSuite pSuite) {
  if (pSuite == nullptr) return CUE_NOSUITE;
  return start_basic() ? CU_run_suite(pSuite) : CUE_NOREGISTRY;
}

CU_ErrorCode CU_basic_run_test(CU_pSuite pSuite, CU_pTest pTest) {
  if (pSuite == nullptr) return CUE_NOSUITE;
  if (pTest == nullptr) return CUE_NOTEST;
  return start_basic() ? CU_run_test(pSuite, pTest) : CUE_NOREGISTRY;
}

void CU_basic_set_mode(CU_BasicRunMode new_mode) { mode = new_mode; }
CU_BasicRunMode CU_basic_get_mode() { return mode; }

void CU_basic_show_failures(CU_pFailureRecord pFailure) {
  int number = 0;
  for (CU_pFailureRecord f = pFailure; f != nullptr; f = f->pNext) {
    std::printf("\n  %d. %s:%u  - %s", ++number, f->strFileName, f->uiLineNumber, f->strCondition);
  }
}

void CU_set_output_filename(const char* szFilenameRoot) {
  if (szFilenameRoot != nullptr) file_root = szFilenameRoot;
}

void CU_automated_run_tests() {
  if (dinomo::cunit::registry() == nullptr) {
    CU_set_error(CUE_NOREGISTRY);
    return;
  }
  File file = open_file("-Results.xml");
  if (file == nullptr) {
    std::fprintf(stderr, "\nERROR - Failed to create/initialize the result file.\n");
    return;
  }
  results_file = file.get();
  shown_suite = nullptr;
  suite_open = false;
  write(xml_head("Run", "CUNIT_TEST_RUN_REPORT") + "<CUNIT_RESULT_LISTING>\n");
  handlers() = {.suite_start = xml_suite_start,
                .test_start = xml_test_start,
                .test_complete = xml_test_complete,
                .all_complete = xml_all_complete,
                .init_failure = xml_init_failure,
                .cleanup_failure = xml_cleanup_failure};
  CU_run_all_tests();
  results_file = nullptr;
  close_file(std::move(file));
}

CU_ErrorCode CU_list_tests_to_file() {
  CU_pTestRegistry registry = dinomo::cunit::registry();
  if (registry == nullptr) {
    CU_set_error(CUE_NOREGISTRY);
    return CUE_NOREGISTRY;
  }
  File file = open_file("-Listing.xml");
  if (file == nullptr) return CUE_FOPEN_FAILED;
  std::string text = xml_head("List", "CUNIT_TEST_LIST_REPORT") + "<CUNIT_LIST_TOTAL_SUMMARY>\n" +
                     listing_total("Total Number of Suites", registry->uiNumberOfSuites) +
                     listing_total("Total Number of Test Cases", registry->uiNumberOfTests) +
                     "</CUNIT_LIST_TOTAL_SUMMARY>\n<CUNIT_ALL_TEST_LISTING>\n";
  for (CU_pSuite s = registry->pSuite; s != nullptr; s = s->pNext) text += listing_of(*s);
  text += "</CUNIT_ALL_TEST_LISTING>\n" + xml_footer() + "</CUNIT_TEST_LIST_REPORT>\n";
  std::fputs(text.c_str(), file.get());
  close_file(std::move(file));
  return CU_get_error();
}
