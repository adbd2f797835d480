// SPDX-License-Identifier: BSD-3-Clause
// What a program writes to stderr when it crashes: signal, address, thread, what was under way, and
// the stack. Then it crashes as it would have, so that a core file and the exit status are as ever.
#pragma once

#include <cstddef>
#include <cstdint>

namespace dinomo::app {

/// Writes text from within a signal handler: a buffer, write(2), nothing else.
class CrashWriter {
 public:
  CrashWriter& text(const char* s) noexcept;
  CrashWriter& number(uint64_t n) noexcept;
  CrashWriter& hex(uint64_t n) noexcept;
  void end_line() noexcept;

 private:
  void put(char c) noexcept;

  static constexpr size_t kLineBytes = 256;
  char line_[kLineBytes];
  size_t used_ = 0;
};

/// Calls `what_is_under_way`, if given, in the signal handler: it may only read memory that stays
/// where it is, and write through its argument. Main thread, once.
void install_crash_dump(const char* program, void (*what_is_under_way)(CrashWriter& to) noexcept);

}  // namespace dinomo::app
