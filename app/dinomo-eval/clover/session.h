// SPDX-License-Identifier: BSD-3-Clause
// GET and PUT of one coroutine of a Clover KN's thread. Thread rule: the event loop's.
#pragma once

#include "app/dinomo-eval/clover/kn.h"

namespace dinomo::eval::clover {

class KnSession final : public Session {
 public:
  KnSession(Kn* kn, Kn::Thread* thread, uint32_t caller)
      : kn_(kn), thread_(thread), caller_(kn, &thread->cpu, caller) {}

  SimThread& thread() noexcept override { return thread_->cpu; }
  Caller& caller() noexcept { return caller_; }
  Step get(Operation* operation) override;
  Step put(Operation* operation) override;

 private:
  Step look_up(Operation* operation);
  Step query(Operation* operation);
  Step take_buffer(Operation* operation);
  Step walk(Operation* operation, size_t bytes);
  Step link(Operation* operation, Pointer mine);
  uint64_t place(Pointer pointer) const noexcept { return kn_->layout_.buffer(pointer.buffer()); }
  bool newest() const noexcept {
    return in_.header.entry_version() == at_.version() && in_.header.tail();
  }
  MutableBytes in(size_t bytes) noexcept { return {reinterpret_cast<std::byte*>(&in_), bytes}; }
  MutableBytes shortcut() noexcept {
    return {reinterpret_cast<std::byte*>(&shortcut_), sizeof shortcut_};
  }

  Kn* kn_;
  Kn::Thread* thread_;
  Caller caller_;
  Pointer at_;        // which version in_ holds, or is asked for
  Pointer shortcut_;  // as it was read
  Buffer in_{};
  Buffer out_{};
};

}  // namespace dinomo::eval::clover
