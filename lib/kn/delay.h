// SPDX-License-Identifier: BSD-3-Clause
// Coroutines that wait for a later turn: `co_await delays.until(at_ns);`
// The owner resumes them from its own turn; nothing here reads a clock.
#pragma once

#include <coroutine>
#include <cstdint>

namespace dinomo::kn {

class DelayList {
 public:
  class [[nodiscard]] Awaiter {
   public:
    Awaiter(DelayList& list, uint64_t at_ns) noexcept : list_(list), at_ns_(at_ns) {}
    Awaiter(const Awaiter&) = delete;
    Awaiter& operator=(const Awaiter&) = delete;

    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> handle) noexcept {
      handle_ = handle;
      next_ = list_.first_;
      list_.first_ = this;
    }
    void await_resume() const noexcept {}

   private:
    friend class DelayList;
    DelayList& list_;
    uint64_t at_ns_;
    std::coroutine_handle<> handle_;
    Awaiter* next_ = nullptr;
  };

  Awaiter until(uint64_t at_ns) noexcept { return Awaiter(*this, at_ns); }
  bool empty() const noexcept { return first_ == nullptr; }

  /// Resumes what is due, or everything if `all`. Each is taken off before it runs, so it may wait
  /// again without being resumed twice in one turn. Returns how many ran.
  uint32_t resume(uint64_t now_ns, bool all) noexcept {
    Awaiter* due = nullptr;
    for (Awaiter** link = &first_; *link != nullptr;) {
      Awaiter* a = *link;
      if (!all && a->at_ns_ > now_ns) {
        link = &a->next_;
        continue;
      }
      *link = a->next_;
      a->next_ = due;
      due = a;
    }
    uint32_t resumed = 0;
    while (due != nullptr) {
      Awaiter* a = due;
      due = a->next_;
      a->handle_.resume();
      ++resumed;
    }
    return resumed;
  }

 private:
  Awaiter* first_ = nullptr;
};

}  // namespace dinomo::kn
