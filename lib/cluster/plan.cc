// SPDX-License-Identifier: BSD-3-Clause
#include "cluster/plan.h"

#include "common/planted.h"

namespace dinomo::cluster {

namespace {

class Planner {
 public:
  Planner(const ring::Ring& ring, std::span<const KnView> views, const ring::Owners& targets)
      : ring_(ring), views_(views), targets_(targets), next_(ring) {}

  std::optional<ring::Ring> run(Handing handing) {
    const bool finished = all_acknowledged();
    for (uint32_t p = 0; p < kPartitions; ++p) {
      if (is_free(p)) {
        give(p);
      } else if (ring_.moving[p]) {
        if (!wanted(p) || handing == Handing::kOff) {
          set_moving(p, false);  // its owner goes on
        } else if (finished) {
          give(p);
        }
      } else if (wanted(p) && handing == Handing::kOn && ring_.moving.none() &&
                 view(ring_.owner[p])->member) {  // who is silent will be fenced, not asked
        set_moving(p, true);
      }
    }
    if (!changed_) return std::nullopt;
    ++next_.version;
    return next_;
  }

 private:
  const KnView* view(uint16_t slot) const { return slot < views_.size() ? &views_[slot] : nullptr; }
  /// Nobody can be serving it.
  bool is_free(uint32_t p) const {
    const KnView* owner = view(ring_.owner[p]);
    return owner == nullptr || owner->gone;
  }
  /// Somebody else is to have it, and can.
  bool wanted(uint32_t p) const { return targets_[p] != ring_.owner[p] && can_own(targets_[p]); }
  /// What a slot owns it owns under one incarnation: first the earlier one has to be gone.
  bool can_own(uint16_t slot) const {
    const KnView* to = view(slot);
    if (to == nullptr || !to->member) return false;
    return to->gone || ring_.incarnation[slot] == to->incarnation;
  }
  bool all_acknowledged() const {
    if (planted("activated-unacknowledged")) return true;
    for (uint32_t p = 0; p < kPartitions; ++p) {
      if (!ring_.moving[p] || is_free(p) || !wanted(p)) continue;
      const KnView* owner = view(ring_.owner[p]);
      const bool same = owner->incarnation == ring_.incarnation[ring_.owner[p]];
      if (!same || owner->acknowledged < ring_.version) return false;
    }
    return true;
  }
  void give(uint32_t p) {
    const uint16_t to = targets_[p];
    if (!can_own(to)) return;  // not now
    next_.owner[p] = to;
    next_.moving[p] = false;
    next_.incarnation[to] = views_[to].incarnation;
    changed_ = true;
  }
  void set_moving(uint32_t p, bool moving) {
    next_.moving[p] = moving;
    changed_ = true;
  }

  const ring::Ring& ring_;
  const std::span<const KnView> views_;
  const ring::Owners& targets_;
  ring::Ring next_;
  bool changed_ = false;
};

}  // namespace

std::vector<ring::Member> members_of(std::span<const KnView> views) {
  std::vector<ring::Member> staying;
  std::vector<ring::Member> all;
  for (size_t s = 0; s < views.size(); ++s) {
    if (!views[s].member) continue;
    all.push_back({static_cast<uint16_t>(s), views[s].weight});
    if (!views[s].leaving) staying.push_back(all.back());
  }
  return staying.empty() ? all : staying;
}

std::optional<ring::Ring> plan(const ring::Ring& ring, std::span<const KnView> views,
                               const ring::Owners& targets, Handing handing) {
  return Planner(ring, views, targets).run(handing);
}

}  // namespace dinomo::cluster
