// SPDX-License-Identifier: BSD-3-Clause
// What recovery meets in a pool that no crash alone can leave: damage. Each finding is mended or
// given up on the spot, counted, and told to whoever wants the details (dinomo-dpm --check).
//
// Thread rule: note() by any thread, the rest when none is at work.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <mutex>

namespace dinomo::dpm {

enum class DamageKind : uint8_t {
  kSlot,           // refers to no valid entry: discarded. detail: key hash, address
  kLink,           // a chain goes where no bucket is: cut. detail: the link
  kBucketHeader,   // not that of the bucket's chain: written anew. detail: header found
  kSegmentHeader,  // of a segment in use: rebuilt from its entries or the answer to its grant.
                   // detail: log, sequence
  kSegmentLost,    // the same, but nothing says whose segment it was. detail: state found
  kGrant,          // newer than its log's record knows, yet written to: kept. detail: log, sequence
  kPlace,          // damaged entries before the end of what was merged; detail: log, 1 if the place
                   // after merged_lsn was found behind them
  kSegmentState,   // free or closed although its log is not merged so far, or free although the
                   // index refers to it: set right. detail: state found
};
inline constexpr size_t kDamageKinds = 8;

struct Damage {
  DamageKind kind;
  uint64_t offset;  // in the pool: of the slot, bucket, segment or log record
  std::array<uint64_t, 2> detail;
};

class DamageLog {
 public:
  using Sink = std::function<void(const Damage&)>;

  DamageLog() = default;
  explicit DamageLog(Sink sink) : sink_(std::move(sink)) {}

  void note(DamageKind kind, uint64_t offset, uint64_t detail0 = 0, uint64_t detail1 = 0) {
    const std::lock_guard lock(mutex_);
    ++counts_[static_cast<size_t>(kind)];
    if (sink_) sink_({kind, offset, {detail0, detail1}});
  }

  uint64_t count(DamageKind kind) const noexcept { return counts_[static_cast<size_t>(kind)]; }
  uint64_t total() const noexcept {
    uint64_t sum = 0;
    for (const uint64_t n : counts_) sum += n;
    return sum;
  }

 private:
  std::mutex mutex_;
  std::array<uint64_t, kDamageKinds> counts_{};
  Sink sink_;
};

}  // namespace dinomo::dpm
