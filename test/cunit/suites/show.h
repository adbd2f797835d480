/* SPDX-License-Identifier: BSD-3-Clause */
/* What the comparison suites print of the framework's state. Plain CUnit 2.1-3 API. */
#ifndef DINOMO_TEST_CUNIT_SHOW_H
#define DINOMO_TEST_CUNIT_SHOW_H

#include <CUnit/CUnit.h>
#include <stdio.h>
#include <string.h>

/* File names are compared without their folders. */
static inline const char* base_name(const char* path) {
  const char* slash = path != NULL ? strrchr(path, '/') : NULL;
  return slash != NULL ? slash + 1 : (path != NULL ? path : "(none)");
}

static inline void show_error(const char* what) {
  printf("%s: error %d '%s'\n", what, (int)CU_get_error(), CU_get_error_msg());
}

static inline void show_code(const char* what, CU_ErrorCode code) {
  printf("%s: returned %d, error %d\n", what, (int)code, (int)CU_get_error());
}

static inline void show_results(const char* what) {
  const CU_pRunSummary s = CU_get_run_summary();
  CU_pFailureRecord f;
  printf(
      "%s: suites %u run %u failed %u inactive; tests %u run %u failed %u inactive; "
      "asserts %u, %u failed; records %u\n",
      what, s->nSuitesRun, s->nSuitesFailed, s->nSuitesInactive, s->nTestsRun, s->nTestsFailed,
      s->nTestsInactive, s->nAsserts, s->nAssertsFailed, s->nFailureRecords);
  printf("%s: again suites %u %u %u tests %u %u %u asserts %u %u %u records %u\n", what,
         CU_get_number_of_suites_run(), CU_get_number_of_suites_failed(),
         CU_get_number_of_suites_inactive(), CU_get_number_of_tests_run(),
         CU_get_number_of_tests_failed(), CU_get_number_of_tests_inactive(),
         CU_get_number_of_asserts(), CU_get_number_of_successes(), CU_get_number_of_failures(),
         CU_get_number_of_failure_records());
  for (f = CU_get_failure_list(); f != NULL; f = f->pNext) {
    printf("  failure type %d line %u file %s condition '%s' suite %s test %s back %d\n",
           (int)f->type, f->uiLineNumber, base_name(f->strFileName),
           f->strCondition != NULL ? f->strCondition : "(none)",
           f->pSuite != NULL ? f->pSuite->pName : "(none)",
           f->pTest != NULL ? f->pTest->pName : "(none)", f->pPrev == NULL || f->pPrev->pNext == f);
  }
  show_error(what);
}

#endif
