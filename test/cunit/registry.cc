// SPDX-License-Identifier: BSD-3-Clause
// Errors and the registry: plain linked lists, since programs walk them.
#include <CUnit/CUError.h>
#include <CUnit/TestDB.h>

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "internal.h"

namespace {

CU_ErrorCode error_code = CUE_SUCCESS;
CU_ErrorAction error_action = CUEA_IGNORE;
CU_pTestRegistry active_registry = nullptr;

CU_ErrorCode set_error(CU_ErrorCode code) {
  CU_set_error(code);
  return code;
}

template <class T>
T* allocate() {
  return static_cast<T*>(std::calloc(1, sizeof(T)));
}

/// Appends to a list of suites or tests.
template <class T>
void append(T** first, T* item) {
  T* last = nullptr;
  for (T** at = first;; at = &(*at)->pNext) {
    if (*at == nullptr) {
      *at = item;
      item->pPrev = last;
      return;
    }
    last = *at;
  }
}

template <class T>
T* find_by_name(T* first, const char* name) {
  for (T* at = first; at != nullptr; at = at->pNext) {
    if (at->pName != nullptr && std::strcmp(at->pName, name) == 0) return at;
  }
  return nullptr;
}

template <class T>
T* find_by_position(T* first, unsigned position) {
  for (T* at = first; at != nullptr && position != 0; at = at->pNext) {
    if (--position == 0) return at;
  }
  return nullptr;
}

template <class T>
unsigned position_of(T* first, const T* item) {
  unsigned position = 1;
  for (T* at = first; at != nullptr; at = at->pNext, ++position) {
    if (at == item) return position;
  }
  return 0;
}

template <class T>
void set_name(T* item, const char* name) {
  std::free(item->pName);
  item->pName = dinomo::cunit::copy_string(name);
}

void destroy(CU_pTestRegistry registry) {
  for (CU_pSuite suite = registry->pSuite; suite != nullptr;) {
    for (CU_pTest test = suite->pTest; test != nullptr;) {
      CU_pTest next = test->pNext;
      std::free(test->pName);
      std::free(test);
      test = next;
    }
    CU_pSuite next = suite->pNext;
    std::free(suite->pName);
    std::free(suite);
    suite = next;
  }
  std::free(registry);
}

}  // namespace

namespace dinomo::cunit {

CU_pTestRegistry registry() { return active_registry; }

char* copy_string(const char* text) {
  char* copy = strdup(text);
  if (copy == nullptr) std::abort();
  return copy;
}

}  // namespace dinomo::cunit

CU_ErrorCode CU_get_error() { return error_code; }

const char* CU_get_error_msg() {
  switch (error_code) {
    case CUE_SUCCESS: return "No Error.";
    case CUE_NOMEMORY: return "Memory allocation failed.";
    case CUE_NOREGISTRY: return "Test registry does not exist.";
    case CUE_REGISTRY_EXISTS: return "Registry already exists.";
    case CUE_NOSUITE: return "NULL suite not allowed.";
    case CUE_NO_SUITENAME: return "Suite name cannot be NULL.";
    case CUE_SINIT_FAILED: return "Suite initialization function failed.";
    case CUE_SCLEAN_FAILED: return "Suite cleanup function failed.";
    case CUE_DUP_SUITE: return "Suite having name already registered.";
    case CUE_SUITE_INACTIVE: return "Requested suite is not active.";
    case CUE_NOTEST: return "NULL test or test function not allowed.";
    case CUE_NO_TESTNAME: return "Test name cannot be NULL.";
    case CUE_DUP_TEST: return "Test having this name already in suite.";
    case CUE_TEST_NOT_IN_SUITE: return "Test not registered in specified suite.";
    case CUE_TEST_INACTIVE: return "Requested test is not active";
    case CUE_FOPEN_FAILED: return "Error opening file.";
    case CUE_FCLOSE_FAILED: return "Error closing file.";
    case CUE_BAD_FILENAME: return "Bad file name.";
    case CUE_WRITE_ERROR: return "Error during write to file.";
  }
  // Numbers between and above the codes.
  return error_code < CUE_WRITE_ERROR ? "" : "Undefined Error";
}

