/* SPDX-License-Identifier: BSD-3-Clause */
/* Running tests, handlers that are told about it, and the results of the last run.
 * Part of a CUnit 2.1-3 compatible interface on top of GoogleTest; see CUnit.h. */
#ifndef DINOMO_CUNIT_TESTRUN_H
#define DINOMO_CUNIT_TESTRUN_H

#include <CUnit/CUError.h>
#include <CUnit/TestDB.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum CU_FailureType {
  CUF_SuiteInactive = 1,
  CUF_SuiteInitFailed,
  CUF_SuiteCleanupFailed,
  CUF_TestInactive,
  CUF_AssertFailed
} CU_FailureType;

typedef struct CU_FailureRecord {
  CU_FailureType type;
  unsigned int uiLineNumber;
  char* strFileName;
  char* strCondition;
  CU_pTest pTest; /* NULL if a suite failed */
  CU_pSuite pSuite;
  struct CU_FailureRecord* pNext;
  struct CU_FailureRecord* pPrev;
} CU_FailureRecord;
typedef CU_FailureRecord* CU_pFailureRecord;

typedef struct CU_RunSummary {
  char PackageName[50];
  unsigned int nSuitesRun;
  unsigned int nSuitesFailed; /* initialisation or cleanup */
  unsigned int nSuitesInactive;
  unsigned int nTestsRun;
  unsigned int nTestsFailed;
  unsigned int nTestsInactive;
  unsigned int nAsserts;
  unsigned int nAssertsFailed;
  unsigned int nFailureRecords;
  double ElapsedTime; /* seconds */
} CU_RunSummary;
typedef CU_RunSummary* CU_pRunSummary;

/* Return the first error of the run; failed assertions are results, not errors. */
CU_ErrorCode CU_run_all_tests(void);
CU_ErrorCode CU_run_suite(CU_pSuite pSuite);
CU_ErrorCode CU_run_test(CU_pSuite pSuite, CU_pTest pTest);

/* Whether what is inactive counts as a failure (default: yes). */
void CU_set_fail_on_inactive(CU_BOOL new_inactive);
CU_BOOL CU_get_fail_on_inactive(void);

unsigned int CU_get_number_of_suites_run(void);
unsigned int CU_get_number_of_suites_failed(void);
unsigned int CU_get_number_of_suites_inactive(void);
unsigned int CU_get_number_of_tests_run(void);
unsigned int CU_get_number_of_tests_failed(void);
unsigned int CU_get_number_of_tests_inactive(void);
unsigned int CU_get_number_of_asserts(void);
unsigned int CU_get_number_of_successes(void);
unsigned int CU_get_number_of_failures(void);
unsigned int CU_get_number_of_failure_records(void);
double CU_get_elapsed_time(void); /* seconds; during a run, so far */
CU_pFailureRecord CU_get_failure_list(void);
CU_pRunSummary CU_get_run_summary(void);
char* CU_get_run_results_string(void); /* the summary table; free() it */
void CU_clear_previous_results(void);

CU_pSuite CU_get_current_suite(void);
CU_pTest CU_get_current_test(void);
CU_BOOL CU_is_test_running(void);

typedef void (*CU_SuiteStartMessageHandler)(const CU_pSuite pSuite);
typedef void (*CU_TestStartMessageHandler)(const CU_pTest pTest, const CU_pSuite pSuite);
typedef void (*CU_TestCompleteMessageHandler)(const CU_pTest pTest, const CU_pSuite pSuite,
                                              const CU_pFailureRecord pFailure);
typedef void (*CU_SuiteCompleteMessageHandler)(const CU_pSuite pSuite,
                                               const CU_pFailureRecord pFailure);
typedef void (*CU_AllTestsCompleteMessageHandler)(const CU_pFailureRecord pFailure);
typedef void (*CU_SuiteInitFailureMessageHandler)(const CU_pSuite pSuite);
typedef void (*CU_SuiteCleanupFailureMessageHandler)(const CU_pSuite pSuite);

void CU_set_suite_start_handler(CU_SuiteStartMessageHandler pSuiteStartMessage);
void CU_set_test_start_handler(CU_TestStartMessageHandler pTestStartMessage);
void CU_set_test_complete_handler(CU_TestCompleteMessageHandler pTestCompleteMessage);
void CU_set_suite_complete_handler(CU_SuiteCompleteMessageHandler pSuiteCompleteMessage);
void CU_set_all_test_complete_handler(CU_AllTestsCompleteMessageHandler pAllTestsCompleteMessage);
void CU_set_suite_init_failure_handler(CU_SuiteInitFailureMessageHandler pSuiteInitFailureMessage);
void CU_set_suite_cleanup_failure_handler(
    CU_SuiteCleanupFailureMessageHandler pSuiteCleanupFailureMessage);
CU_SuiteStartMessageHandler CU_get_suite_start_handler(void);
CU_TestStartMessageHandler CU_get_test_start_handler(void);
CU_TestCompleteMessageHandler CU_get_test_complete_handler(void);
CU_SuiteCompleteMessageHandler CU_get_suite_complete_handler(void);
CU_AllTestsCompleteMessageHandler CU_get_all_test_complete_handler(void);
CU_SuiteInitFailureMessageHandler CU_get_suite_init_failure_handler(void);
CU_SuiteCleanupFailureMessageHandler CU_get_suite_cleanup_failure_handler(void);

/* What every assertion calls; returns bValue, or not at all if it is false and bFatal. */
CU_BOOL CU_assertImplementation(CU_BOOL bValue, unsigned int uiLine, const char* strCondition,
                                const char* strFile, const char* strFunction, CU_BOOL bFatal);

#ifdef __cplusplus
}
#endif

#endif
