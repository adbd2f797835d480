// SPDX-License-Identifier: BSD-3-Clause
// Flat coroutines of a worker: for whatever takes more than one dependent remote step. What can be
// answered from KN memory never enters one.
//
// Dialect (checked by the house checks): co_await only as
//   T x = co_await f(a);   x = co_await f(a);   co_await f(a);
// Frames come from the worker's FramePool; when it is empty the call answers `started == false`.
// A frame with a posted operation is never destroyed: it ends when its completions have come.
#pragma once

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

#include "common/align.h"
#include "common/status.h"
#include "fabric/fabric.h"

namespace dinomo::kn {

/// Fixed-size blocks for coroutine frames.
class FramePool {
 public:
  explicit FramePool(size_t blocks, size_t block_bytes = 1024)
      : block_bytes_(align_up(block_bytes, kCacheLineBytes)),
        storage_(
            static_cast<std::byte*>(std::aligned_alloc(kCacheLineBytes, blocks * block_bytes_)),
            [](std::byte* p) { std::free(p); }) {
    for (size_t i = 0; i < blocks && storage_; ++i) give(storage_.get() + i * block_bytes_);
    live_ = 0;
  }

  /// Nullptr if none is left or `bytes` is more than a block.
  void* take(size_t bytes) noexcept {
    if (bytes > block_bytes_ || free_ == nullptr) return nullptr;
    Free* block = free_;
    free_ = block->next;
    ++live_;
    return block;
  }
  void give(void* frame) noexcept {
    free_ = new (frame) Free{free_};
    --live_;
  }
  size_t live() const noexcept { return live_; }

 private:
  struct Free {
    Free* next;
  };
  size_t block_bytes_;
  std::unique_ptr<std::byte, void (*)(std::byte*)> storage_;
  Free* free_ = nullptr;
  size_t live_ = 0;
};

/// A detached coroutine. Its first parameter (or the object, for a member) has `frames()`.
struct [[nodiscard]] Task {
  bool started = false;

  struct promise_type {
    template <class Owner, class... Args>
    static void* operator new(size_t bytes, Owner& owner, Args&&...) noexcept {
      // The pool is found again at deletion: its address stands in front of the frame.
      void* block = owner.frames().take(bytes + kPrefixBytes);
      if (block == nullptr) return nullptr;
      *static_cast<FramePool**>(block) = &owner.frames();
      return static_cast<std::byte*>(block) + kPrefixBytes;
    }
    static void operator delete(void* frame) noexcept {
      void* block = static_cast<std::byte*>(frame) - kPrefixBytes;
      (*static_cast<FramePool**>(block))->give(block);
    }
    static Task get_return_object_on_allocation_failure() noexcept { return {false}; }
    Task get_return_object() noexcept { return {true}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() noexcept {}
    void unhandled_exception() noexcept { std::abort(); }

   private:
    static constexpr size_t kPrefixBytes = 64;  // keeps the frame's alignment
  };
};

/// A fabric operation as an awaitable: `const Status s = co_await read(queue, ...);`
template <class Post>
class [[nodiscard]] FabricAwaiter : fabric::Completion {
 public:
  explicit FabricAwaiter(Post post) noexcept : post_(post) {
    callback = [](fabric::Completion* c, Status s) noexcept {
      auto* self = static_cast<FabricAwaiter*>(c);
      self->status_ = s;
      self->handle_.resume();
    };
  }
  FabricAwaiter(const FabricAwaiter&) = delete;
  FabricAwaiter& operator=(const FabricAwaiter&) = delete;

  bool await_ready() const noexcept { return false; }
  bool await_suspend(std::coroutine_handle<> handle) noexcept {
    handle_ = handle;
    status_ = post_(static_cast<fabric::Completion*>(this));
    return status_ == Status::kInProgress;  // anything else: go on at once
  }
  Status await_resume() const noexcept { return status_; }

 private:
  Post post_;
  std::coroutine_handle<> handle_;
  Status status_ = Status::kInProgress;
};

inline auto read(fabric::Queue& queue, uint64_t offset, MutableBytes to,
                 fabric::Purpose purpose) noexcept {
  return FabricAwaiter([&queue, offset, to, purpose](fabric::Completion* c) noexcept {
    return queue.post_read(offset, to, purpose, c);
  });
}

inline auto write(fabric::Queue& queue, uint64_t offset, Bytes from, fabric::WriteOptions options,
                  fabric::Purpose purpose) noexcept {
  return FabricAwaiter([&queue, offset, from, options, purpose](fabric::Completion* c) noexcept {
    return queue.post_write(offset, from, options, purpose, c);
  });
}

/// What was there before is in *old; it was changed if that is `expected`.
inline auto compare_swap(fabric::Queue& queue, uint64_t offset, uint64_t expected, uint64_t desired,
                         uint64_t* old, fabric::Purpose purpose) noexcept {
  return FabricAwaiter([=, &queue](fabric::Completion* c) noexcept {
    return queue.post_compare_swap(offset, expected, desired, old, purpose, c);
  });
}

}  // namespace dinomo::kn
