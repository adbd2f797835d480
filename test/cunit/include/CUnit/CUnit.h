/* SPDX-License-Identifier: BSD-3-Clause */
/* CUnit 2.1-3's public interface, implemented on GoogleTest: a suite written for CUnit compiles
 * unchanged against these headers, and its tests are GoogleTest tests, so that --gtest_filter,
 * --gtest_output=xml and the test runner see them. Written from CUnit's documentation and from what
 * its library does; nothing is copied from it. doc/testing.md says how to use it.
 *
 * Assertions count for the test that runs; the _FATAL ones end it (by longjmp) when they fail. */
#ifndef DINOMO_CUNIT_CUNIT_H
#define DINOMO_CUNIT_CUNIT_H

#include <math.h>
#include <string.h>

#include <CUnit/CUError.h>
#include <CUnit/TestDB.h>
#include <CUnit/TestRun.h>

#define CU_CHECK_(holds, text, fatal) \
  ((void)CU_assertImplementation((holds), __LINE__, (text), __FILE__, "", (fatal)))

#define CU_PASS(msg) CU_CHECK_(CU_TRUE, "CU_PASS(" #msg ")", CU_FALSE)
#define CU_FAIL(msg) CU_CHECK_(CU_FALSE, "CU_FAIL(" #msg ")", CU_FALSE)
#define CU_FAIL_FATAL(msg) CU_CHECK_(CU_FALSE, "CU_FAIL_FATAL(" #msg ")", CU_TRUE)

#define CU_ASSERT(value) CU_CHECK_((value), #value, CU_FALSE)
#define CU_ASSERT_FATAL(value) CU_CHECK_((value), #value, CU_TRUE)

#define CU_TEST(value) CU_CHECK_((value), #value, CU_FALSE)
#define CU_TEST_FATAL(value) CU_CHECK_((value), #value, CU_TRUE)

#define CU_ASSERT_TRUE(value) CU_CHECK_((value), "CU_ASSERT_TRUE(" #value ")", CU_FALSE)
#define CU_ASSERT_TRUE_FATAL(value) CU_CHECK_((value), "CU_ASSERT_TRUE_FATAL(" #value ")", CU_TRUE)

