// SPDX-License-Identifier: BSD-3-Clause
// The Clock seam: the only way in which engine code learns the time. Drivers: `system` (the
// machine's clocks) and, in tests and in the simulator, clocks that are moved by hand.
//
// Thread rule: any thread. Neither call blocks.
#pragma once

#include <cstdint>

namespace dinomo {

class Clock {
 public:
  virtual ~Clock() = default;

  /// Monotonic nanoseconds since an arbitrary origin; never goes back. Leases, time-outs,
  /// latencies.
  virtual uint64_t now_ns() noexcept = 0;

  /// Milliseconds since 1970-01-01 UTC; may jump. Only for item expiry and time stamps in records.
  virtual uint64_t unix_ms() noexcept = 0;
};

}  // namespace dinomo
