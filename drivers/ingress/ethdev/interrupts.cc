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

// Registered at the first use and for good: to take it away would make the thread look through all
// handles again, those that memif forgets included, while rte_eal_cleanup() unmaps them. (EAL's
// alarms do just that.)
class Turnstile {
 public:
  Turnstile() noexcept : source_(rte_intr_instance_alloc(RTE_INTR_INSTANCE_F_PRIVATE)) {
    registered_ = source_ != nullptr && event_ && rte_intr_fd_set(source_, event_.get()) == 0 &&
                  rte_intr_type_set(source_, RTE_INTR_HANDLE_EXT) == 0 &&
                  rte_intr_callback_register(source_, handle, this) == 0;
  }

  void pass() noexcept {
    const int before = passed_.load();
    if (!registered_ || eventfd_write(event_.get(), 1) != 0) return;
    for (int i = 0; i < kTries && passed_.load() == before; ++i) rte_delay_us_sleep(kPauseUs);
  }

 private:
  static void handle(void* argument) {
    auto* const self = static_cast<Turnstile*>(argument);
    eventfd_t count = 0;
    if (eventfd_read(self->event_.get(), &count) == 0) ++self->passed_;
  }

  FileDescriptor event_{eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
  rte_intr_handle* source_;
  bool registered_ = false;
  std::atomic<int> passed_{0};
};

}  // namespace

void wait_for_interrupt_thread() noexcept {
  static auto* const turnstile = new Turnstile;  // the thread knows it until the process ends
  // Events that became ready together are handled in any order: only a second one is after them
  // all.
  turnstile->pass();
  turnstile->pass();
}

}  // namespace dinomo::ingress::ethdev
