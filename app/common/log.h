// SPDX-License-Identifier: BSD-3-Clause
// Logging of the programs: spdlog to stderr, one line a message:
//
//   2026-01-31 12:00:00.123456 warning worker0: port 0: transmit queue full (31 similar suppressed)
//
// Use spdlog::info(...) and friends for what happens once; whatever input or load can repeat goes
// through DINOMO_LOG_LIMITED, also because a message costs microseconds and takes a lock: on a
// worker lcore nothing else is allowed.
#pragma once

#include <spdlog/spdlog.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>

namespace dinomo::app {

class OptionTable;

enum class LogLevel : uint8_t { kDebug, kInfo, kWarning, kError };

struct LogOptions {
  LogLevel level = LogLevel::kInfo;
};

/// Adds log_level to the table.
void add_log_options(OptionTable& table, LogOptions* options);

/// Once, at start-up, before other threads exist.
void start_logging(const LogOptions& options);

/// Another level from now on. Any thread.
void set_log_level(LogLevel level);

/// Name of the calling thread in its messages ("control", "worker0"); at most 15 characters.
void set_log_thread_name(const std::string& name);

/// At most one message a second for one place in the code. Any thread; no lock.
class RateLimit {
 public:
  static constexpr uint64_t kIntervalNs = 1'000'000'000;

  /// True if a message may go out at `now_ns` (monotonic); then *suppressed says how many did not
  /// since the last one.
  bool admit(uint64_t now_ns, uint64_t* suppressed) noexcept {
    uint64_t next = next_ns_.load(std::memory_order_relaxed);
    if (now_ns < next ||
        !next_ns_.compare_exchange_strong(next, now_ns + kIntervalNs, std::memory_order_relaxed)) {
      suppressed_.fetch_add(1, std::memory_order_relaxed);
      return false;
    }
    *suppressed = suppressed_.exchange(0, std::memory_order_relaxed);
    return true;
  }

 private:
  std::atomic<uint64_t> next_ns_{0};
  std::atomic<uint64_t> suppressed_{0};
};

inline uint64_t log_clock_ns() noexcept {
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(
                                   std::chrono::steady_clock::now().time_since_epoch())
                                   .count());
}

/// DINOMO_LOG_LIMITED(warn, "port {}: transmit queue full", port); levels as in spdlog.
#define DINOMO_LOG_LIMITED(level_, format_, ...)                                     \
  do {                                                                               \
    static ::dinomo::app::RateLimit dinomo_limit;                                    \
    uint64_t dinomo_suppressed = 0;                                                  \
    if (dinomo_limit.admit(::dinomo::app::log_clock_ns(), &dinomo_suppressed)) {     \
      if (dinomo_suppressed == 0) {                                                  \
        ::spdlog::log(::spdlog::level::level_, format_ __VA_OPT__(, ) __VA_ARGS__);  \
      } else {                                                                       \
        ::spdlog::log(::spdlog::level::level_,                                       \
                      format_ " ({} similar suppressed)" __VA_OPT__(, ) __VA_ARGS__, \
                      dinomo_suppressed);                                            \
      }                                                                              \
    }                                                                                \
  } while (false)

}  // namespace dinomo::app
