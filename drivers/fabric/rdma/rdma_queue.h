// SPDX-License-Identifier: BSD-3-Clause
// A Queue over several RC queue pairs, for any way of posting to them (`Path`): order of
// completions, chains of writes, persistence, bounds, accounting and failure are the same for all.
//
// Why several pairs: a device has at most 16 reads and atomics of a pair on the wire. Operations
// are spread over them; a chain of writes stays on one, whose order RC keeps. Completions come back
// per pair and are delivered in the order of posting, as the seam promises.
//
// Persistence (mlx5.md section 4; librpma calls it appliance persistency): a chain with a
// persistent write ends with a read of eight bytes on the same pair, in the same doorbell. It
// cannot pass the writes before it, so its completion says that they have left the device: one
// round trip in all.
//
// A Path has:
//   uint32_t pairs();  bool room(pair);                       // for one operation and its flush
//   void read(pair, Remote, Local, tag);  void write(pair, Remote, Local, tag);
//   void write_inline(pair, Remote, Bytes, tag);  uint32_t inline_bytes_max();
//   void compare_swap(pair, Remote, expected, desired, Local, tag);
//   void fetch_add(pair, Remote, addend, Local, tag);
//   void ring();                                              // everything posted goes out
//   void stop();                      // all pairs to error: everything posted then completes
//   uint32_t poll(max, on_done(tag, Status));                 // kOk, or why this one failed
#pragma once

#include <atomic>
#include <bit>
#include <vector>

#include "common/planted.h"
#include "drivers/fabric/rdma/local_keys.h"
#include "fabric/fabric.h"

namespace dinomo::fabric::rdma {

struct Remote {
  uint64_t address;
  uint32_t rkey;
};
struct Local {
  const std::byte* at;
  uint32_t bytes;
  uint32_t lkey;
};
inline constexpr uint64_t kNoTag = ~uint64_t{0};

struct RdmaQueueConfig {
  uint32_t depth = 128;
  uint64_t remote_address = 0;  // of pool offset 0
  uint64_t pool_bytes = 0;
  uint32_t rkey = 0;
  const LocalKeys* keys = nullptr;
  MutableBytes landing;  // registered: 8 bytes for each slot of bit_ceil(depth), and 8 more
  uint32_t landing_lkey = 0;
  bool flush_by_read = false;  // what "persistent" takes on this pool
  const std::atomic<bool>* device_gone = nullptr;
};

template <class Path>
class RdmaQueue final : public Queue {
 public:
  RdmaQueue(const RdmaQueueConfig& config, Path path)
      : config_(config), path_(std::move(path)), slots_(std::bit_ceil(config.depth)) {}

  Status post_read(uint64_t offset, MutableBytes to, Purpose purpose,
                   Completion* completion) noexcept override {
    const uint32_t pair = next_pair();
    if (const Status s = ready(pair); !ok(s)) return s;
    if (!inside(offset, to.size())) return refuse(purpose, to.size(), true, completion);
    const auto lkey = config_.keys->find(to);
    if (!lkey) return Status::kInvalid;
    count(purpose, to.size(), true);
    path_.read(pair, remote(offset), {to.data(), static_cast<uint32_t>(to.size()), *lkey},
               take_slot(completion, nullptr));
    return Status::kInProgress;
  }

  Status post_write(uint64_t offset, Bytes from, WriteOptions options, Purpose purpose,
                    Completion* completion) noexcept override {
    const bool chained = options.after_previous && !planted("chain-changes-pair");
    const uint32_t pair = chained ? chain_.pair : next_pair();
    if (const Status s = ready(pair); !ok(s)) return s;
    const bool inlined = from.size() <= path_.inline_bytes_max();
    const auto lkey = inlined ? std::optional<uint32_t>(0) : config_.keys->find(from);
    if (!lkey) return Status::kInvalid;
    if (!options.after_previous) chain_ = {pair, false, false};
    if (!inside(offset, from.size())) chain_.failed = true;
    // A write without a completion has nobody to tell of its failure, so the rest of its chain
    // fails.
    if (chain_.failed) return refuse(purpose, from.size(), !options.after_previous, completion);
    chain_.dirty |= options.persistent;
    count(purpose, from.size(), !options.after_previous);
    const bool flush = config_.flush_by_read && chain_.dirty && completion != nullptr &&
                       !planted("write-not-flushed");
    const uint64_t slot = take_slot(completion, nullptr);
    const uint64_t write_tag = flush ? kNoTag : slot;
    if (inlined) {
      path_.write_inline(pair, remote(offset), from, write_tag);
    } else {
      path_.write(pair, remote(offset), {from.data(), static_cast<uint32_t>(from.size()), *lkey},
                  write_tag);
    }
    if (flush) {
      path_.read(planted("flushed-on-another-pair") ? next_pair() : pair,
                 remote(offset & ~uint64_t{7}), landing(slots_.size()), slot);
      chain_.dirty = false;
    }
    return Status::kInProgress;
  }

  Status post_compare_swap(uint64_t offset, uint64_t expected, uint64_t desired, uint64_t* old,
                           Purpose purpose, Completion* completion) noexcept override {
    const uint32_t pair = next_pair();
    if (const Status s = ready(pair); !ok(s)) return s;
    if (!inside_word(offset)) return refuse(purpose, sizeof *old, true, completion);
    count(purpose, sizeof *old, true);
    const uint64_t slot = take_slot(completion, old);
    path_.compare_swap(pair, remote(offset), expected, desired, landing(slot), slot);
    return Status::kInProgress;
  }

