/* SPDX-License-Identifier: BSD-3-Clause */
/* Registration, look-up, renaming, duplicates and every error code that a caller can cause. */
#include <CUnit/Basic.h>
#include <CUnit/TestDB.h>

#include "show.h"

static int answer(void) { return 0; }
static void test_one(void) { CU_ASSERT(1); }
static void test_two(void) { CU_ASSERT(2); }

static CU_TestInfo tests_a[] = {{"one", test_one}, {"two", test_two}, CU_TEST_INFO_NULL};
static CU_TestInfo tests_twice[] = {{"one", test_one}, {"one", test_two}, CU_TEST_INFO_NULL};
static CU_TestInfo tests_nameless[] = {{"", test_one}, {"three", NULL}, CU_TEST_INFO_NULL};
static CU_SuiteInfo good[] = {{"a", answer, answer, NULL, NULL, tests_a},
                              {"b", NULL, NULL, NULL, NULL, tests_a},
                              CU_SUITE_INFO_NULL};
static CU_SuiteInfo more[] = {{"c", NULL, NULL, test_one, test_two, tests_a}, CU_SUITE_INFO_NULL};
static CU_SuiteInfo dup_suite[] = {{"a", NULL, NULL, NULL, NULL, tests_a}, CU_SUITE_INFO_NULL};
static CU_SuiteInfo dup_test[] = {{"d", NULL, NULL, NULL, NULL, tests_twice}, CU_SUITE_INFO_NULL};
static CU_SuiteInfo nameless[] = {{"e", NULL, NULL, NULL, NULL, tests_nameless},
                                  CU_SUITE_INFO_NULL};

static void show_registry(const char* what) {
  CU_pTestRegistry r = CU_get_registry();
  CU_pSuite s;
  CU_pTest t;
  printf("%s: %u suites, %u tests\n", what, r->uiNumberOfSuites, r->uiNumberOfTests);
  for (s = r->pSuite; s != NULL; s = s->pNext) {
    printf("  %s (%u tests, active %d, init %d, cleanup %d, set-up %d, tear-down %d):", s->pName,
           s->uiNumberOfTests, (int)s->fActive, s->pInitializeFunc != NULL, s->pCleanupFunc != NULL,
           s->pSetUpFunc != NULL, s->pTearDownFunc != NULL);
    for (t = s->pTest; t != NULL; t = t->pNext) {
      printf(" %s%s%s", t->pName, t->fActive ? "" : " (inactive)",
             t->pPrev == NULL || t->pPrev->pNext == t ? "" : " (badly linked)");
    }
    printf("\n");
  }
}

static void without_registry(void) {
  printf("initialised %d\n", (int)CU_registry_initialized());
  printf("suite %d\n", CU_add_suite("x", NULL, NULL) != NULL);
  show_error("add suite");
  printf("test %d\n", CU_add_test(NULL, "x", test_one) != NULL);
  show_error("add test");
  printf("get suite %d\n", CU_get_suite("x") != NULL);
  show_error("get suite");
  printf("position %u\n", CU_get_suite_pos_by_name("x"));
  show_error("position");
}

static void add_wrong_things(CU_pSuite suite) {
  printf("nameless suite %d\n", CU_add_suite(NULL, NULL, NULL) != NULL);
  show_error("nameless suite");
  printf("empty name %d\n", CU_add_suite("", NULL, NULL) != NULL);
  show_error("empty name");
  printf("same suite name %d\n", CU_add_suite("manual", NULL, NULL) != NULL);
  show_error("same suite name");
  printf("test without suite %d\n", CU_add_test(NULL, "x", test_one) != NULL);
  show_error("test without suite");
  printf("nameless test %d\n", CU_add_test(suite, NULL, test_one) != NULL);
  show_error("nameless test");
  printf("test without function %d\n", CU_add_test(suite, "empty", NULL) != NULL);
  show_error("test without function");
  printf("same test name %d\n", CU_add_test(suite, "one", test_two) != NULL);
  show_error("same test name");
}

