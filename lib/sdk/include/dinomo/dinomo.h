/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Dinomo's client library, C interface. Link with `pkg-config --cflags --libs dinomo-client`.
 *
 *   dinomo_client* c;
 *   if (dinomo_open("kn1,kn2:11300", NULL, &c) != DINOMO_OK) puts(dinomo_open_error());
 *   dinomo_result r;
 *   dinomo_put(c, "colour", 6, "blue", 4, 0, 0, NULL);
 *   if (dinomo_get(c, "colour", 6, &r) == DINOMO_OK) fwrite(r.value, 1, r.value_bytes, stdout);
 *   dinomo_close(c);
 *
 * A client finds the owner of each key by itself, packs requests that are flushed together into few
 * datagrams, and repeats what stays unanswered until the deadline. A repeated mutation keeps its
 * number, by which the servers know it, so that it is carried out once (doc/protocol.md).
 *
 * Blocking calls:      dinomo_get ... dinomo_stats, dinomo_call, dinomo_call_many
 * Asynchronous calls:  dinomo_submit for each operation, one dinomo_flush for all of them, then
 *                      dinomo_poll, which calls their callbacks. An operation without a callback
 *                      leaves its result in a queue instead: dinomo_next, paired by `tag`
 *
 * Order: operations in flight at the same time have no order between them, also on one key.
 * Threads: a client is used by one thread at a time; different clients have nothing in common.
 *          After fork() only the parent may use it. Signals do no harm.
 * Bounds: at most in_flight_max operations are in flight or in the queue; each ends within
 *          deadline_ms. Memory is taken by dinomo_open and by values larger than any before.
 *          If memory runs out, the process is ended.
 * Numbers are in host order. Keys and values are bytes; nothing is NUL-terminated.
 *
 * ABI: structs are frozen for a soname. Fields named `reserved` and fields of inputs that are not
 * set must be 0, so zero a struct before filling it; 0 means the default everywhere.
 */
#ifndef DINOMO_DINOMO_H
#define DINOMO_DINOMO_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define DINOMO_EXPORT __attribute__((visibility("default")))
#else
#define DINOMO_EXPORT
#endif