  Status post_fetch_add(uint64_t offset, uint64_t addend, uint64_t* old, Purpose purpose,
                        Completion* completion) noexcept override {
    const uint32_t pair = next_pair();
    if (const Status s = ready(pair); !ok(s)) return s;
    if (!inside_word(offset)) return refuse(purpose, sizeof *old, true, completion);
    count(purpose, sizeof *old, true);
    const uint64_t slot = take_slot(completion, old);
    path_.fetch_add(pair, remote(offset), addend, landing(slot), slot);
    return Status::kInProgress;
  }

  void flush() noexcept override { path_.ring(); }

  uint32_t poll(uint32_t max) noexcept override {
    // What a callback posts is delivered by a later poll, so that one turn is bounded.
    const uint64_t end = tail_;
    if (config_.device_gone != nullptr && config_.device_gone->load(std::memory_order_relaxed)) {
      end_all();
    }
    path_.poll(kCqesPerPoll, [this](uint64_t tag, Status status) { done(tag, status); });
    uint32_t delivered = 0;
    while (delivered < max && head_ != end && slot(head_).done) {
      const Slot s = slot(head_);
      if (ok(s.status) && s.old != nullptr) *s.old = load<uint64_t>(landing(head_).at);
      ++head_;
      if (s.completion == nullptr) continue;
      s.completion->callback(s.completion, s.status);
      ++delivered;
    }
    return delivered;
  }

  uint32_t in_flight() const noexcept override { return static_cast<uint32_t>(tail_ - head_); }

 private:
  static constexpr uint32_t kCqesPerPoll = 128;

  struct Slot {
    Completion* completion = nullptr;
    uint64_t* old = nullptr;
    Status status = Status::kOk;
    bool done = false;
  };
  struct Chain {
    uint32_t pair = 0;
    bool dirty = false;   // has a persistent write that no read has flushed
    bool failed = false;  // a write of it was out of range
  };

  Slot& slot(uint64_t number) noexcept { return slots_[number & (slots_.size() - 1)]; }
  Remote remote(uint64_t offset) const noexcept {
    return {config_.remote_address + offset, config_.rkey};
  }
  /// Eight bytes for what an atomic fetches; the last eight take what nobody looks at.
  Local landing(uint64_t number) const noexcept {
    const bool unread = number == slots_.size() || planted("one-landing-for-all");
    const uint64_t at = unread ? slots_.size() : number & (slots_.size() - 1);
    return {config_.landing.data() + at * sizeof(uint64_t), sizeof(uint64_t), config_.landing_lkey};
  }
  uint32_t next_pair() noexcept {
    if (++last_pair_ >= path_.pairs()) last_pair_ = 0;
    return last_pair_;
  }
  bool inside(uint64_t offset, size_t bytes) const noexcept {
    return offset <= config_.pool_bytes && bytes <= config_.pool_bytes - offset;
  }
  bool inside_word(uint64_t offset) const noexcept {
    return inside(offset, sizeof(uint64_t)) && offset % sizeof(uint64_t) == 0;
  }

  Status ready(uint32_t pair) noexcept {
    if (!ok(broken_)) return broken_;
    if (tail_ - head_ == slots_.size() || !path_.room(pair)) {
      ++counters_.no_resource;
      return Status::kNoResource;
    }
    return Status::kOk;
  }

  /// Completes without the device: this operation only is wrong.
  Status refuse(Purpose purpose, size_t bytes, bool round_trip, Completion* completion) noexcept {
    count(purpose, bytes, round_trip);
    ++counters_.errors;
    const uint64_t number = take_slot(completion, nullptr);
    if (number != kNoTag) {
      slot(number).status = Status::kOutOfRange;
      slot(number).done = true;
    }
    return Status::kInProgress;
  }

  uint64_t take_slot(Completion* completion, uint64_t* old) noexcept {
    if (completion == nullptr) return kNoTag;
    slot(tail_) = {completion, old, Status::kOk, false};
    return tail_++;
  }

  void done(uint64_t tag, Status status) noexcept {
    if (!ok(status)) {
      ++counters_.errors;
      if (ok(broken_)) {
        broken_ = status;
        if (!planted("others-not-stopped")) path_.stop();
      }
    }
    if (tag == kNoTag) return;
    slot(tag).status = ok(status) ? Status::kOk : broken_;
    slot(tag).done = true;
  }

  /// The device will answer nothing any more.
  void end_all() noexcept {
    if (ok(broken_)) broken_ = Status::kUnreachable;
    for (uint64_t number = head_; number != tail_; ++number) {
      if (slot(number).done) continue;
      ++counters_.errors;
      slot(number).status = broken_;
      slot(number).done = true;
    }
  }

  void count(Purpose purpose, size_t bytes, bool round_trip) noexcept {
    PurposeCounters& c = counters_.by_purpose[static_cast<size_t>(purpose)];
    c.verbs += 1;
    c.round_trips += round_trip ? 1 : 0;
    c.bytes += bytes;
  }

  RdmaQueueConfig config_;
  Path path_;
  std::vector<Slot> slots_;  // ring, power of two
  uint64_t head_ = 0;
  uint64_t tail_ = 0;
  uint32_t last_pair_ = 0;
  Chain chain_;
  Status broken_ = Status::kOk;  // why nothing can be posted any more
};

}  // namespace dinomo::fabric::rdma
