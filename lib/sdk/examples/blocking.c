/* SPDX-License-Identifier: BSD-3-Clause
 * One operation at a time, and several in one go.
 *
 *   cc blocking.c $(pkg-config --cflags --libs dinomo-client) -o blocking && ./blocking kn1:11300
 */
#include <dinomo/dinomo.h>
#include <stdio.h>
#include <string.h>

static int complain(const char* what, dinomo_status status) {
  fprintf(stderr, "%s: %s: %s\n", what, dinomo_status_name(status), dinomo_status_text(status));
  return 1;
}

/* Three reads that travel together: as many datagrams as there are owners, not keys. */
static int read_many(dinomo_client* client) {
  static const char* const keys[] = {"sky", "grass", "no such key"};
  dinomo_operation operations[3];
  dinomo_result results[3];
  memset(operations, 0, sizeof operations);
  for (size_t i = 0; i < 3; ++i) {
    operations[i].opcode = DINOMO_GET;
    operations[i].key = keys[i];
    operations[i].key_bytes = strlen(keys[i]);
  }
  dinomo_call_many(client, operations, 3, results);
  for (size_t i = 0; i < 3; ++i) {
    printf("%s: %s %.*s\n", keys[i], dinomo_status_name(results[i].status),
           (int)results[i].value_bytes, (const char*)results[i].value);
    if (results[i].status != DINOMO_OK && results[i].status != DINOMO_NOT_FOUND) return 1;
  }
  return 0;
}

/* Makes the counter if there is none. */
static int count(dinomo_client* client) {
  dinomo_operation operation;
  dinomo_result result;
  memset(&operation, 0, sizeof operation);
  operation.opcode = DINOMO_INCR;
  operation.key = "visits";
  operation.key_bytes = 6;
  operation.delta = 1;
  operation.create = 1;
  operation.initial = 1;
  dinomo_delete(client, "visits", 6, NULL);
  dinomo_call(client, &operation, NULL);
  const dinomo_status status = dinomo_incr(client, "visits", 6, 1, &result);
  if (status != DINOMO_OK) return complain("incr", status);
  printf("visits = %llu\n", (unsigned long long)result.number);
  return result.number == 2 ? 0 : 1;
}

int main(int argc, char** argv) {
  dinomo_client* client;
  if (dinomo_open(argc > 1 ? argv[1] : NULL, NULL, &client) != DINOMO_OK) {
    fprintf(stderr, "%s\n", dinomo_open_error());
    return 1;
  }
  int failed = 0;
  dinomo_result result;
  dinomo_status status = dinomo_put(client, "sky", 3, "blue", 4, 0, 7, &result);
  if (status != DINOMO_OK) failed = complain("put", status);
  if (!failed && dinomo_get(client, "sky", 3, &result) != DINOMO_OK) {
    failed = complain("get", result.status);
  }
  if (!failed) {
    printf("sky = %.*s, flags %u\n", (int)result.value_bytes, (const char*)result.value,
           result.item_flags);
    dinomo_put(client, "grass", 5, "green", 5, 0, 0, NULL);
    failed = read_many(client);
    dinomo_delete(client, "sky", 3, NULL);
    dinomo_delete(client, "grass", 5, NULL);
    status = dinomo_get(client, "sky", 3, NULL);
    printf("deleted: %s\n", dinomo_status_name(status));
    if (status != DINOMO_NOT_FOUND || count(client) != 0) failed = 1;
  }
  dinomo_close(client);
  return failed;
}
