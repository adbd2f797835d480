/* SPDX-License-Identifier: BSD-3-Clause */
/* Inactive suites and tests, with and without counting as failures; runs of what cannot be run. */
#include <CUnit/Basic.h>

#include "show.h"

static void passes(void) { CU_ASSERT(1); }
static void fails(void) { CU_ASSERT(0); }

static void run_everything(const char* title, CU_pSuite on, CU_pSuite off) {
  CU_pTest on_test = CU_get_test(on, "on");
  CU_pTest off_test = CU_get_test(on, "off");
  printf("== %s\n", title);
  show_code("all", CU_basic_run_tests());
  show_results("all");
  show_code("active suite", CU_basic_run_suite(on));
  show_results("active suite");
  show_code("inactive suite", CU_basic_run_suite(off));
  show_results("inactive suite");
  show_code("no suite", CU_basic_run_suite(NULL));
  show_results("no suite");
  show_code("inactive test", CU_basic_run_test(on, off_test));
  show_results("inactive test");
  show_code("active test", CU_basic_run_test(on, on_test));
  show_results("active test");
  show_code("test of inactive suite", CU_basic_run_test(off, CU_get_test(off, "passes")));
  show_results("test of inactive suite");
  show_code("test of another suite", CU_basic_run_test(on, CU_get_test(off, "passes")));
  show_results("test of another suite");
  show_code("no test", CU_basic_run_test(on, NULL));
  show_results("no test");
  show_code("test without suite", CU_basic_run_test(NULL, on_test));
  show_results("test without suite");
}

int main(void) {
  const CU_BasicRunMode modes[] = {CU_BRM_NORMAL, CU_BRM_VERBOSE, CU_BRM_SILENT};
  CU_pSuite on;
  CU_pSuite off;
  int i;
  show_code("before the registry", CU_basic_run_tests());
  if (CU_initialize_registry() != CUE_SUCCESS) return 99;
  show_code("empty registry", CU_basic_run_tests());
  show_results("empty registry");
  on = CU_add_suite("on", NULL, NULL);
  CU_add_test(on, "on", passes);
  CU_add_test(on, "off", fails);
  CU_add_test(on, "fails", fails);
  off = CU_add_suite("off", NULL, NULL);
  CU_add_test(off, "passes", passes);
  show_code("deactivate test", CU_set_test_active(CU_get_test(on, "off"), CU_FALSE));
  show_code("deactivate suite", CU_set_suite_active(off, CU_FALSE));
  printf("counts inactive as failures: %d\n", (int)CU_get_fail_on_inactive());
  for (i = 0; i < 3; ++i) {
    CU_basic_set_mode(modes[i]);
    CU_set_fail_on_inactive(CU_TRUE);
    run_everything("inactive fails", on, off);
    CU_set_fail_on_inactive(CU_FALSE);
    run_everything("inactive ignored", on, off);
  }
  CU_set_error_action(CUEA_FAIL);
  CU_set_fail_on_inactive(CU_TRUE);
  run_everything("inactive fails, stop at errors", on, off);
  CU_cleanup_registry();
  return CU_get_error();
}
