/* SPDX-License-Identifier: BSD-3-Clause */
/* The registry: suites and tests, their registration, look-up and activation. Positions count
 * from 1. Part of a CUnit 2.1-3 compatible interface on top of GoogleTest; see CUnit.h. The
 * registry may not be changed during a run. Names are copied. */
#ifndef DINOMO_CUNIT_TESTDB_H
#define DINOMO_CUNIT_TESTDB_H

#include <CUnit/CUError.h>
#include <setjmp.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Suite functions return 0 for success. */
typedef int (*CU_InitializeFunc)(void);
typedef int (*CU_CleanupFunc)(void);
typedef void (*CU_TestFunc)(void);
typedef void (*CU_SetUpFunc)(void);
typedef void (*CU_TearDownFunc)(void);

typedef struct CU_Test {
  char* pName;
  CU_BOOL fActive;
  CU_TestFunc pTestFunc;
  jmp_buf* pJumpBuf; /* where a fatal assertion goes while the test runs */
  struct CU_Test* pNext;
  struct CU_Test* pPrev;
} CU_Test;
typedef CU_Test* CU_pTest;

typedef struct CU_Suite {
  char* pName;
  CU_BOOL fActive;
  CU_pTest pTest; /* the first one */
  CU_InitializeFunc pInitializeFunc;
  CU_CleanupFunc pCleanupFunc;
  CU_SetUpFunc pSetUpFunc;
  CU_TearDownFunc pTearDownFunc;
  unsigned int uiNumberOfTests;
  struct CU_Suite* pNext;
  struct CU_Suite* pPrev;
  unsigned int uiNumberOfTestsFailed;
  unsigned int uiNumberOfTestsSuccess;
} CU_Suite;
typedef CU_Suite* CU_pSuite;

typedef struct CU_TestRegistry {
  unsigned int uiNumberOfSuites;
  unsigned int uiNumberOfTests;
  CU_pSuite pSuite; /* the first one */
} CU_TestRegistry;
typedef CU_TestRegistry* CU_pTestRegistry;

CU_ErrorCode CU_initialize_registry(void); /* destroys the one before */
void CU_cleanup_registry(void);            /* and clears the results of the last run */
CU_BOOL CU_registry_initialized(void);

CU_pTestRegistry CU_get_registry(void);
CU_pTestRegistry CU_set_registry(CU_pTestRegistry pTestRegistry); /* returns the one before */
CU_pTestRegistry CU_create_new_registry(void);
void CU_destroy_existing_registry(CU_pTestRegistry* ppRegistry); /* not the one in use */

/* NULL on failure; a name that exists already is only a warning in CU_get_error(). */
CU_pSuite CU_add_suite(const char* strName, CU_InitializeFunc pInit, CU_CleanupFunc pClean);
CU_pSuite CU_add_suite_with_setup_and_teardown(const char* strName, CU_InitializeFunc pInit,
                                               CU_CleanupFunc pClean, CU_SetUpFunc pSetup,
                                               CU_TearDownFunc pTear);
CU_pTest CU_add_test(CU_pSuite pSuite, const char* strName, CU_TestFunc pTestFunc);
#define CU_ADD_TEST(suite, test) (CU_add_test(suite, #test, (CU_TestFunc)test))

/* Registration by tables, each ended by its NULL entry. */
typedef struct CU_TestInfo {
  const char* pName;
  CU_TestFunc pTestFunc;
} CU_TestInfo;
typedef CU_TestInfo* CU_pTestInfo;

typedef struct CU_SuiteInfo {
  const char* pName;
  CU_InitializeFunc pInitFunc;
  CU_CleanupFunc pCleanupFunc;
  CU_SetUpFunc pSetUpFunc;
  CU_TearDownFunc pTearDownFunc;
  CU_TestInfo* pTests;
} CU_SuiteInfo;
typedef CU_SuiteInfo* CU_pSuiteInfo;

#define CU_TEST_INFO_NULL {NULL, NULL}
#define CU_SUITE_INFO_NULL {NULL, NULL, NULL, NULL, NULL, NULL}

CU_ErrorCode CU_register_suites(CU_SuiteInfo suite_info[]);
CU_ErrorCode CU_register_nsuites(int suite_count, ...);

CU_ErrorCode CU_set_suite_active(CU_pSuite pSuite, CU_BOOL fNewActive);
CU_ErrorCode CU_set_suite_name(CU_pSuite pSuite, const char* strNewName);
CU_ErrorCode CU_set_suite_initfunc(CU_pSuite pSuite, CU_InitializeFunc pNewInit);
CU_ErrorCode CU_set_suite_cleanupfunc(CU_pSuite pSuite, CU_CleanupFunc pNewClean);
CU_ErrorCode CU_set_test_active(CU_pTest pTest, CU_BOOL fNewActive);
CU_ErrorCode CU_set_test_name(CU_pTest pTest, const char* strNewName);
CU_ErrorCode CU_set_test_func(CU_pTest pTest, CU_TestFunc pNewFunc);

/* NULL or position 0: there is none. */
CU_pSuite CU_get_suite(const char* strName);
CU_pSuite CU_get_suite_at_pos(unsigned int pos);
unsigned int CU_get_suite_pos(CU_pSuite pSuite);
unsigned int CU_get_suite_pos_by_name(const char* strName);
CU_pTest CU_get_test(CU_pSuite pSuite, const char* strName);
CU_pTest CU_get_test_at_pos(CU_pSuite pSuite, unsigned int pos);
unsigned int CU_get_test_pos(CU_pSuite pSuite, CU_pTest pTest);
unsigned int CU_get_test_pos_by_name(CU_pSuite pSuite, const char* strName);

/* The same without touching the error code. */
CU_pSuite CU_get_suite_by_name(const char* szSuiteName, CU_pTestRegistry pRegistry);
CU_pSuite CU_get_suite_by_index(unsigned int index, CU_pTestRegistry pRegistry);
CU_pTest CU_get_test_by_name(const char* szTestName, CU_pSuite pSuite);
CU_pTest CU_get_test_by_index(unsigned int index, CU_pSuite pSuite);

#ifdef __cplusplus
}
#endif

/* Whoever includes this one has the assertions, too, as with CUnit. */
#include <CUnit/CUnit.h>

#endif
