/* SPDX-License-Identifier: BSD-3-Clause */
/* CUEA_ABORT ends the program with the error as its exit status. */
#include <CUnit/Basic.h>

#include "show.h"

static int fail_init(void) { return 1; }
static void passes(void) { CU_ASSERT(1); }

int main(void) {
  int code;
  if (CU_initialize_registry() != CUE_SUCCESS) return 99;
  for (code = 0; code <= 45; ++code) {
    CU_set_error((CU_ErrorCode)code);
    show_error("code");
  }
  CU_add_test(CU_add_suite("fine", NULL, NULL), "passes", passes);
  CU_add_test(CU_add_suite("init fails", fail_init, NULL), "never run", passes);
  CU_set_error_action(CUEA_ABORT);
  CU_basic_run_tests();
  printf("not reached\n");
  return 0;
}