void CU_set_error_action(CU_ErrorAction action) { error_action = action; }
CU_ErrorAction CU_get_error_action() { return error_action; }

void CU_set_error(CU_ErrorCode error) {
  if (error != CUE_SUCCESS && error_action == CUEA_ABORT) {
    error_code = error;
    std::fprintf(stderr, "\nAborting due to error #%d: %s\n", error, CU_get_error_msg());
    std::exit(error);
  }
  error_code = error;
}

CU_ErrorCode CU_initialize_registry() {
  if (active_registry != nullptr) CU_cleanup_registry();
  active_registry = CU_create_new_registry();
  return set_error(active_registry != nullptr ? CUE_SUCCESS : CUE_NOMEMORY);
}

void CU_cleanup_registry() {
  CU_set_error(CUE_SUCCESS);
  CU_destroy_existing_registry(&active_registry);
  CU_clear_previous_results();
}

CU_BOOL CU_registry_initialized() { return active_registry != nullptr ? CU_TRUE : CU_FALSE; }
CU_pTestRegistry CU_get_registry() { return active_registry; }

CU_pTestRegistry CU_set_registry(CU_pTestRegistry pTestRegistry) {
  CU_pTestRegistry previous = active_registry;
  CU_set_error(CUE_SUCCESS);
  active_registry = pTestRegistry;
  return previous;
}

CU_pTestRegistry CU_create_new_registry() { return allocate<CU_TestRegistry>(); }

void CU_destroy_existing_registry(CU_pTestRegistry* ppRegistry) {
  if (*ppRegistry != nullptr) destroy(*ppRegistry);
  *ppRegistry = nullptr;
}

CU_pSuite CU_add_suite(const char* strName, CU_InitializeFunc pInit, CU_CleanupFunc pClean) {
  return CU_add_suite_with_setup_and_teardown(strName, pInit, pClean, nullptr, nullptr);
}

CU_pSuite CU_add_suite_with_setup_and_teardown(const char* strName, CU_InitializeFunc pInit,
                                               CU_CleanupFunc pClean, CU_SetUpFunc pSetup,
                                               CU_TearDownFunc pTear) {
  if (active_registry == nullptr || strName == nullptr) {
    CU_set_error(active_registry == nullptr ? CUE_NOREGISTRY : CUE_NO_SUITENAME);
    return nullptr;
  }
  const bool duplicate = find_by_name(active_registry->pSuite, strName) != nullptr;
  auto* suite = allocate<CU_Suite>();
  if (suite == nullptr) {
    CU_set_error(CUE_NOMEMORY);
    return nullptr;
  }
  suite->pName = dinomo::cunit::copy_string(strName);
  suite->fActive = CU_TRUE;
  suite->pInitializeFunc = pInit;
  suite->pCleanupFunc = pClean;
  suite->pSetUpFunc = pSetup;
  suite->pTearDownFunc = pTear;
  append(&active_registry->pSuite, suite);
  ++active_registry->uiNumberOfSuites;
  CU_set_error(duplicate ? CUE_DUP_SUITE : CUE_SUCCESS);
  return suite;
}

