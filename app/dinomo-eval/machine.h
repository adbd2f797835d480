// SPDX-License-Identifier: BSD-3-Clause
// What a baseline engine runs on: threads whose CPU time is charged, coroutines, one-sided verbs.
//
// An engine is written as coroutines over fabric::Queue, as the product's are. What it computes
// takes no time by itself: spend() says what it would take, and the thread is busy for so long.
// Nothing here knows of the simulated fabric but SimThread::wake, by which it says that a
// completion is ready.
// Thread rule: the event loop's.
#pragma once

#include <algorithm>
#include <coroutine>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <utility>
#include <vector>

#include "fabric/fabric.h"
#include "kn/task.h"
#include "sim/event_loop.h"
#include "sim/waker.h"

namespace dinomo::eval {

/// A coroutine that another one awaits, or that its owner starts. Ends before who awaits it goes
/// on; destroyed with its frame, wherever it stands.
class [[nodiscard]] Step {
 public:
  struct promise_type {
    std::coroutine_handle<> after = std::noop_coroutine();

    Step get_return_object() {
      return Step(std::coroutine_handle<promise_type>::from_promise(*this));
    }
    std::suspend_always initial_suspend() noexcept { return {}; }
    struct Final {
      bool await_ready() const noexcept { return false; }
      std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> h) const noexcept {
        return h.promise().after;
      }
      void await_resume() const noexcept {}
    };
    Final final_suspend() noexcept { return {}; }
    void return_void() noexcept {}
    void unhandled_exception() noexcept { std::abort(); }
  };

  Step(Step&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Step& operator=(Step&&) = delete;
  ~Step() {
    if (handle_) handle_.destroy();
  }

  void start() { handle_.resume(); }

  bool await_ready() const noexcept { return false; }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> after) noexcept {
    handle_.promise().after = after;
    return handle_;
  }
  void await_resume() const noexcept {}

 private:
  explicit Step(std::coroutine_handle<promise_type> handle) : handle_(handle) {}
  std::coroutine_handle<promise_type> handle_;
};

/// Coroutines that wait for something; whoever brings it resumes one, the longest waiting first.
class Gate {
 public:
  bool empty() const noexcept { return waiting_.empty(); }
  void open_one() {
    if (waiting_.empty()) return;
    const std::coroutine_handle<> first = waiting_.front();
    waiting_.erase(waiting_.begin());
    first.resume();
  }

  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> handle) { waiting_.push_back(handle); }
  void await_resume() const noexcept {}

 private:
  std::vector<std::coroutine_handle<>> waiting_;
};

/// One thread of a simulated machine with its CPU: its coroutines take turns, first come first
/// served. Opens queues with itself as the network's actor.
class SimThread final : public sim::Handler, public sim::Waker {
 public:
  explicit SimThread(sim::EventLoop* loop) : loop_(loop), id_(loop->add(this)) {}
  ~SimThread() override { loop_->remove(id_); }
  SimThread(const SimThread&) = delete;
  SimThread& operator=(const SimThread&) = delete;

  /// Polled when a completion is ready. Not owned.
  void add_queue(fabric::Queue* queue) { queues_.push_back(queue); }

  struct [[nodiscard]] Until {
    SimThread* thread;
    uint64_t at_ns;
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> handle) const {
      thread->loop_->at(at_ns, thread->id_, reinterpret_cast<uint64_t>(handle.address()));
    }
    void await_resume() const noexcept {}
  };
  /// Goes on after `ns` of this thread's CPU time, behind what others of it have asked for.
  Until spend(uint64_t ns) {
    free_at_ns_ = std::max(free_at_ns_, loop_->now_ns()) + ns;
    busy_ns_ += ns;
    return {this, free_at_ns_};
  }
  /// Goes on after `ns`, the CPU is free for others.
  Until sleep(uint64_t ns) { return {this, loop_->now_ns() + ns}; }

  uint64_t now_ns() const noexcept { return loop_->now_ns(); }
  uint64_t busy_ns() const noexcept { return busy_ns_; }

  void wake() override {
    for (fabric::Queue* q : queues_) q->poll(UINT32_MAX);
  }
  void on_event(uint64_t argument) override {
    // NOLINTNEXTLINE(performance-no-int-to-ptr): an address is what comes
    std::coroutine_handle<>::from_address(reinterpret_cast<void*>(argument)).resume();
  }

 private:
  sim::EventLoop* loop_;
  sim::EventLoop::HandlerId id_;
  std::vector<fabric::Queue*> queues_;
  uint64_t free_at_ns_ = 0;
  uint64_t busy_ns_ = 0;
};

// Verbs, posted and rung at once: Status s = co_await read(queue, ...)
// -------------------------------------------------------------------------------------------------

/// For an operation whose end a later one of the same queue tells: queues complete in order.
inline fabric::Completion* nobody() noexcept {
  static fabric::Completion completion{[](fabric::Completion*, Status) noexcept {}};
  return &completion;
}

template <class Post>
auto verb(fabric::Queue& queue, Post post) noexcept {
  return kn::FabricAwaiter([&queue, post](fabric::Completion* c) noexcept {
    const Status status = post(c);
    queue.flush();
    return status;
  });
}

inline auto read(fabric::Queue& queue, uint64_t offset, MutableBytes to) noexcept {
  return verb(queue, [&queue, offset, to](fabric::Completion* c) noexcept {
    return queue.post_read(offset, to, fabric::Purpose::kValue, c);
  });
}

/// Two reads side by side: one round trip.
inline auto read_both(fabric::Queue& queue, uint64_t offset, MutableBytes to, uint64_t offset2,
                      MutableBytes to2) noexcept {
  return verb(queue, [&queue, offset, to, offset2, to2](fabric::Completion* c) noexcept {
    const Status first = queue.post_read(offset, to, fabric::Purpose::kValue, nobody());
    if (first != Status::kInProgress) return first;
    return queue.post_read(offset2, to2, fabric::Purpose::kIndex, c);
  });
}

inline auto write(fabric::Queue& queue, uint64_t offset, Bytes from,
                  fabric::Purpose purpose) noexcept {
  return verb(queue, [&queue, offset, from, purpose](fabric::Completion* c) noexcept {
    return queue.post_write(offset, from, {}, purpose, c);
  });
}

inline auto compare_swap(fabric::Queue& queue, uint64_t offset, uint64_t expected, uint64_t desired,
                         uint64_t* old) noexcept {
  return verb(queue, [&queue, offset, expected, desired, old](fabric::Completion* c) noexcept {
    return queue.post_compare_swap(offset, expected, desired, old, fabric::Purpose::kIndex, c);
  });
}

}  // namespace dinomo::eval
