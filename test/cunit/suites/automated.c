/* SPDX-License-Identifier: BSD-3-Clause */
/* XML of results and listing, with characters that XML has to escape. libcunit 2.1-3 itself escapes
 * neither test names nor anything in the listing, so those are kept plain. */
#include <CUnit/Automated.h>

#include "show.h"

static int fail_init(void) { return 1; }
static int fail_cleanup(void) { return 1; }
static void passes(void) { CU_ASSERT(1); }
static void fails(void) {
  const int a = 1;
  CU_ASSERT(a < 1 && a > 1);
  CU_ASSERT_STRING_EQUAL("<\"quoted\" & 'more'>", "");
  CU_ASSERT_FATAL(a == 0);
}

int main(void) {
  CU_pSuite s;
  CU_pSuite odd;
  if (CU_initialize_registry() != CUE_SUCCESS) return 99;
  s = CU_add_suite("plain", NULL, NULL);
  CU_add_test(s, "passes", passes);
  CU_add_test(s, "fails", fails);
  CU_add_test(s, "inactive", passes);
  CU_set_test_active(CU_get_test(s, "inactive"), CU_FALSE);
  odd = CU_add_suite("<odd> & \"names\"", NULL, NULL);
  CU_add_test(odd, "odd one", passes);
  CU_add_test(odd, "odd two", fails);
  s = CU_add_suite("init fails", fail_init, NULL);
  CU_add_test(s, "never run", passes);
  s = CU_add_suite("cleanup fails", NULL, fail_cleanup);
  CU_add_test(s, "passes", passes);
  s = CU_add_suite("inactive suite", NULL, NULL);
  CU_add_test(s, "never run", passes);
  CU_set_suite_active(s, CU_FALSE);
  CU_add_suite("empty", NULL, NULL);
  CU_set_output_filename("first");
  CU_automated_run_tests();
  show_results("first");
  CU_set_suite_name(odd, "no longer odd");
  CU_set_test_active(CU_get_test_at_pos(CU_get_suite("plain"), 3), CU_TRUE);
  show_code("listing", CU_list_tests_to_file());
  CU_set_fail_on_inactive(CU_FALSE);
  CU_set_output_filename("second");
  CU_automated_run_tests();
  show_results("second");
  CU_set_output_filename("missing-folder/third");
  CU_automated_run_tests();
  show_error("third");
  show_code("listing", CU_list_tests_to_file());
  CU_cleanup_registry();
  return CU_get_number_of_failures() != 0;
}
