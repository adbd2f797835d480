/* SPDX-License-Identifier: BSD-3-Clause
 * A thousand writes with a callback, then reads whose results come from the queue, by tag.
 *
 *   cc async.c $(pkg-config --cflags --libs dinomo-client) -o async && ./async kn1:11300
 */
#include <dinomo/dinomo.h>
#include <stdio.h>
#include <string.h>

enum { kItems = 1000 };

struct progress {
  unsigned stored;
  unsigned failed;
};

static void on_stored(void* context, const dinomo_result* result) {
  struct progress* const progress = context;
  if (result->status == DINOMO_OK) {
    ++progress->stored;
  } else {
    ++progress->failed;
    fprintf(stderr, "item %u: %s\n", (unsigned)result->tag, dinomo_status_text(result->status));
  }
}

/* Makes room first where in_flight_max operations are out already. */
static dinomo_status submit(dinomo_client* client, const dinomo_operation* operation) {
  dinomo_status status;
  while ((status = dinomo_submit(client, operation)) == DINOMO_FULL) dinomo_poll(client, -1);
  return status;
}

static dinomo_status store(dinomo_client* client, unsigned i, struct progress* progress) {
  char key[32];
  char value[32];
  dinomo_operation operation;
  memset(&operation, 0, sizeof operation);
  operation.opcode = DINOMO_PUT;
  operation.key = key;
  operation.key_bytes = (size_t)snprintf(key, sizeof key, "item%u", i);
  operation.value = value;
  operation.value_bytes = (size_t)snprintf(value, sizeof value, "value %u", i);
  operation.callback = on_stored;
  operation.context = progress;
  operation.tag = i;
  return submit(client, &operation);
}

static unsigned read_back(dinomo_client* client) {
  unsigned right = 0;
  for (unsigned i = 0; i < 100; ++i) {
    char key[32];
    dinomo_operation operation;
    memset(&operation, 0, sizeof operation);
    operation.opcode = DINOMO_GET;
    operation.key = key;
    operation.key_bytes = (size_t)snprintf(key, sizeof key, "item%u", i);
    operation.tag = i; /* no callback: the result goes to the queue */
    if (submit(client, &operation) != DINOMO_OK) return 0;
  }
  dinomo_flush(client);
  while (dinomo_in_flight(client) != 0) {
    dinomo_result result;
    dinomo_poll(client, -1);
    while (dinomo_next(client, &result)) {
      char expected[32];
      const int bytes = snprintf(expected, sizeof expected, "value %u", (unsigned)result.tag);
      right += result.status == DINOMO_OK && result.value_bytes == (size_t)bytes &&
               memcmp(result.value, expected, result.value_bytes) == 0;
    }
  }
  return right;
}

int main(int argc, char** argv) {
  dinomo_client* client;
  dinomo_options options;
  memset(&options, 0, sizeof options);
  options.in_flight_max = 256;
  if (dinomo_open(argc > 1 ? argv[1] : NULL, &options, &client) != DINOMO_OK) {
    fprintf(stderr, "%s\n", dinomo_open_error());
    return 1;
  }
  struct progress progress = {0, 0};
  for (unsigned i = 0; i < kItems; ++i) {
    if (store(client, i, &progress) != DINOMO_OK) ++progress.failed;
  }
  while (dinomo_in_flight(client) != 0) dinomo_poll(client, -1);
  const unsigned right = read_back(client);
  printf("%u stored, %u failed, %u of 100 read back\n", progress.stored, progress.failed, right);
  dinomo_close(client);
  return progress.stored == kItems && right == 100 ? 0 : 1;
}
