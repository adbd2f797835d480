// SPDX-License-Identifier: BSD-3-Clause
// What a baseline engine does for clients, and what it tells of each operation.
//
// A KN thread has one Session for each operation that it can have under way. Sessions are driven by
// drive() below, which is a closed loop: the next operation begins when the last one has ended, so
// that KNs are never without work and what is measured is the most that they can do.
// Thread rule: the event loop's.
#pragma once

#include <array>
#include <cstdint>
#include <numeric>

#include "app/dinomo-eval/machine.h"
#include "common/status.h"

namespace dinomo::eval {

/// How an operation was answered. `kFresh` and `kStale`: of engines that keep pointers only.
enum class Answer : uint8_t {
  kFresh,  // GET by a pointer that was right
  kStale,  // GET by one that was not: a walk
  kCold,   // GET without a pointer: somebody else had to be asked
  kPut,
};
inline constexpr size_t kAnswers = 4;

struct Operation {
  bool put = false;
  uint64_t key = 0;
  uint64_t value = 0;  // PUT: to be stored; GET: what was found. 0: none
  uint64_t invoke_ns = 0;
  // The reply.
  Status status = Status::kOk;
  Answer answer = Answer::kFresh;
  uint32_t round_trips = 0;  // dependent ones, one-sided
  uint32_t calls = 0;        // to another server's CPU
};

class Session {
 public:
  virtual ~Session() = default;
  virtual SimThread& thread() noexcept = 0;
  /// Fills the reply in. kOk; kNotFound; anything else: the engine gave up.
  virtual Step get(Operation* operation) = 0;
  virtual Step put(Operation* operation) = 0;
};

/// Where operations come from and go to.
class Source {
 public:
  virtual ~Source() = default;
  /// False: none now. A Session's loop ends then, a client asks again.
  virtual bool next(Operation* operation) = 0;
  virtual void done(const Operation& operation) = 0;
};

/// Operations of `source`, one after another. Both outlive it.
inline Step drive(Session* session, Source* source) {
  Operation operation;
  while (source->next(&operation)) {
    operation.invoke_ns = session->thread().now_ns();
    if (operation.put) {
      co_await session->put(&operation);
    } else {
      co_await session->get(&operation);
    }
    source->done(operation);
    operation = Operation{};
  }
}

struct Tally {
  uint64_t operations = 0;
  uint64_t failed = 0;
  uint64_t calls = 0;
  std::array<uint64_t, kAnswers> answers{};
  std::array<uint64_t, kAnswers> round_trips{};  // of these

  void add(const Operation& o) noexcept {
    ++operations;
    failed += o.status == Status::kOk ? 0 : 1;
    calls += o.calls;
    ++answers[static_cast<size_t>(o.answer)];
    round_trips[static_cast<size_t>(o.answer)] += o.round_trips;
  }
  uint64_t answered(Answer a) const noexcept { return answers[static_cast<size_t>(a)]; }
  uint64_t round_trips_of(Answer a) const noexcept { return round_trips[static_cast<size_t>(a)]; }
  uint64_t round_trips_of_all() const noexcept {
    return std::accumulate(round_trips.begin(), round_trips.end(), uint64_t{0});
  }
};

}  // namespace dinomo::eval
