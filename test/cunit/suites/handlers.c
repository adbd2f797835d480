/* SPDX-License-Identifier: BSD-3-Clause */
/* The primitive API under the interfaces: handlers, CU_run_*, what is current. */
#include <CUnit/CUError.h>
#include <CUnit/CUnit.h>
#include <CUnit/TestDB.h>
#include <CUnit/TestRun.h>
#include <stdlib.h>

#include "show.h"

static int fail_init(void) { return 1; }
static int fail_cleanup(void) { return 1; }
static void check_current(void) {
  printf("    inside: running %d, suite %s, test %s\n", (int)CU_is_test_running(),
         CU_get_current_suite()->pName, CU_get_current_test()->pName);
  CU_ASSERT(CU_is_test_running());
}
static void fails(void) {
  CU_ASSERT(0);
  CU_ASSERT(1 == 0);
}

static void on_suite_start(const CU_pSuite s) { printf("suite start %s\n", s->pName); }
static void on_test_start(const CU_pTest t, const CU_pSuite s) {
  printf("  test start %s of %s\n", t->pName, s->pName);
}
static void on_test_complete(const CU_pTest t, const CU_pSuite s, const CU_pFailureRecord f) {
  CU_pFailureRecord at;
  int count = 0;
  for (at = f; at != NULL; at = at->pNext) ++count;
  printf("  test complete %s of %s, %d failures\n", t->pName, s->pName, count);
}
static void on_suite_complete(const CU_pSuite s, const CU_pFailureRecord f) {
  CU_pFailureRecord at;
  int count = 0;
  for (at = f; at != NULL; at = at->pNext) ++count;
  printf("suite complete %s, %d failures\n", s->pName, count);
}
static void on_all_complete(const CU_pFailureRecord f) { printf("all complete, %d\n", f != NULL); }
static void on_init_failure(const CU_pSuite s) { printf("init failure %s\n", s->pName); }
static void on_cleanup_failure(const CU_pSuite s) { printf("cleanup failure %s\n", s->pName); }

int main(void) {
  CU_pSuite s;
  char* text;
  if (CU_initialize_registry() != CUE_SUCCESS) return 99;
  s = CU_add_suite("fine", NULL, NULL);
  CU_add_test(s, "current", check_current);
  CU_add_test(s, "fails", fails);
  CU_add_test(s, "off", fails);
  CU_set_test_active(CU_get_test(s, "off"), CU_FALSE);
  CU_add_test(CU_add_suite("init fails", fail_init, NULL), "never run", fails);
  CU_add_test(CU_add_suite("cleanup fails", NULL, fail_cleanup), "current", check_current);
  CU_add_test(CU_add_suite("off", NULL, NULL), "never run", fails);
  CU_set_suite_active(CU_get_suite("off"), CU_FALSE);
  printf("running %d\n", (int)CU_is_test_running());

  CU_set_suite_start_handler(on_suite_start);
  CU_set_test_start_handler(on_test_start);
  CU_set_test_complete_handler(on_test_complete);
  CU_set_suite_complete_handler(on_suite_complete);
  CU_set_all_test_complete_handler(on_all_complete);
  CU_set_suite_init_failure_handler(on_init_failure);
  CU_set_suite_cleanup_failure_handler(on_cleanup_failure);
  printf("handlers %d %d %d %d %d %d %d\n", CU_get_suite_start_handler() == on_suite_start,
         CU_get_test_start_handler() == on_test_start,
         CU_get_test_complete_handler() == on_test_complete,
         CU_get_suite_complete_handler() == on_suite_complete,
         CU_get_all_test_complete_handler() == on_all_complete,
         CU_get_suite_init_failure_handler() == on_init_failure,
         CU_get_suite_cleanup_failure_handler() == on_cleanup_failure);

  show_code("all", CU_run_all_tests());
  show_results("all");
  show_code("suite", CU_run_suite(s));
  show_results("suite");
  show_code("test", CU_run_test(s, CU_get_test(s, "current")));
  show_results("test");
  show_code("inactive test", CU_run_test(s, CU_get_test(s, "off")));
  show_results("inactive test");
  show_code("broken suite", CU_run_suite(CU_get_suite("init fails")));
  show_results("broken suite");
  show_code("test of broken suite", CU_run_test(CU_get_suite("init fails"),
                                                CU_get_test_at_pos(CU_get_suite("init fails"), 1)));
  show_results("test of broken suite");
  text = CU_get_run_results_string();
  printf("%d\n", text != NULL && strstr(text, "asserts") != NULL);
  free(text);
  CU_run_all_tests();
  CU_clear_previous_results();
  show_results("cleared");
  printf("elapsed %d\n", CU_get_elapsed_time() >= 0.0);
  CU_set_error(CUE_BAD_FILENAME);
  show_error("set");
  CU_cleanup_registry();
  return 3;
}
