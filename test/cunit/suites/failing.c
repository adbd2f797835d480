/* SPDX-License-Identifier: BSD-3-Clause */
/* Fatal assertions deep in a call chain, set-up and tear-down of tests, failing suites, odd
 * returns. */
#include <CUnit/Basic.h>

#include "show.h"

static int fail_init(void) {
  printf("<init fails>");
  return 1;
}
static int fail_cleanup(void) {
  printf("<cleanup fails>");
  return -1;
}
static int init_ok(void) {
  printf("<init>");
  return 0;
}
static int cleanup_ok(void) {
  printf("<cleanup>");
  return 0;
}
static void before_each(void) { printf("<before>"); }
static void after_each(void) { printf("<after>"); }

static void passes(void) { CU_ASSERT(1); }
static void fails(void) { CU_ASSERT(0 == 1); }
static void deepest(int depth) {
  if (depth == 0) CU_ASSERT_FATAL(depth != 0);
  if (depth > 0) deepest(depth - 1);
  CU_FAIL("not reached");
}
static void fails_deep(void) {
  CU_ASSERT_EQUAL(1, 2);
  deepest(5);
  CU_FAIL("not reached");
}
static void no_assertions(void) {}

int main(int argc, char** argv) {
  CU_pSuite s;
  (void)argc;
  (void)argv;
  if (CU_initialize_registry() != CUE_SUCCESS) return 99;
  s = CU_add_suite("init fails", fail_init, cleanup_ok);
  CU_add_test(s, "never run 1", passes);
  CU_add_test(s, "never run 2", fails);
  s = CU_add_suite("cleanup fails", init_ok, fail_cleanup);
  CU_add_test(s, "passes", passes);
  s = CU_add_suite_with_setup_and_teardown("each", init_ok, cleanup_ok, before_each, after_each);
  CU_add_test(s, "passes", passes);
  CU_add_test(s, "fails", fails);
  CU_add_test(s, "fails deep", fails_deep);
  CU_add_test(s, "none", no_assertions);
  CU_add_suite("empty", init_ok, cleanup_ok);
  CU_add_suite("empty, init fails", fail_init, NULL);
  CU_add_suite("empty, cleanup fails", NULL, fail_cleanup);
  show_code("normal", CU_basic_run_tests());
  show_results("normal");
  CU_basic_set_mode(CU_BRM_VERBOSE);
  show_code("verbose", CU_basic_run_tests());
  show_results("verbose");
  CU_basic_set_mode(CU_BRM_SILENT);
  show_code("silent", CU_basic_run_tests());
  show_results("silent");
  CU_set_error_action(CUEA_FAIL);
  printf("action %d\n", (int)CU_get_error_action());
  show_code("stop at the first error", CU_basic_run_tests());
  show_results("stop at the first error");
  CU_basic_show_failures(CU_get_failure_list());
  printf("\n");
  CU_cleanup_registry();
  return 7;
}
