// SPDX-License-Identifier: BSD-3-Clause
// Persistent memory of a simulated memory node: what processors and network cards see, and what is
// left when the power fails.
//
//   stores          are visible at once; a line may reach the memory at any time before the failure
//   flush, drain    as in pool::Persist: a line is safe, as it was when flushed, once drained
//   persist_now     what a persistent one-sided write does
//
// A killed process loses nothing, a power failure loses lines that were not safe: each of them by a
// draw of its own.
// Thread rule: the event loop's.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "client/random.h"
#include "pool/space.h"
#include "pool/superblock.h"

namespace dinomo::sim {

struct PowerFailure {
  uint64_t lines_unsafe = 0;  // that differed
  uint64_t lines_lost = 0;
};

class PoolMemory final : public pool::Space {
 public:
  PoolMemory(uint64_t bytes, uint64_t seed);
  ~PoolMemory() override;
  PoolMemory(const PoolMemory&) = delete;
  PoolMemory& operator=(const PoolMemory&) = delete;

  /// As the DPM makes a pool: superblock, index, overflow buckets. kNoSpace if it does not fit.
  Status format(const pool::PoolGeometry& geometry, uint64_t index_buckets, uint64_t hash_seed);

  MutableBytes memory() noexcept override { return {volatile_, bytes_}; }
  uint64_t superblock_offset() const noexcept override { return kSuperblockOffset; }
  pool::Persist& persist() noexcept override;
  pool::Persistence persistence() const noexcept override { return pool::Persistence::kDax; }
  Result<pool::SpaceObject> allocate(pool::ObjectType type, uint64_t bytes, Prepare prepare,
                                     uint64_t prepared_bytes) noexcept override;
  void release(uint64_t offset) noexcept override;
  /// As many as leave the index its share of the pool (dpm/pool_shares.h).
  uint64_t segments_left(uint64_t bytes) noexcept override;
  std::vector<pool::SpaceObject> objects(pool::ObjectType type) override;

  /// What a start would find if the node's process died now.
  std::unique_ptr<PoolMemory> image() const;

  void persist_now(uint64_t offset, uint64_t bytes) noexcept;
  PowerFailure fail_power() noexcept;

  /// A node stops between two of its instructions, not between two turns: at the `drains`-th drain
  /// from now on the state is kept (of a power failure if `power`), and stop() goes back to it.
  void stop_at_drain(uint64_t drains, bool power) noexcept;
  /// Only while the node runs are drains counted: others are between two of its turns, from where
  /// there is no way back, for others may see them before its next one.
  void set_running(bool running) noexcept { running_ = running; }
  bool stopped() const noexcept { return kept_ != nullptr; }
  /// REQUIRES: stopped().
  void stop() noexcept;
  uint64_t free_bytes() const noexcept;

 private:
  class LinePersist;
  struct Kept {
    std::vector<std::byte> seen;     // by processors after the next start
    std::vector<std::byte> durable;  // in memory by then
    uint64_t used = 0;
    std::vector<std::pair<pool::ObjectType, pool::SpaceObject>> objects;
    std::map<uint64_t, uint64_t> holes;
  };
  void drained() noexcept;
  PowerFailure lose_lines(std::byte* seen, std::byte* durable, uint64_t bytes) noexcept;
  static constexpr uint64_t kSuperblockOffset = 4096;

  std::byte* volatile_;
  std::byte* durable_;
  const uint64_t bytes_;
  uint64_t used_ = 0;
  uint64_t root_end_ = 0;  // behind the fixed records
  client::Random random_;
  std::unique_ptr<LinePersist> persist_;
  uint64_t drains_left_ = 0;  // until the state is kept; 0: it is not
  bool power_fails_ = false;
  bool running_ = false;
  std::unique_ptr<Kept> kept_;
  std::vector<std::pair<pool::ObjectType, pool::SpaceObject>> objects_;
  std::map<uint64_t, uint64_t> holes_;  // offset and bytes of what was released, below used_
};

}  // namespace dinomo::sim