static void look_up(CU_pSuite suite) {
  CU_pTest test = CU_get_test(suite, "two");
  printf("positions %u %u %u %u\n", CU_get_suite_pos(suite), CU_get_suite_pos_by_name("b"),
         CU_get_test_pos(suite, test), CU_get_test_pos_by_name(suite, "two"));
  show_error("positions");
  printf("at positions %s %s\n", CU_get_suite_at_pos(2)->pName,
         CU_get_test_at_pos(suite, 1)->pName);
  show_error("at positions");
  printf("beyond %d %d %d %d\n", CU_get_suite_at_pos(0) != NULL, CU_get_suite_at_pos(99) != NULL,
         CU_get_test_at_pos(suite, 0) != NULL, CU_get_test_at_pos(suite, 99) != NULL);
  show_error("beyond");
  printf("unknown %d %u %d %u\n", CU_get_suite("zzz") != NULL, CU_get_suite_pos_by_name("zzz"),
         CU_get_test(suite, "zzz") != NULL, CU_get_test_pos_by_name(suite, "zzz"));
  show_error("unknown");
  printf("null %d\n", CU_get_suite(NULL) != NULL);
  show_error("suite of no name");
  printf("null %u\n", CU_get_suite_pos(NULL));
  show_error("position of no suite");
  printf("null %u\n", CU_get_suite_pos_by_name(NULL));
  show_error("position of no name");
  printf("null %d\n", CU_get_test(NULL, "one") != NULL);
  show_error("test of no suite");
  printf("null %d\n", CU_get_test(suite, NULL) != NULL);
  show_error("test of no name");
  printf("null %d\n", CU_get_test_at_pos(NULL, 1) != NULL);
  show_error("at position of no suite");
  printf("null %u\n", CU_get_test_pos(suite, NULL));
  show_error("position of no test");
  printf("null %u\n", CU_get_test_pos(NULL, test));
  show_error("test position of no suite");
  printf("null %u\n", CU_get_test_pos_by_name(suite, NULL));
  show_error("test position of no name");
  printf("null %u\n", CU_get_test_pos_by_name(NULL, "one"));
  show_error("named test position of no suite");
}

static void change(CU_pSuite suite) {
  CU_pTest test = CU_get_test(suite, "two");
  show_code("rename suite", CU_set_suite_name(suite, "renamed"));
  show_code("rename suite to nothing", CU_set_suite_name(suite, NULL));
  show_code("rename no suite", CU_set_suite_name(NULL, "x"));
  show_code("rename test", CU_set_test_name(test, "second"));
  show_code("rename test to nothing", CU_set_test_name(test, NULL));
  show_code("rename no test", CU_set_test_name(NULL, "x"));
  show_code("init", CU_set_suite_initfunc(suite, answer));
  show_code("init of none", CU_set_suite_initfunc(NULL, answer));
  show_code("cleanup", CU_set_suite_cleanupfunc(suite, answer));
  show_code("cleanup of none", CU_set_suite_cleanupfunc(NULL, answer));
  show_code("function", CU_set_test_func(test, test_one));
  show_code("function of none", CU_set_test_func(NULL, test_one));
  show_code("no function", CU_set_test_func(test, NULL));
  show_code("activity of no suite", CU_set_suite_active(NULL, CU_TRUE));
  show_code("activity of no test", CU_set_test_active(NULL, CU_TRUE));
}

int main(void) {
  CU_pSuite suite;
  CU_pTestRegistry mine;
  CU_pTestRegistry previous;
  without_registry();
  show_code("initialise", CU_initialize_registry());
  show_code("initialise again", CU_initialize_registry());
  printf("initialised %d\n", (int)CU_registry_initialized());
  suite = CU_add_suite("manual", NULL, NULL);
  show_error("add suite");
  CU_add_test(suite, "one", test_one);
  show_error("add test");
  CU_ADD_TEST(suite, test_two);
  add_wrong_things(suite);
  show_registry("by hand");
  show_code("table", CU_register_suites(good));
  show_code("tables", CU_register_nsuites(2, more, more));
  show_code("same suite", CU_register_suites(dup_suite));
  show_code("same test", CU_register_suites(dup_test));
  show_code("nameless", CU_register_suites(nameless));
  show_registry("by tables");
  look_up(CU_get_suite("a"));
  change(CU_get_suite("a"));
  show_registry("changed");
  show_code("run", CU_basic_run_tests());
  show_results("run");
  mine = CU_create_new_registry();
  previous = CU_set_registry(mine);
  printf("set %d %d\n", previous != mine, CU_get_registry() == mine);
  show_error("set");
  CU_add_test(CU_add_suite("alone", NULL, NULL), "one", test_one);
  show_registry("mine");
  show_code("run mine", CU_basic_run_tests());
  show_results("run mine");
  CU_set_registry(previous);
  CU_destroy_existing_registry(&mine);
  printf("destroyed %d\n", mine == NULL);
  CU_cleanup_registry();
  printf("initialised %d\n", (int)CU_registry_initialized());
  CU_cleanup_registry();
  without_registry();
  return 0;
}
