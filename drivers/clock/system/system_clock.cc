// SPDX-License-Identifier: BSD-3-Clause
#include "drivers/clock/system/system_clock.h"

#include <time.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <x86intrin.h>
#endif

namespace dinomo {

namespace {

constexpr uint64_t kMeasureNs = 10'000'000;

uint64_t clock_ns(clockid_t id) noexcept {
  timespec t{};
  clock_gettime(id, &t);
  return static_cast<uint64_t>(t.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(t.tv_nsec);
}

#if defined(__x86_64__)
uint64_t ticks() noexcept { return __rdtsc(); }

/// CPUID 0x80000007 EDX bit 8: the counter runs at one rate in all power states.
bool invariant_counter() noexcept {
  unsigned a = 0;
  unsigned b = 0;
  unsigned c = 0;
  unsigned d = 0;
  return __get_cpuid(0x8000'0007, &a, &b, &c, &d) != 0 && (d & 1u << 8) != 0;
}
#else
uint64_t ticks() noexcept { return 0; }
bool invariant_counter() noexcept { return false; }
#endif

}  // namespace

SystemClock::SystemClock(bool measure) {
  if (!measure || !invariant_counter()) return;
  origin_ns_ = clock_ns(CLOCK_MONOTONIC);
  origin_ticks_ = ticks();
  uint64_t end_ns = origin_ns_;
  while (end_ns - origin_ns_ < kMeasureNs) end_ns = clock_ns(CLOCK_MONOTONIC);
  const uint64_t passed = ticks() - origin_ticks_;
  if (passed == 0) return;
  __extension__ using Wide = unsigned __int128;
  ns_per_tick_q32_ = static_cast<uint64_t>((Wide{end_ns - origin_ns_} << 32) / passed);
}

uint64_t SystemClock::now_ns() noexcept {
  if (ns_per_tick_q32_ == 0) return clock_ns(CLOCK_MONOTONIC);
  __extension__ using Wide = unsigned __int128;
  return origin_ns_ +
         static_cast<uint64_t>((Wide{ticks() - origin_ticks_} * ns_per_tick_q32_) >> 32);
}

uint64_t SystemClock::unix_ms() noexcept { return clock_ns(CLOCK_REALTIME_COARSE) / 1'000'000; }

}  // namespace dinomo
