// SPDX-License-Identifier: BSD-3-Clause
// Virtual time: events in order of their time, and of their making where times are equal. Nothing
// else moves the clock, so a run is a function of its seed.
//
// A handler is known by an id; events of a handler that was removed are dropped, which is how a
// node that crashed hears no more of what it had planned.
// Thread rule: one thread. Cost: O(log n) an event, no allocation after warm-up.
#pragma once

#include <cstdint>
#include <queue>
#include <vector>

namespace dinomo::sim {

class Handler {
 public:
  virtual ~Handler() = default;
  virtual void on_event(uint64_t argument) = 0;
};

class EventLoop {
 public:
  struct HandlerId {
    uint32_t slot = 0;
    uint32_t generation = 0;  // 0: of no handler
  };

  HandlerId add(Handler* handler);
  void remove(HandlerId id) noexcept;

  uint64_t now_ns() const noexcept { return now_ns_; }
  /// `at_ns` in the past means now.
  void at(uint64_t at_ns, HandlerId id, uint64_t argument);

  /// One event; false if there is none until `limit_ns`, which is then the time.
  bool step(uint64_t limit_ns);
  void run_until(uint64_t limit_ns) {
    while (step(limit_ns)) {
    }
  }

  uint64_t events() const noexcept { return events_; }
  /// Of everything that happened, in order; add what is worth comparing between two runs.
  uint64_t trace_hash() const noexcept { return trace_; }
  void add_to_trace(uint64_t value) noexcept {
    trace_ = (trace_ ^ value) * 0x9e37'79b9'7f4a'7c15u;
    trace_ ^= trace_ >> 32;
  }

 private:
  struct Event {
    uint64_t at_ns;
    uint64_t order;
    uint64_t argument;
    HandlerId id;
    bool operator>(const Event& other) const noexcept {
      return at_ns != other.at_ns ? at_ns > other.at_ns : order > other.order;
    }
  };
  struct Slot {
    Handler* handler = nullptr;
    uint32_t generation = 1;
  };

  std::priority_queue<Event, std::vector<Event>, std::greater<>> queue_;
  std::vector<Slot> slots_;
  std::vector<uint32_t> free_;
  uint64_t now_ns_ = 0;
  uint64_t order_ = 0;
  uint64_t events_ = 0;
  uint64_t trace_ = 1;
};

/// A handler's wish to run, at most one event outstanding: asking for an earlier time moves it.
class Timer {
 public:
  Timer(EventLoop* loop, Handler* handler) : loop_(loop), id_(loop->add(handler)) {}
  ~Timer() { loop_->remove(id_); }
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  /// Runs the handler at `at_ns` or earlier, if an earlier time was asked for.
  void arm(uint64_t at_ns) {
    if (at_ns >= armed_ns_) return;
    armed_ns_ = at_ns;
    loop_->at(at_ns, id_, ++generation_);
  }
  /// First thing in on_event: false for an event that was overtaken by an earlier one.
  bool fired(uint64_t argument) noexcept {
    if (argument != generation_) return false;
    armed_ns_ = ~uint64_t{0};
    return true;
  }

 private:
  EventLoop* loop_;
  EventLoop::HandlerId id_;
  uint64_t armed_ns_ = ~uint64_t{0};
  uint64_t generation_ = 0;
};

}  // namespace dinomo::sim
