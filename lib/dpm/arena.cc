// SPDX-License-Identifier: BSD-3-Clause
#include "dpm/arena.h"

#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/parallel_for.h>
#include <oneapi/tbb/task_arena.h>

namespace dinomo::dpm {

struct Arena::Tbb {
  // TBB would else make fewer threads than asked for on a small machine.
  explicit Tbb(uint32_t workers)
      : limit(tbb::global_control::max_allowed_parallelism, workers + 1),
        tasks(static_cast<int>(workers), 0),
        everywhere(static_cast<int>(workers), 1) {}
  tbb::global_control limit;
  tbb::task_arena tasks;       // workers only
  tbb::task_arena everywhere;  // with a place for the calling thread
};

Arena::Arena(uint32_t workers) : tbb_(std::make_unique<Tbb>(workers)), workers_(workers) {}
Arena::~Arena() = default;

void Arena::enqueue(Task task, void* object, void* argument) {
  tbb_->tasks.enqueue([=] { task(object, argument); });
}

void Arena::run_everywhere(Task task, void* object, void* argument) {
  tbb_->everywhere.execute([&] {
    tbb::parallel_for(
        uint32_t{0}, workers_, [&](uint32_t) { task(object, argument); },
        tbb::simple_partitioner());
  });
}

}  // namespace dinomo::dpm