/* In C++ an enum of fixed type may hold numbers that it does not name, as in C. */
#ifdef __cplusplus
#define DINOMO_ENUM_BASE : unsigned
extern "C" {
#else
#define DINOMO_ENUM_BASE
#endif

#define DINOMO_KEY_BYTES_MAX 250
#define DINOMO_VALUE_BYTES_MAX 61440
#define DINOMO_DEFAULT_PORT 11300

/* ---- outcomes ---- */

/* How an operation ended. Up to 127: what a server answered, with the numbers of the protocol; a
 * number that this header does not know may come from a newer server. From 128: what this library
 * had to conclude by itself. */
typedef enum dinomo_status DINOMO_ENUM_BASE {
  DINOMO_OK = 0,
  DINOMO_NOT_FOUND = 1,  /* no such key, or it has expired */
  DINOMO_EXISTS = 2,     /* ADD: there is an item; CAS: it has another version */
  DINOMO_NOT_STORED = 3, /* REPLACE, APPEND, PREPEND: there is no item */
  DINOMO_NOT_NUMBER = 4, /* INCR, DECR: the value is no decimal number */

  DINOMO_BAD_REQUEST = 32,
  DINOMO_TOO_LARGE = 33, /* key, value or result over the limit */
  DINOMO_UNSUPPORTED = 34,
  DINOMO_BAD_VERSION = 35, /* server and library speak different protocol versions */

  DINOMO_NO_SPACE = 68, /* the pool is full; reads and deletes go on */
  DINOMO_INTERNAL = 96, /* a fault of the server, logged there */

  /* A mutation that ends with one of the next four may or may not have been carried out, unless
   * result.transmissions is 0. */
  DINOMO_TIMEOUT = 128,         /* no answer within the deadline */
  DINOMO_UNREACHABLE = 129,     /* likewise, and nobody listens at the address */
  DINOMO_OUTCOME_UNKNOWN = 130, /* the servers forgot what became of a repeated mutation */
  DINOMO_CLOSED = 131,          /* dinomo_close was called while it was in flight */

  DINOMO_FULL = 140,         /* in_flight_max reached; poll (or fetch results), then try again */
  DINOMO_INVALID = 141,      /* an argument is wrong; nothing was sent */
  DINOMO_UNKNOWN_HOST = 142, /* dinomo_open: a name that cannot be resolved */
  DINOMO_NO_RESOURCE = 143   /* dinomo_open: no socket, or no route to any server */
} dinomo_status;

/* Lower-case word for logs, and a sentence for people; never NULL. */
DINOMO_EXPORT const char* dinomo_status_name(dinomo_status status);
DINOMO_EXPORT const char* dinomo_status_text(dinomo_status status);

/* Release of the library, "0.1.0". */
DINOMO_EXPORT const char* dinomo_version(void);

/* ---- a client ---- */

typedef struct dinomo_client dinomo_client;

typedef struct dinomo_options { /* 0: the default in brackets */
  uint32_t in_flight_max;       /* operations, 1..65000 [1024] */
  uint32_t deadline_ms;         /* an operation unanswered for so long is given up [5000] */
  uint32_t mutation_window;     /* mutations in flight to ask of the servers [4096] */
  uint32_t pack_max;            /* requests in a datagram [as many as fit] */
  uint32_t socket_buffer_bytes; /* receive buffer to ask the kernel for [4 MiB] */
  uint32_t retry_min_ms;        /* no time-out is shorter [20] */
  uint32_t retry_max_ms;        /* nor longer [1000] */
  uint32_t reserved[9];
} dinomo_options;

/* `servers`: KNs to begin with, "host[:port],..."; the others come with the ring. NULL: the
 * environment's DINOMO_SERVER, else 127.0.0.1:11300. `options` may be NULL. Resolves names, which
 * may block; sends nothing. On failure *out is NULL and dinomo_open_error() says what is wrong. */
DINOMO_EXPORT dinomo_status dinomo_open(const char* servers, const dinomo_options* options,
                                        dinomo_client** out);

/* The message of the calling thread's last dinomo_open that failed; "" if none did. */
DINOMO_EXPORT const char* dinomo_open_error(void);

/* What is in flight ends with DINOMO_CLOSED (callbacks are called). NULL is allowed. Not from a
 * callback. */
DINOMO_EXPORT void dinomo_close(dinomo_client* client);

/* Fetches session and ring now, which the first operation does otherwise. Blocks. */
DINOMO_EXPORT dinomo_status dinomo_connect(dinomo_client* client);

/* ---- operations ---- */

/* What an operation uses beside its key, and what its result has on DINOMO_OK:
 *
 *   PING                                      asks a KN (kn_slot)
 *   STATS                                     value: a KN's counters as JSON (kn_slot)
 *   GET                                       value, version, expiry, item_flags
 *   PUT ADD REPLACE    value, ttl_ms, item_flags           version
 *   CAS                value, ttl_ms, item_flags, version  version
 *   APPEND PREPEND     value                               version; flags and expiry stay
 *   DELETE
 *   INCR               delta; create, initial, ttl_ms      number, version; on 0 after 2^64 - 1
 *   DECR               likewise                            likewise; ends at 0
 *   TOUCH              ttl_ms                              version
 *   GET_AND_TOUCH      ttl_ms                              as GET
 *
 * Each that stores something makes a new version, TOUCH too. */
typedef enum dinomo_opcode DINOMO_ENUM_BASE {
  DINOMO_PING = 2,
  DINOMO_STATS = 4,
  DINOMO_GET = 16,
  DINOMO_PUT = 32,
  DINOMO_DELETE = 33,
  DINOMO_ADD = 34,
  DINOMO_REPLACE = 35,
  DINOMO_CAS = 36,
  DINOMO_APPEND = 37,
  DINOMO_PREPEND = 38,
  DINOMO_INCR = 39,
  DINOMO_DECR = 40,
  DINOMO_TOUCH = 41,
  DINOMO_GET_AND_TOUCH = 42
} dinomo_opcode;

typedef struct dinomo_result {
  dinomo_status status;
  dinomo_opcode opcode;
  const void* value; /* how long it stays valid is said where the result comes from */
  size_t value_bytes;
  uint64_t version;        /* item version: what CAS compares; 0 if there is none to tell */
  uint64_t expiry_unix_ms; /* item: from when it is absent; 0 never */
  uint64_t number;         /* INCR, DECR: the new number */
  uint32_t item_flags;     /* item: opaque, as stored */
  uint32_t transmissions;  /* how often the request was sent */
  uint64_t latency_ns;     /* since the first transmission */
  uint64_t tag;            /* the operation's */
  uint64_t reserved[4];
} dinomo_result;

/* Called from dinomo_poll, from the blocking calls and from dinomo_close. `result` and its value
 * are valid only meanwhile. May call dinomo_submit, and nothing else on this client. Must return
 * normally: no longjmp, no exception. */
typedef void (*dinomo_callback)(void* context, const dinomo_result* result);

typedef struct dinomo_operation {
  dinomo_opcode opcode;
  uint32_t item_flags; /* opaque, stored with the item */
  const void* key;     /* 1..250 bytes; none for PING and STATS */
  size_t key_bytes;
  const void* value; /* 0..61440 bytes */
  size_t value_bytes;
  uint64_t ttl_ms;          /* from now; 0 never expires */
  uint64_t version;         /* CAS: that the item must have */
  uint64_t delta;           /* INCR, DECR */
  uint64_t initial;         /* INCR, DECR with create: the number if there is no item */
  uint32_t create;          /* INCR, DECR: 1 makes the item if there is none */
  uint16_t kn_slot;         /* PING, STATS: the KN to ask, if to_kn_slot is 1; else any */
  uint16_t to_kn_slot;      /* 0 or 1 */
  dinomo_callback callback; /* NULL: the result goes to the queue of dinomo_next */
  void* context;
  uint64_t tag; /* comes back in the result */
  uint64_t reserved[4];
} dinomo_operation;

/* ---- asynchronous calls ---- */

/* Copies the operation, key and value included, and queues it; nothing is sent yet. DINOMO_OK: it
 * will have a result. DINOMO_FULL, DINOMO_INVALID, DINOMO_TOO_LARGE: it will not. */
DINOMO_EXPORT dinomo_status dinomo_submit(dinomo_client* client, const dinomo_operation* operation);

/* Sends what is queued. One flush for many operations is what makes a client fast. */
DINOMO_EXPORT void dinomo_flush(dinomo_client* client);

/* Flushes, receives, repeats what is due, calls callbacks. If nothing has ended so far, sleeps for
 * up to `timeout_ms` (-1: no limit; 0: not at all) until something does or nothing is in flight.
 * Returns how many operations ended. */
DINOMO_EXPORT uint32_t dinomo_poll(dinomo_client* client, int timeout_ms);

/* Takes the oldest result of an operation without callback; 0 if there is none, else 1. Its value
 * stays valid until the next dinomo_next. */
DINOMO_EXPORT int dinomo_next(dinomo_client* client, dinomo_result* result);

/* Operations submitted that have not ended, or whose results are still in the queue. */
DINOMO_EXPORT uint32_t dinomo_in_flight(const dinomo_client* client);

/* For event loops: a descriptor that polls readable when datagrams are there (level-triggered; do
 * not read from it), and how long no timer is due. Call dinomo_poll(client, 0) after either. */
DINOMO_EXPORT int dinomo_fd(const dinomo_client* client);
DINOMO_EXPORT uint64_t dinomo_idle_ns(const dinomo_client* client, uint64_t limit_ns);

/* ---- blocking calls ----
 * Each submits, flushes and polls until its own operations have ended, at most deadline_ms; the
 * callbacks of others are called meanwhile. They return the result's status; DINOMO_INVALID if
 * called from a callback. `result` may be NULL; result->value stays valid until the next blocking
 * call. Callback and context of operations are not used. */

DINOMO_EXPORT dinomo_status dinomo_call(dinomo_client* client, const dinomo_operation* operation,
                                        dinomo_result* result);

/* Any operations in one go: a multi-get, or a mixed batch. There is no order among them. `results`
 * has `count` places, or is NULL. Returns DINOMO_OK if all ended so, else the first other status.
 */
DINOMO_EXPORT dinomo_status dinomo_call_many(dinomo_client* client,
                                             const dinomo_operation* operations, size_t count,
                                             dinomo_result* results);

DINOMO_EXPORT dinomo_status dinomo_get(dinomo_client* client, const void* key, size_t key_bytes,
                                       dinomo_result* result);
DINOMO_EXPORT dinomo_status dinomo_put(dinomo_client* client, const void* key, size_t key_bytes,
                                       const void* value, size_t value_bytes, uint64_t ttl_ms,
                                       uint32_t item_flags, dinomo_result* result);
DINOMO_EXPORT dinomo_status dinomo_add(dinomo_client* client, const void* key, size_t key_bytes,
                                       const void* value, size_t value_bytes, uint64_t ttl_ms,
                                       uint32_t item_flags, dinomo_result* result);
DINOMO_EXPORT dinomo_status dinomo_replace(dinomo_client* client, const void* key, size_t key_bytes,
                                           const void* value, size_t value_bytes, uint64_t ttl_ms,
                                           uint32_t item_flags, dinomo_result* result);
DINOMO_EXPORT dinomo_status dinomo_cas(dinomo_client* client, const void* key, size_t key_bytes,
                                       uint64_t version, const void* value, size_t value_bytes,
                                       uint64_t ttl_ms, uint32_t item_flags, dinomo_result* result);
DINOMO_EXPORT dinomo_status dinomo_append(dinomo_client* client, const void* key, size_t key_bytes,
                                          const void* value, size_t value_bytes,
                                          dinomo_result* result);
DINOMO_EXPORT dinomo_status dinomo_prepend(dinomo_client* client, const void* key, size_t key_bytes,
                                           const void* value, size_t value_bytes,
                                           dinomo_result* result);
DINOMO_EXPORT dinomo_status dinomo_delete(dinomo_client* client, const void* key, size_t key_bytes,
                                          dinomo_result* result);
/* The item has to exist; with dinomo_call it can be made. */
DINOMO_EXPORT dinomo_status dinomo_incr(dinomo_client* client, const void* key, size_t key_bytes,
                                        uint64_t delta, dinomo_result* result);
DINOMO_EXPORT dinomo_status dinomo_decr(dinomo_client* client, const void* key, size_t key_bytes,
                                        uint64_t delta, dinomo_result* result);
DINOMO_EXPORT dinomo_status dinomo_touch(dinomo_client* client, const void* key, size_t key_bytes,
                                         uint64_t ttl_ms, dinomo_result* result);
DINOMO_EXPORT dinomo_status dinomo_get_and_touch(dinomo_client* client, const void* key,
                                                 size_t key_bytes, uint64_t ttl_ms,
                                                 dinomo_result* result);
DINOMO_EXPORT dinomo_status dinomo_ping(dinomo_client* client, dinomo_result* result);
DINOMO_EXPORT dinomo_status dinomo_stats(dinomo_client* client, dinomo_result* result);

/* ---- looking around ---- */

typedef struct dinomo_kn {
  uint16_t kn_slot;
  uint16_t workers;
  uint16_t udp_port_base; /* worker w listens on udp_port_base + w */
  uint16_t state;
  uint32_t partitions; /* that it owns, of 4096 */
  char address[60];    /* "10.0.0.1:11300" of worker 0, NUL-terminated */
} dinomo_kn;

/* The ring as the client knows it: its version, 0 before the first has come (dinomo_connect), and
 * its KNs, of which up to `max` are copied to `out`. Returns how many there are. */
DINOMO_EXPORT uint32_t dinomo_ring_version(const dinomo_client* client);
DINOMO_EXPORT size_t dinomo_kns(const dinomo_client* client, dinomo_kn* out, size_t max);

/* Counters of the library, by index from 0: the name, NULL past the end, and the value. */
DINOMO_EXPORT const char* dinomo_counter_name(size_t index);
DINOMO_EXPORT uint64_t dinomo_counter(const dinomo_client* client, size_t index);

#ifdef __cplusplus
}
#endif

#endif
