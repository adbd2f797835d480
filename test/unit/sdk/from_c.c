/* SPDX-License-Identifier: BSD-3-Clause
 * The header in the hands of a C11 compiler. */
#include <dinomo/dinomo.h>
#include <string.h>

/* Layout is ABI: what a program was compiled with must stay what the library takes. */
_Static_assert(sizeof(dinomo_options) == 64, "dinomo_options");
_Static_assert(sizeof(dinomo_result) == 104 && offsetof(dinomo_result, value) == 8 &&
                   offsetof(dinomo_result, tag) == 64,
               "dinomo_result");
_Static_assert(sizeof(dinomo_operation) == 136 && offsetof(dinomo_operation, ttl_ms) == 40 &&
                   offsetof(dinomo_operation, callback) == 80,
               "dinomo_operation");
_Static_assert(sizeof(dinomo_kn) == 72, "dinomo_kn");
_Static_assert(sizeof(dinomo_status) == 4 && sizeof(dinomo_opcode) == 4, "enums");

int dinomo_test_from_c(const char* servers);

/* 0, or the line that went wrong. */
int dinomo_test_from_c(const char* servers) {
  dinomo_client* client;
  dinomo_result result;
  if (dinomo_open(servers, NULL, &client) != DINOMO_OK) return __LINE__;
  int wrong = 0;
  if (dinomo_put(client, "k", 1, "v", 1, 0, 3, NULL) != DINOMO_OK) {
    wrong = __LINE__;
  } else if (dinomo_get(client, "k", 1, &result) != DINOMO_OK || result.value_bytes != 1 ||
             memcmp(result.value, "v", 1) != 0 || result.item_flags != 3) {
    wrong = __LINE__;
  }
  dinomo_close(client);
  return wrong;
}
