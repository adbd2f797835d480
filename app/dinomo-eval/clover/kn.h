// SPDX-License-Identifier: BSD-3-Clause
// A KN of Clover: any key, through pointers that it remembers.
//
//   GET   reads the buffer that the pointer names and, beside it, the key's shortcut: 1 round trip
//         if the pointer is right; otherwise it walks from where the shortcut leads
//   PUT   writes a buffer of its own (1), swaps it in behind the newest version (1); if that was
//         not the newest any more: finds it as GET does, and swaps again
//
// Shortcuts are brought up to date by the KN's GC thread, some time later, and so does the MS hear
// of new versions. The pointers of a KN are never bounded here: Cluster refuses more keys than
// Clover's cache has room for.
// Thread rule: the event loop's.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "app/dinomo-eval/clover/layout.h"
#include "app/dinomo-eval/engine.h"
#include "fabric/driver.h"

namespace dinomo::eval::clover {

struct KnCosts {
  uint64_t get_ns = 0;  // receiving a request, finding the pointer, checking, replying
  uint64_t put_ns = 0;
  uint64_t verb_ns = 0;        // each one-sided operation more: posting it, taking its completion
  uint64_t idle_sleep_ns = 0;  // of a thread that calls usleep(10)
};

struct KnSize {
  uint32_t threads = 8;
  uint32_t coroutines = 1;  // of a thread: operations under way
  uint32_t gc_threads = 1;

  uint32_t sessions() const noexcept { return threads * coroutines; }
  uint32_t callers() const noexcept { return sessions() + gc_threads; }
};

class Kn;

/// One coroutine's way to the MS: one call at a time.
class Caller {
 public:
  Caller(Kn* kn, SimThread* thread, uint32_t number);

  /// Sends `request`, waits for `reply`. The fields that say who calls are filled in.
  Step call();
  void answered(Bytes wire);

  Request request{};
  Reply reply{};

 private:
  Kn* kn_;
  SimThread* thread_;
  std::unique_ptr<fabric::Queue> queue_;
  Gate gate_;
  std::array<std::byte, kGcCallBytes> wire_{};
};

class Kn {
 public:
  Kn(sim::EventLoop* loop, uint32_t number, const Layout& layout, const KnSize& size,
     const KnCosts& costs);
  ~Kn();
  Kn(const Kn&) = delete;
  Kn& operator=(const Kn&) = delete;

  static std::string address(uint32_t number) { return "clover-kn" + std::to_string(number); }
  /// After the memory node and the MS listen: opens the ways to them, starts the GC threads.
  void start();
  const std::vector<std::unique_ptr<Session>>& sessions() const noexcept { return sessions_; }
  /// As if this KN had inserted `key`.
  void remember(uint64_t key, Pointer pointer) { pointers_[key] = pointer; }
  uint64_t gc_backlog() const noexcept { return written_.size(); }
  /// Buffers that its threads may write into.
  uint64_t free_buffers() const noexcept;
  const fabric::QueueCounters& verbs(uint32_t thread) const noexcept;
  uint64_t busy_ns() const noexcept;

 private:
  friend class Caller;
  friend class KnSession;

  struct Thread {
    explicit Thread(sim::EventLoop* loop) : cpu(loop) {}
    SimThread cpu;
    std::unique_ptr<fabric::Queue> queue;  // to the memory node
    std::deque<Pointer> free;              // buffers to write into
    std::unique_ptr<Caller> gc_caller;     // of a GC thread
  };

  Step collect(Thread* gc);
  Step write_shortcuts(Thread* gc, const Request& batch);

  const Layout layout_;
  const KnSize size_;
  const KnCosts costs_;
  sim::EventLoop* loop_;
  const uint32_t number_;
  std::vector<std::byte> replies_;
  std::unique_ptr<fabric::Target> target_;
  std::vector<Pointer> pointers_;
  std::unique_ptr<fabric::Fabric> to_memory_;
  std::unique_ptr<fabric::Fabric> to_ms_;
  std::vector<std::unique_ptr<Thread>> threads_;
  std::vector<std::unique_ptr<Thread>> gc_threads_;
  std::vector<Caller*> callers_;
  std::vector<std::unique_ptr<Session>> sessions_;
  std::deque<GcEntry> written_;  // for the GC threads; nothing bounds it
  std::vector<Step> steps_;      // last: end before what they use
};

}  // namespace dinomo::eval::clover