CU_pTest CU_add_test(CU_pSuite pSuite, const char* strName, CU_TestFunc pTestFunc) {
  CU_ErrorCode error = CUE_SUCCESS;
  if (active_registry == nullptr) {
    error = CUE_NOREGISTRY;
  } else if (pSuite == nullptr) {
    error = CUE_NOSUITE;
  } else if (strName == nullptr) {
    error = CUE_NO_TESTNAME;
  } else if (pTestFunc == nullptr) {
    error = CUE_NOTEST;
  }
  if (error != CUE_SUCCESS) {
    CU_set_error(error);
    return nullptr;
  }
  const bool duplicate = find_by_name(pSuite->pTest, strName) != nullptr;
  auto* test = allocate<CU_Test>();
  if (test == nullptr) {
    CU_set_error(CUE_NOMEMORY);
    return nullptr;
  }
  test->pName = dinomo::cunit::copy_string(strName);
  test->fActive = CU_TRUE;
  test->pTestFunc = pTestFunc;
  append(&pSuite->pTest, test);
  ++pSuite->uiNumberOfTests;
  ++active_registry->uiNumberOfTests;
  CU_set_error(duplicate ? CUE_DUP_TEST : CUE_SUCCESS);
  return test;
}

CU_ErrorCode CU_register_suites(CU_SuiteInfo suite_info[]) {
  for (CU_pSuiteInfo s = suite_info; s != nullptr && s->pName != nullptr; ++s) {
    CU_pSuite suite = CU_add_suite_with_setup_and_teardown(s->pName, s->pInitFunc, s->pCleanupFunc,
                                                           s->pSetUpFunc, s->pTearDownFunc);
    if (suite == nullptr) return CU_get_error();
    for (CU_pTestInfo t = s->pTests; t != nullptr && t->pName != nullptr; ++t) {
      if (CU_add_test(suite, t->pName, t->pTestFunc) == nullptr) return CU_get_error();
    }
  }
  return CU_get_error();
}

CU_ErrorCode CU_register_nsuites(int suite_count, ...) {
  CU_ErrorCode result = CUE_SUCCESS;
  va_list arguments;
  va_start(arguments, suite_count);
  for (int i = 0; i < suite_count && result == CUE_SUCCESS; ++i) {
    result = CU_register_suites(va_arg(arguments, CU_pSuiteInfo));
  }
  va_end(arguments);
  return result;
}

CU_ErrorCode CU_set_suite_active(CU_pSuite pSuite, CU_BOOL fNewActive) {
  if (pSuite == nullptr) return set_error(CUE_NOSUITE);
  pSuite->fActive = fNewActive;
  return set_error(CUE_SUCCESS);
}

CU_ErrorCode CU_set_suite_name(CU_pSuite pSuite, const char* strNewName) {
  if (pSuite == nullptr) return set_error(CUE_NOSUITE);
  if (strNewName == nullptr) return set_error(CUE_NO_SUITENAME);
  set_name(pSuite, strNewName);
  return set_error(CUE_SUCCESS);
}

CU_ErrorCode CU_set_suite_initfunc(CU_pSuite pSuite, CU_InitializeFunc pNewInit) {
  if (pSuite == nullptr) return set_error(CUE_NOSUITE);
  pSuite->pInitializeFunc = pNewInit;
  return set_error(CUE_SUCCESS);
}

CU_ErrorCode CU_set_suite_cleanupfunc(CU_pSuite pSuite, CU_CleanupFunc pNewClean) {
  if (pSuite == nullptr) return set_error(CUE_NOSUITE);
  pSuite->pCleanupFunc = pNewClean;
  return set_error(CUE_SUCCESS);
}

CU_ErrorCode CU_set_test_active(CU_pTest pTest, CU_BOOL fNewActive) {
  if (pTest == nullptr) return set_error(CUE_NOTEST);
  pTest->fActive = fNewActive;
  return set_error(CUE_SUCCESS);
}

CU_ErrorCode CU_set_test_name(CU_pTest pTest, const char* strNewName) {
  if (pTest == nullptr) return set_error(CUE_NOTEST);
  if (strNewName == nullptr) return set_error(CUE_NO_TESTNAME);
  set_name(pTest, strNewName);
  return set_error(CUE_SUCCESS);
}

CU_ErrorCode CU_set_test_func(CU_pTest pTest, CU_TestFunc pNewFunc) {
  if (pTest == nullptr || pNewFunc == nullptr) return set_error(CUE_NOTEST);
  pTest->pTestFunc = pNewFunc;
  return set_error(CUE_SUCCESS);
}

