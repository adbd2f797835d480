/* SPDX-License-Identifier: BSD-3-Clause */
/* Framework errors: a code that most calls set, its message, and what happens when one occurs.
 * Part of a CUnit 2.1-3 compatible interface on top of GoogleTest; see CUnit.h. */
#ifndef DINOMO_CUNIT_CUERROR_H
#define DINOMO_CUNIT_CUERROR_H

#define CU_VERSION "2.1-3"

#define CU_BOOL int
#define CU_TRUE 1
#define CU_FALSE 0

#ifdef __cplusplus
extern "C" {
#endif

/* The numbers are CUnit's: programs return them as exit status. */
typedef enum {
  CUE_SUCCESS = 0,
  CUE_NOMEMORY = 1,

  CUE_NOREGISTRY = 10,
  CUE_REGISTRY_EXISTS = 11,

  CUE_NOSUITE = 20,
  CUE_NO_SUITENAME = 21,
  CUE_SINIT_FAILED = 22,
  CUE_SCLEAN_FAILED = 23,
  CUE_DUP_SUITE = 24, /* a warning: the suite was added */
  CUE_SUITE_INACTIVE = 25,

  CUE_NOTEST = 30,
  CUE_NO_TESTNAME = 31,
  CUE_DUP_TEST = 32, /* a warning: the test was added */
  CUE_TEST_NOT_IN_SUITE = 33,
  CUE_TEST_INACTIVE = 34,

  CUE_FOPEN_FAILED = 40,
  CUE_FCLOSE_FAILED = 41,
  CUE_BAD_FILENAME = 42,
  CUE_WRITE_ERROR = 43
} CU_ErrorCode;

typedef enum {
  CUEA_IGNORE = 0, /* go on (default) */
  CUEA_FAIL = 1,   /* stop the run */
  CUEA_ABORT = 2   /* exit with the error code */
} CU_ErrorAction;

CU_ErrorCode CU_get_error(void);
const char* CU_get_error_msg(void);
void CU_set_error_action(CU_ErrorAction action);
CU_ErrorAction CU_get_error_action(void);

/* Sets the error code; under CUEA_ABORT any but CUE_SUCCESS ends the program. */
void CU_set_error(CU_ErrorCode error);

#ifdef __cplusplus
}
#endif

#endif
