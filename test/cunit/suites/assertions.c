/* SPDX-License-Identifier: BSD-3-Clause */
/* Every assertion, once holding and once not. */
#include <CUnit/Basic.h>

#include "show.h"

static int numbers[2] = {1, 2};

static void holding(void) {
  CU_ASSERT(1 + 1 == 2);
  CU_TEST(3);
  CU_ASSERT_TRUE(numbers[0]);
  CU_ASSERT_FALSE(numbers[0] - 1);
  CU_ASSERT_EQUAL(numbers[0], 1);
  CU_ASSERT_NOT_EQUAL(numbers[0], numbers[1]);
  CU_ASSERT_PTR_EQUAL(numbers, &numbers[0]);
  CU_ASSERT_PTR_NOT_EQUAL(numbers, numbers + 1);
  CU_ASSERT_PTR_NULL(NULL);
  CU_ASSERT_PTR_NOT_NULL(numbers);
  CU_ASSERT_STRING_EQUAL("same", "same");
  CU_ASSERT_STRING_NOT_EQUAL("same", "other");
  CU_ASSERT_NSTRING_EQUAL("same start", "same end", 5);
  CU_ASSERT_NSTRING_NOT_EQUAL("same start", "same end", 6);
  CU_ASSERT_DOUBLE_EQUAL(1.0, 1.05, 0.1);
  CU_ASSERT_DOUBLE_EQUAL(1.0, 1.05, -0.1);
  CU_ASSERT_DOUBLE_NOT_EQUAL(1.0, 1.5, 0.1);
  CU_PASS("a pass without a condition");
}

static void not_holding(void) {
  CU_ASSERT(1 + 1 == 3);
  CU_TEST(0);
  CU_ASSERT_TRUE(numbers[0] - 1);
  CU_ASSERT_FALSE(numbers[0]);
  CU_ASSERT_EQUAL(numbers[0], 2);
  CU_ASSERT_NOT_EQUAL(numbers[0], 1);
  CU_ASSERT_PTR_EQUAL(numbers, numbers + 1);
  CU_ASSERT_PTR_NOT_EQUAL(numbers, &numbers[0]);
  CU_ASSERT_PTR_NULL(numbers);
  CU_ASSERT_PTR_NOT_NULL(NULL);
  CU_ASSERT_STRING_EQUAL("same", "other");
  CU_ASSERT_STRING_NOT_EQUAL("same", "same");
  CU_ASSERT_NSTRING_EQUAL("same start", "same end", 6);
  CU_ASSERT_NSTRING_NOT_EQUAL("same start", "same end", 5);
  CU_ASSERT_DOUBLE_EQUAL(1.0, 1.5, 0.1);
  CU_ASSERT_DOUBLE_NOT_EQUAL(1.0, 1.05, 0.1);
  CU_FAIL("a failure without a condition");
}

static void fatal_holding(void) {
  CU_ASSERT_FATAL(1);
  CU_TEST_FATAL(1);
  CU_ASSERT_TRUE_FATAL(1);
  CU_ASSERT_FALSE_FATAL(0);
  CU_ASSERT_EQUAL_FATAL(1, 1);
  CU_ASSERT_NOT_EQUAL_FATAL(1, 2);
  CU_ASSERT_PTR_EQUAL_FATAL(numbers, numbers);
  CU_ASSERT_PTR_NOT_EQUAL_FATAL(numbers, NULL);
  CU_ASSERT_PTR_NULL_FATAL(NULL);
  CU_ASSERT_PTR_NOT_NULL_FATAL(numbers);
  CU_ASSERT_STRING_EQUAL_FATAL("a", "a");
  CU_ASSERT_STRING_NOT_EQUAL_FATAL("a", "b");
  CU_ASSERT_NSTRING_EQUAL_FATAL("ab", "ac", 1);
  CU_ASSERT_NSTRING_NOT_EQUAL_FATAL("ab", "ac", 2);
  CU_ASSERT_DOUBLE_EQUAL_FATAL(1.0, 1.0, 0.0);
  CU_ASSERT_DOUBLE_NOT_EQUAL_FATAL(1.0, 2.0, 0.5);
}

