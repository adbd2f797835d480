// SPDX-License-Identifier: BSD-3-Clause
// Tells when every access to a table that was under way has ended, so that the table may be freed.
// Every operation of the index runs in a section, which costs two atomic additions to a line that
// is almost always the thread's own.
//
// Thread rule: any thread enters and leaves; one thread at a time waits.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

namespace dinomo::index {

class Sections {
 public:
  class Section {
   public:
    explicit Section(Sections& all) noexcept : count_(all.mine()) {
      count_.fetch_add(1, std::memory_order_seq_cst);
    }
    ~Section() { count_.fetch_sub(1, std::memory_order_release); }
    Section(const Section&) = delete;
    Section& operator=(const Section&) = delete;

   private:
    std::atomic<uint64_t>& count_;
  };

  /// Forgets what ended() saw: from now on it asks about sections entered before this call.
  void begin_wait() noexcept {
    std::atomic_thread_fence(std::memory_order_seq_cst);
    for (Stripe& s : stripes_) s.seen_empty = false;
  }

  /// True once every section entered before begin_wait() has been left. Never blocks: ask again.
  bool ended() noexcept {
    bool all = true;
    for (Stripe& s : stripes_) {
      s.seen_empty = s.seen_empty || s.count.load(std::memory_order_seq_cst) == 0;
      all = all && s.seen_empty;
    }
    return all;
  }

 private:
  struct alignas(64) Stripe {
    std::atomic<uint64_t> count{0};
    bool seen_empty = true;
  };
  static constexpr uint32_t kStripes = 32;

  std::atomic<uint64_t>& mine() noexcept {
    static std::atomic<uint32_t> threads{0};
    thread_local const uint32_t stripe = threads.fetch_add(1, std::memory_order_relaxed) % kStripes;
    return stripes_[stripe].count;
  }

  std::array<Stripe, kStripes> stripes_;
};

}  // namespace dinomo::index
