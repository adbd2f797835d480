// SPDX-License-Identifier: BSD-3-Clause
#include "sim/event_loop.h"

#include <algorithm>

namespace dinomo::sim {

EventLoop::HandlerId EventLoop::add(Handler* handler) {
  uint32_t slot = static_cast<uint32_t>(slots_.size());
  if (free_.empty()) {
    slots_.emplace_back();
  } else {
    slot = free_.back();
    free_.pop_back();
  }
  slots_[slot].handler = handler;
  return {slot, slots_[slot].generation};
}

void EventLoop::remove(HandlerId id) noexcept {
  if (id.generation == 0 || slots_[id.slot].generation != id.generation) return;
  slots_[id.slot].handler = nullptr;
  ++slots_[id.slot].generation;
  free_.push_back(id.slot);
}

void EventLoop::at(uint64_t at_ns, HandlerId id, uint64_t argument) {
  queue_.push({std::max(at_ns, now_ns_), order_++, argument, id});
}

bool EventLoop::step(uint64_t limit_ns) {
  while (!queue_.empty() && queue_.top().at_ns <= limit_ns) {
    const Event e = queue_.top();
    queue_.pop();
    now_ns_ = e.at_ns;
    const Slot& slot = slots_[e.id.slot];
    if (slot.generation != e.id.generation) continue;
    ++events_;
    add_to_trace(e.at_ns ^ uint64_t{e.id.slot} << 48);
    slot.handler->on_event(e.argument);
    return true;
  }
  now_ns_ = std::max(now_ns_, limit_ns);
  return false;
}

}  // namespace dinomo::sim
