// SPDX-License-Identifier: BSD-3-Clause
// Compiled and run when the build is configured: exits 0 only if this compiler has C++23's
// std::expected and translates the coroutine spellings that g++ 12.2 gets wrong at every
// optimisation level (a condition on an awaited value in a coroutine without locals falls into
// ud2; captures inside an awaited expression are destroyed twice).
#include <coroutine>
#include <cstdio>
#include <cstdlib>
#include <expected>
#include <string>
#include <utility>

namespace {

struct Task {
  struct promise_type {
    int value = 0;
    Task get_return_object() {
      return Task{std::coroutine_handle<promise_type>::from_promise(*this)};
    }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
    void return_value(int v) noexcept { value = v; }
    void unhandled_exception() noexcept { std::abort(); }
  };
  std::coroutine_handle<promise_type> handle;
};

std::coroutine_handle<> g_parked;

struct Wait {
  int value;
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> h) noexcept { g_parked = h; }
  int await_resume() const noexcept { return value; }
};

Task condition_without_locals(int v) {
  if (co_await Wait{v}) co_return 1;
  co_return 2;
}

Task switch_without_locals(int v) {
  switch (co_await Wait{v}) {
    case 0: co_return 10;
    case 1: co_return 11;
    default: co_return 12;
  }
}

Task loop_without_locals() {
  for (;;) {
    if (co_await Wait{1}) co_return 3;
  }
}

int g_live = 0;
struct Tracked {
  std::string text;
  explicit Tracked(const char* t) : text(t) { ++g_live; }
  Tracked(const Tracked& o) : text(o.text) { ++g_live; }
  Tracked(Tracked&& o) noexcept : text(std::move(o.text)) { ++g_live; }
  ~Tracked() { --g_live; }
};
struct Holder {
  Tracked tracked;
};

Wait take(Holder h) { return Wait{static_cast<int>(h.tracked.text.size())}; }

template <class F>
Wait call(F f) {
  return Wait{f()};
}

Task temporaries() {
  const int a = co_await take(Holder{Tracked("a string longer than the small buffer")});
  Tracked t("another string longer than the small buffer");
  const int b = co_await call([t] { return static_cast<int>(t.text.size()); });
  co_return a + b;
}

int finish(Task t) {
  while (!t.handle.done()) std::exchange(g_parked, nullptr).resume();
  const int v = t.handle.promise().value;
  t.handle.destroy();
  return v;
}

std::expected<int, int> positive(int v) {
  if (v > 0) return v;
  return std::unexpected(v);
}

}  // namespace

int main() {
  const bool ok =
      finish(condition_without_locals(1)) == 1 && finish(condition_without_locals(0)) == 2 &&
      finish(switch_without_locals(0)) == 10 && finish(switch_without_locals(1)) == 11 &&
      finish(switch_without_locals(7)) == 12 && finish(loop_without_locals()) == 3 &&
      finish(temporaries()) == 37 + 43 && g_live == 0 && positive(3).has_value() &&
      !positive(-3).has_value();
  std::puts(ok ? "coroutine probe passed" : "coroutine probe failed");
  return ok ? 0 : 1;
}
