// SPDX-License-Identifier: BSD-3-Clause
#include "app/common/crash_dump.h"

#include <execinfo.h>
#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <csignal>

#include "app/common/build_info.h"

namespace dinomo::app {

namespace {

constexpr int kSignals[] = {SIGSEGV, SIGBUS, SIGABRT, SIGILL, SIGFPE};
constexpr int kStackDepth = 64;

const char* g_program = "";
void (*g_under_way)(CrashWriter& to) noexcept = nullptr;
std::atomic<bool> g_crashing{false};

const char* signal_name(int signal) noexcept {
  switch (signal) {
    case SIGSEGV: return "SIGSEGV";
    case SIGBUS: return "SIGBUS";
    case SIGABRT: return "SIGABRT";
    case SIGILL: return "SIGILL";
    case SIGFPE: return "SIGFPE";
    default: return "signal";
  }
}

void on_crash(int signal, siginfo_t* info, void*) {
  // A second thread that crashes meanwhile, or the dump itself: as without us.
  if (!g_crashing.exchange(true)) {
    CrashWriter out;
    char thread[16] = {};
    pthread_getname_np(pthread_self(), thread, sizeof thread);
    out.text("crash: ").text(g_program).text(" ").text(build_info().version);
    out.text(" (").text(build_info().text).text("), pid ").number(static_cast<uint64_t>(getpid()));
    out.end_line();
    out.text("crash: ").text(signal_name(signal)).text(" at ");
    out.hex(reinterpret_cast<uintptr_t>(info->si_addr)).text(" in thread ").text(thread);
    out.end_line();
    if (g_under_way != nullptr) g_under_way(out);
    out.text("crash: stack");
    out.end_line();
    void* stack[kStackDepth];
    backtrace_symbols_fd(stack, backtrace(stack, kStackDepth), STDERR_FILENO);
    out.text("crash: end");
    out.end_line();
  }
  std::signal(signal, SIG_DFL);
  raise(signal);
}

}  // namespace

void CrashWriter::put(char c) noexcept {
  if (used_ < kLineBytes - 1) line_[used_++] = c;
}

CrashWriter& CrashWriter::text(const char* s) noexcept {
  for (; *s != 0; ++s) put(*s);
  return *this;
}

CrashWriter& CrashWriter::number(uint64_t n) noexcept {
  char digits[20];
  size_t count = 0;
  do {
    digits[count++] = static_cast<char>('0' + n % 10);
    n /= 10;
  } while (n != 0);
  while (count != 0) put(digits[--count]);
  return *this;
}

CrashWriter& CrashWriter::hex(uint64_t n) noexcept {
  text("0x");
  int shift = 60;
  while (shift > 0 && n >> shift == 0) shift -= 4;
  for (; shift >= 0; shift -= 4) put("0123456789abcdef"[n >> shift & 15]);
  return *this;
}

void CrashWriter::end_line() noexcept {
  line_[used_++] = '\n';
  size_t done = 0;
  while (done < used_) {
    const ssize_t n = write(STDERR_FILENO, line_ + done, used_ - done);
    if (n <= 0) break;
    done += static_cast<size_t>(n);
  }
  used_ = 0;
}

void install_crash_dump(const char* program, void (*what_is_under_way)(CrashWriter& to) noexcept) {
  g_program = program;
  g_under_way = what_is_under_way;
  // The first backtrace() loads a library, which a signal handler may not.
  void* once[1];
  backtrace(once, 1);
  struct sigaction action{};
  action.sa_sigaction = on_crash;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  for (const int signal : kSignals) sigaction(signal, &action, nullptr);
}

}  // namespace dinomo::app
