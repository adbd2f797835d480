// SPDX-License-Identifier: BSD-3-Clause
// A fabric over ordinary memory for unit tests: operations take effect when delivered, one by one,
// when the test lets them, so a test can stop between any two or make them fail.
#pragma once

#include <cstring>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "fabric/fabric.h"

namespace dinomo::test {

class MemoryQueue final : public fabric::Queue {
 public:
  MemoryQueue(MutableBytes memory, uint32_t depth) : memory_(memory), depth_(depth) {}

  Status post_read(uint64_t offset, MutableBytes to, fabric::Purpose purpose,
                   fabric::Completion* c) noexcept override {
    return post(purpose, to.size(), true, c,
                [this, offset, to] { std::memcpy(to.data(), memory_.data() + offset, to.size()); });
  }
  Status post_write(uint64_t offset, Bytes from, fabric::WriteOptions options,
                    fabric::Purpose purpose, fabric::Completion* c) noexcept override {
    writes_posted += options.persistent ? 1 : 0;
    return post(
        purpose, from.size(), c != nullptr && !options.after_previous, c,
        [this, offset, from] { std::memcpy(memory_.data() + offset, from.data(), from.size()); });
  }
  Status post_compare_swap(uint64_t offset, uint64_t expected, uint64_t desired, uint64_t* old,
                           fabric::Purpose purpose, fabric::Completion* c) noexcept override {
    return post(purpose, sizeof expected, true, c, [this, offset, expected, desired, old] {
      *old = load<uint64_t>(memory_.data() + offset);
      if (*old == expected) store(memory_.data() + offset, desired);
    });
  }
  Status post_fetch_add(uint64_t, uint64_t, uint64_t*, fabric::Purpose,
                        fabric::Completion*) noexcept override {
    return Status::kUnsupported;
  }
  void flush() noexcept override {}
  uint32_t poll(uint32_t max) noexcept override {
    uint32_t n = 0;
    size_t end = queue_.size();
    while (n < max && end-- > 0 && (held == 0 || queue_.size() > held)) {
      Operation op = std::move(queue_.front());
      queue_.pop_front();
      if (ok(fail_with)) op.effect();
      if (op.completion != nullptr) op.completion->callback(op.completion, fail_with);
      ++n;
    }
    return n;
  }
  uint32_t in_flight() const noexcept override { return static_cast<uint32_t>(queue_.size()); }

  size_t held = 0;  // so many stay undelivered; 0: none
  Status fail_with = Status::kOk;
  uint64_t writes_posted = 0;

 private:
  struct Operation {
    std::function<void()> effect;
    fabric::Completion* completion;
  };

  Status post(fabric::Purpose purpose, size_t bytes, bool round_trip, fabric::Completion* c,
              std::function<void()> effect) {
    if (queue_.size() >= depth_) return Status::kNoResource;
    auto& counters = counters_.by_purpose[static_cast<size_t>(purpose)];
    counters.verbs += 1;
    counters.bytes += bytes;
    counters.round_trips += round_trip ? 1 : 0;
    queue_.push_back({std::move(effect), c});
    return Status::kInProgress;
  }

  MutableBytes memory_;
  uint32_t depth_;
  std::deque<Operation> queue_;
};

}  // namespace dinomo::test