#define FATAL_TEST(name, assertion)     \
  static void name(void) {              \
    assertion;                          \
    printf("not reached: " #name "\n"); \
  }
FATAL_TEST(fatal_1, CU_ASSERT_FATAL(0))
FATAL_TEST(fatal_2, CU_TEST_FATAL(0))
FATAL_TEST(fatal_3, CU_ASSERT_TRUE_FATAL(0))
FATAL_TEST(fatal_4, CU_ASSERT_FALSE_FATAL(1))
FATAL_TEST(fatal_5, CU_ASSERT_EQUAL_FATAL(1, 2))
FATAL_TEST(fatal_6, CU_ASSERT_NOT_EQUAL_FATAL(1, 1))
FATAL_TEST(fatal_7, CU_ASSERT_PTR_EQUAL_FATAL(numbers, NULL))
FATAL_TEST(fatal_8, CU_ASSERT_PTR_NOT_EQUAL_FATAL(numbers, numbers))
FATAL_TEST(fatal_9, CU_ASSERT_PTR_NULL_FATAL(numbers))
FATAL_TEST(fatal_10, CU_ASSERT_PTR_NOT_NULL_FATAL(NULL))
FATAL_TEST(fatal_11, CU_ASSERT_STRING_EQUAL_FATAL("a", "b"))
FATAL_TEST(fatal_12, CU_ASSERT_STRING_NOT_EQUAL_FATAL("a", "a"))
FATAL_TEST(fatal_13, CU_ASSERT_NSTRING_EQUAL_FATAL("ab", "ac", 2))
FATAL_TEST(fatal_14, CU_ASSERT_NSTRING_NOT_EQUAL_FATAL("ab", "ac", 1))
FATAL_TEST(fatal_15, CU_ASSERT_DOUBLE_EQUAL_FATAL(1.0, 2.0, 0.5))
FATAL_TEST(fatal_16, CU_ASSERT_DOUBLE_NOT_EQUAL_FATAL(1.0, 1.0, 0.5))
FATAL_TEST(fatal_17, CU_FAIL_FATAL("enough"))

int main(void) {
  CU_pSuite suite;
  if (CU_initialize_registry() != CUE_SUCCESS) return CU_get_error();
  suite = CU_add_suite("assertions", NULL, NULL);
  CU_add_test(suite, "all hold", holding);
  CU_add_test(suite, "none holds", not_holding);
  CU_ADD_TEST(suite, fatal_holding);
  suite = CU_add_suite("fatal", NULL, NULL);
  CU_ADD_TEST(suite, fatal_1);
  CU_ADD_TEST(suite, fatal_2);
  CU_ADD_TEST(suite, fatal_3);
  CU_ADD_TEST(suite, fatal_4);
  CU_ADD_TEST(suite, fatal_5);
  CU_ADD_TEST(suite, fatal_6);
  CU_ADD_TEST(suite, fatal_7);
  CU_ADD_TEST(suite, fatal_8);
  CU_ADD_TEST(suite, fatal_9);
  CU_ADD_TEST(suite, fatal_10);
  CU_ADD_TEST(suite, fatal_11);
  CU_ADD_TEST(suite, fatal_12);
  CU_ADD_TEST(suite, fatal_13);
  CU_ADD_TEST(suite, fatal_14);
  CU_ADD_TEST(suite, fatal_15);
  CU_ADD_TEST(suite, fatal_16);
  CU_ADD_TEST(suite, fatal_17);
  CU_basic_set_mode(CU_BRM_VERBOSE);
  show_code("run", CU_basic_run_tests());
  show_results("run");
  CU_basic_show_failures(CU_get_failure_list());
  printf("\n");
  CU_cleanup_registry();
  return CU_get_error();
}
