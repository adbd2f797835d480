// SPDX-License-Identifier: BSD-3-Clause
// oneTBB behind function pointers. Everything of TBB's is in arena.cc, which is compiled without
// ThreadSanitizer: Debian's libtbb is not instrumented, so its tasks would look like races. What
// our tasks do is checked; their hand-over is ordered by atomics of our own.
//
// Thread rule: run_everywhere() by one thread at a time, enqueue() by any.
#pragma once

#include <cstdint>
#include <memory>

namespace dinomo::dpm {

class Arena {
 public:
  using Task = void (*)(void* object, void* argument);

  explicit Arena(uint32_t workers);
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  /// Runs task(object, argument) once on some worker, in order of enqueueing as far as workers go.
  void enqueue(Task task, void* object, void* argument);

  /// Runs it on the calling thread and, as far as there are any free, on the workers; waits for
  /// all.
  void run_everywhere(Task task, void* object, void* argument);

 private:
  struct Tbb;
  std::unique_ptr<Tbb> tbb_;
  uint32_t workers_;
};

}  // namespace dinomo::dpm