#define CU_ASSERT_FALSE(value) CU_CHECK_(!(value), "CU_ASSERT_FALSE(" #value ")", CU_FALSE)
#define CU_ASSERT_FALSE_FATAL(value) \
  CU_CHECK_(!(value), "CU_ASSERT_FALSE_FATAL(" #value ")", CU_TRUE)

#define CU_ASSERT_EQUAL(actual, expected) \
  CU_CHECK_((actual) == (expected), "CU_ASSERT_EQUAL(" #actual "," #expected ")", CU_FALSE)
#define CU_ASSERT_EQUAL_FATAL(actual, expected) \
  CU_CHECK_((actual) == (expected), "CU_ASSERT_EQUAL_FATAL(" #actual "," #expected ")", CU_TRUE)

#define CU_ASSERT_NOT_EQUAL(actual, expected) \
  CU_CHECK_((actual) != (expected), "CU_ASSERT_NOT_EQUAL(" #actual "," #expected ")", CU_FALSE)
#define CU_ASSERT_NOT_EQUAL_FATAL(actual, expected) \
  CU_CHECK_((actual) != (expected), "CU_ASSERT_NOT_EQUAL_FATAL(" #actual "," #expected ")", CU_TRUE)

#define CU_ASSERT_PTR_EQUAL(actual, expected)                 \
  CU_CHECK_((const void*)(actual) == (const void*)(expected), \
            "CU_ASSERT_PTR_EQUAL(" #actual "," #expected ")", CU_FALSE)
#define CU_ASSERT_PTR_EQUAL_FATAL(actual, expected)           \
  CU_CHECK_((const void*)(actual) == (const void*)(expected), \
            "CU_ASSERT_PTR_EQUAL_FATAL(" #actual "," #expected ")", CU_TRUE)

#define CU_ASSERT_PTR_NOT_EQUAL(actual, expected)             \
  CU_CHECK_((const void*)(actual) != (const void*)(expected), \
            "CU_ASSERT_PTR_NOT_EQUAL(" #actual "," #expected ")", CU_FALSE)
#define CU_ASSERT_PTR_NOT_EQUAL_FATAL(actual, expected)       \
  CU_CHECK_((const void*)(actual) != (const void*)(expected), \
            "CU_ASSERT_PTR_NOT_EQUAL_FATAL(" #actual "," #expected ")", CU_TRUE)

#define CU_ASSERT_PTR_NULL(value) \
  CU_CHECK_((const void*)(value) == NULL, "CU_ASSERT_PTR_NULL(" #value ")", CU_FALSE)
#define CU_ASSERT_PTR_NULL_FATAL(value) \
  CU_CHECK_((const void*)(value) == NULL, "CU_ASSERT_PTR_NULL_FATAL(" #value ")", CU_TRUE)

#define CU_ASSERT_PTR_NOT_NULL(value) \
  CU_CHECK_((const void*)(value) != NULL, "CU_ASSERT_PTR_NOT_NULL(" #value ")", CU_FALSE)
#define CU_ASSERT_PTR_NOT_NULL_FATAL(value) \
  CU_CHECK_((const void*)(value) != NULL, "CU_ASSERT_PTR_NOT_NULL_FATAL(" #value ")", CU_TRUE)

#define CU_ASSERT_STRING_EQUAL(actual, expected)                         \
  CU_CHECK_(strcmp((const char*)(actual), (const char*)(expected)) == 0, \
            "CU_ASSERT_STRING_EQUAL(" #actual "," #expected ")", CU_FALSE)
#define CU_ASSERT_STRING_EQUAL_FATAL(actual, expected)                   \
  CU_CHECK_(strcmp((const char*)(actual), (const char*)(expected)) == 0, \
            "CU_ASSERT_STRING_EQUAL_FATAL(" #actual "," #expected ")", CU_TRUE)

#define CU_ASSERT_STRING_NOT_EQUAL(actual, expected)                     \
  CU_CHECK_(strcmp((const char*)(actual), (const char*)(expected)) != 0, \
            "CU_ASSERT_STRING_NOT_EQUAL(" #actual "," #expected ")", CU_FALSE)
#define CU_ASSERT_STRING_NOT_EQUAL_FATAL(actual, expected)               \
  CU_CHECK_(strcmp((const char*)(actual), (const char*)(expected)) != 0, \
            "CU_ASSERT_STRING_NOT_EQUAL_FATAL(" #actual "," #expected ")", CU_TRUE)

#define CU_ASSERT_NSTRING_EQUAL(actual, expected, count)                                   \
  CU_CHECK_(strncmp((const char*)(actual), (const char*)(expected), (size_t)(count)) == 0, \
            "CU_ASSERT_NSTRING_EQUAL(" #actual "," #expected "," #count ")", CU_FALSE)
#define CU_ASSERT_NSTRING_EQUAL_FATAL(actual, expected, count)                             \
  CU_CHECK_(strncmp((const char*)(actual), (const char*)(expected), (size_t)(count)) == 0, \
            "CU_ASSERT_NSTRING_EQUAL_FATAL(" #actual "," #expected "," #count ")", CU_TRUE)

#define CU_ASSERT_NSTRING_NOT_EQUAL(actual, expected, count)                               \
  CU_CHECK_(strncmp((const char*)(actual), (const char*)(expected), (size_t)(count)) != 0, \
            "CU_ASSERT_NSTRING_NOT_EQUAL(" #actual "," #expected "," #count ")", CU_FALSE)
#define CU_ASSERT_NSTRING_NOT_EQUAL_FATAL(actual, expected, count)                         \
  CU_CHECK_(strncmp((const char*)(actual), (const char*)(expected), (size_t)(count)) != 0, \
            "CU_ASSERT_NSTRING_NOT_EQUAL_FATAL(" #actual "," #expected "," #count ")", CU_TRUE)

#define CU_ASSERT_DOUBLE_EQUAL(actual, expected, granularity)                   \
  CU_CHECK_(fabs((double)(actual) - (expected)) <= fabs((double)(granularity)), \
            "CU_ASSERT_DOUBLE_EQUAL(" #actual "," #expected "," #granularity ")", CU_FALSE)
#define CU_ASSERT_DOUBLE_EQUAL_FATAL(actual, expected, granularity)             \
  CU_CHECK_(fabs((double)(actual) - (expected)) <= fabs((double)(granularity)), \
            "CU_ASSERT_DOUBLE_EQUAL_FATAL(" #actual "," #expected "," #granularity ")", CU_TRUE)

#define CU_ASSERT_DOUBLE_NOT_EQUAL(actual, expected, granularity)              \
  CU_CHECK_(fabs((double)(actual) - (expected)) > fabs((double)(granularity)), \
            "CU_ASSERT_DOUBLE_NOT_EQUAL(" #actual "," #expected "," #granularity ")", CU_FALSE)
#define CU_ASSERT_DOUBLE_NOT_EQUAL_FATAL(actual, expected, granularity)                     \
  CU_CHECK_(fabs((double)(actual) - (expected)) > fabs((double)(granularity)),              \
            "CU_ASSERT_DOUBLE_NOT_EQUAL_FATAL(" #actual "," #expected "," #granularity ")", \
            CU_TRUE)

#endif
