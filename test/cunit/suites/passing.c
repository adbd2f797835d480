/* SPDX-License-Identifier: BSD-3-Clause */
/* The ordinary program of the CUnit manual: everything passes, every output mode. */
#include <CUnit/Basic.h>

#include "show.h"

static int opened = 0;
static int set_up(void) { return opened++; }
static int tear_down(void) { return --opened; }
static void first(void) { CU_ASSERT_EQUAL(opened, 1); }
static void second(void) {
  CU_ASSERT(opened);
  CU_PASS("still here");
}

int main(void) {
  const CU_BasicRunMode modes[] = {CU_BRM_NORMAL, CU_BRM_SILENT, CU_BRM_VERBOSE};
  unsigned i;
  CU_pSuite suite;
  if (CU_initialize_registry() != CUE_SUCCESS) return CU_get_error();
  suite = CU_add_suite("with set-up", set_up, tear_down);
  if (suite == NULL || CU_add_test(suite, "first", first) == NULL ||
      CU_add_test(suite, "second", second) == NULL) {
    CU_cleanup_registry();
    return CU_get_error();
  }
  printf("mode at start %d\n", (int)CU_basic_get_mode());
  for (i = 0; i < 3; ++i) {
    CU_basic_set_mode(modes[i]);
    printf("mode %d\n", (int)CU_basic_get_mode());
    show_code("run", CU_basic_run_tests());
    show_results("run");
    show_code("run suite", CU_basic_run_suite(suite));
    show_results("run suite");
    show_code("run test", CU_basic_run_test(suite, CU_get_test(suite, "second")));
    show_results("run test");
  }
  CU_cleanup_registry();
  return CU_get_error();
}
