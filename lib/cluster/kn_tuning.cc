// SPDX-License-Identifier: BSD-3-Clause
// The division of the cache memory between the workers of a KN.
#include "cluster/kn_control.h"

namespace dinomo::cluster {

void KnControl::tune_caches() noexcept {
  tune_ns_ = lane_.now_ns + uint64_t{config_.tuner.period_ms} * 1'000'000;
  for (size_t i = 0; i < workers_.size(); ++i) {
    const kn::WorkerStats& s = workers_[i]->stats();
    const uint64_t gets = s.gets.get();
    tuner_views_[i] = {.gets = gets - gets_before_[i],
                       .half_millirt = static_cast<uint32_t>(s.half_cache_millirt.get()),
                       .same_millirt = static_cast<uint32_t>(s.same_cache_millirt.get()),
                       .twice_millirt = static_cast<uint32_t>(s.twice_cache_millirt.get())};
    gets_before_[i] = gets;
  }
  if (!tuner_->decide(tuner_views_)) return;
  for (size_t i = 0; i < workers_.size(); ++i) {
    workers_[i]->set_cache_budget_for_control(tuner_->budget_bytes(static_cast<uint32_t>(i)));
  }
}

}  // namespace dinomo::cluster
