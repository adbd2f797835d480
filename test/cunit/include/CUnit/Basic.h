/* SPDX-License-Identifier: BSD-3-Clause */
/* Non-interactive runs with output on stdout.
 * Part of a CUnit 2.1-3 compatible interface on top of GoogleTest; see CUnit.h. */
#ifndef DINOMO_CUNIT_BASIC_H
#define DINOMO_CUNIT_BASIC_H

#include <CUnit/CUnit.h>
#include <CUnit/TestDB.h>
#include <CUnit/TestRun.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
  CU_BRM_NORMAL = 0, /* failures and the summary */
  CU_BRM_SILENT,     /* the summary and errors */
  CU_BRM_VERBOSE     /* every test */
} CU_BasicRunMode;

CU_ErrorCode CU_basic_run_tests(void);
CU_ErrorCode CU_basic_run_suite(CU_pSuite pSuite);
CU_ErrorCode CU_basic_run_test(CU_pSuite pSuite, CU_pTest pTest);
void CU_basic_set_mode(CU_BasicRunMode mode);
CU_BasicRunMode CU_basic_get_mode(void);
void CU_basic_show_failures(CU_pFailureRecord pFailure);

#ifdef __cplusplus
}
#endif

#endif
