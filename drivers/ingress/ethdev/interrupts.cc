// SPDX-License-Identifier: BSD-3-Clause
// DPDK 22.11 counts the making of an interrupt handle among its experimental functions.
#define ALLOW_EXPERIMENTAL_API
#include "drivers/ingress/ethdev/interrupts.h"

#include <rte_cycles.h>
#include <rte_interrupts.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>

#include "common/file_descriptor.h"

namespace dinomo::ingress::ethdev {

namespace {

constexpr int kTries = 1000;
constexpr unsigned kPauseUs = 500;

struct Turn {
  FileDescriptor event;
  std::atomic<int> handled{0};
};

void handle(void* argument) {
  auto* const turn = static_cast<Turn*>(argument);
  eventfd_t count = 0;
  if (eventfd_read(turn->event.get(), &count) == 0) ++turn->handled;
}

// Events that became ready together are handled in any order: only a second one is after them all.
void take_two_turns(Turn* turn) {
  for (int n = 1; n <= 2; ++n) {
    if (eventfd_write(turn->event.get(), 1) != 0) return;
    for (int i = 0; i < kTries && turn->handled.load() < n; ++i) rte_delay_us_sleep(kPauseUs);
  }
}

}  // namespace

// An own event and no alarm: EAL keeps the handle of alarms in memory that rte_eal_cleanup() gives
// back while the thread may still look at it.
void wait_for_interrupt_thread() noexcept {
  Turn turn{FileDescriptor(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC))};
  rte_intr_handle* const source = rte_intr_instance_alloc(RTE_INTR_INSTANCE_F_PRIVATE);
  if (source == nullptr) return;
  if (turn.event.get() >= 0 && rte_intr_fd_set(source, turn.event.get()) == 0 &&
      rte_intr_type_set(source, RTE_INTR_HANDLE_EXT) == 0 &&
      rte_intr_callback_register(source, handle, &turn) == 0) {
    take_two_turns(&turn);
    rte_intr_callback_unregister_sync(source, handle, &turn);
  }
  rte_intr_instance_free(source);
}

}  // namespace dinomo::ingress::ethdev