CU_pSuite CU_get_suite(const char* strName) {
  if (active_registry == nullptr) {
    CU_set_error(CUE_NOREGISTRY);
  } else if (strName == nullptr) {
    CU_set_error(CUE_NO_SUITENAME);
  } else {
    CU_set_error(CUE_SUCCESS);
    return find_by_name(active_registry->pSuite, strName);
  }
  return nullptr;
}

CU_pSuite CU_get_suite_at_pos(unsigned int pos) {
  if (active_registry == nullptr) {
    CU_set_error(CUE_NOREGISTRY);
    return nullptr;
  }
  CU_set_error(CUE_SUCCESS);
  return find_by_position(active_registry->pSuite, pos);
}

unsigned int CU_get_suite_pos(CU_pSuite pSuite) {
  if (active_registry == nullptr) {
    CU_set_error(CUE_NOREGISTRY);
  } else if (pSuite == nullptr) {
    CU_set_error(CUE_NOSUITE);
  } else {
    CU_set_error(CUE_SUCCESS);
    return position_of(active_registry->pSuite, pSuite);
  }
  return 0;
}

unsigned int CU_get_suite_pos_by_name(const char* strName) {
  CU_pSuite suite = CU_get_suite(strName);
  return suite != nullptr ? CU_get_suite_pos(suite) : 0;
}

CU_pTest CU_get_test(CU_pSuite pSuite, const char* strName) {
  if (active_registry == nullptr) {
    CU_set_error(CUE_NOREGISTRY);
  } else if (pSuite == nullptr) {
    CU_set_error(CUE_NOSUITE);
  } else if (strName == nullptr) {
    CU_set_error(CUE_NO_SUITENAME);  // so does CUnit, whatever its manual says
  } else {
    CU_set_error(CUE_SUCCESS);
    return find_by_name(pSuite->pTest, strName);
  }
  return nullptr;
}

CU_pTest CU_get_test_at_pos(CU_pSuite pSuite, unsigned int pos) {
  if (active_registry == nullptr || pSuite == nullptr) {
    CU_set_error(active_registry == nullptr ? CUE_NOREGISTRY : CUE_NOSUITE);
    return nullptr;
  }
  CU_set_error(CUE_SUCCESS);
  return find_by_position(pSuite->pTest, pos);
}

unsigned int CU_get_test_pos(CU_pSuite pSuite, CU_pTest pTest) {
  if (active_registry == nullptr) {
    CU_set_error(CUE_NOREGISTRY);
  } else if (pSuite == nullptr) {
    CU_set_error(CUE_NOSUITE);
  } else if (pTest == nullptr) {
    CU_set_error(CUE_NOTEST);
  } else {
    CU_set_error(CUE_SUCCESS);
    return position_of(pSuite->pTest, pTest);
  }
  return 0;
}

unsigned int CU_get_test_pos_by_name(CU_pSuite pSuite, const char* strName) {
  if (active_registry != nullptr && pSuite != nullptr && strName == nullptr) {
    CU_set_error(CUE_NO_TESTNAME);
    return 0;
  }
  CU_pTest test = CU_get_test(pSuite, strName);
  return test != nullptr ? CU_get_test_pos(pSuite, test) : 0;
}

CU_pSuite CU_get_suite_by_name(const char* szSuiteName, CU_pTestRegistry pRegistry) {
  return find_by_name(pRegistry->pSuite, szSuiteName);
}
CU_pSuite CU_get_suite_by_index(unsigned int index, CU_pTestRegistry pRegistry) {
  return find_by_position(pRegistry->pSuite, index);
}
CU_pTest CU_get_test_by_name(const char* szTestName, CU_pSuite pSuite) {
  return find_by_name(pSuite->pTest, szTestName);
}
CU_pTest CU_get_test_by_index(unsigned int index, CU_pSuite pSuite) {
  return find_by_position(pSuite->pTest, index);
}
