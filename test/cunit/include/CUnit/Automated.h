/* SPDX-License-Identifier: BSD-3-Clause */
/* Runs that write XML: ROOT-Results.xml and ROOT-Listing.xml, ROOT is CUnitAutomated unless set.
 * Part of a CUnit 2.1-3 compatible interface on top of GoogleTest; see CUnit.h. */
#ifndef DINOMO_CUNIT_AUTOMATED_H
#define DINOMO_CUNIT_AUTOMATED_H

#include <CUnit/CUnit.h>
#include <CUnit/TestDB.h>
#include <CUnit/TestRun.h>

#ifdef __cplusplus
extern "C" {
#endif

void CU_automated_run_tests(void);
CU_ErrorCode CU_list_tests_to_file(void);
void CU_set_output_filename(const char* szFilenameRoot);

#ifdef __cplusplus
}
#endif

#endif
