// SPDX-License-Identifier: BSD-3-Clause
// A run of two KNs and a memory node that goes through everything that changes the pool: puts and
// deletes, items that expire, overflow chains, an index that grows and shrinks, full segments,
// compaction, reclaim, failed mutations, KNs that die with writes on their way, leave and join, and
// memory nodes that are killed or stopped and start again. By seed: the same seed gives the same
// run.
#pragma once

#include "test/crash/judge.h"

namespace dinomo::test {

struct RunOptions {
  uint64_t points = 2000;  // at least so many persist points
  uint64_t seed = 1;
  Bounds bounds{};
};

class ScriptedRun {
 public:
  explicit ScriptedRun(const RunOptions& options);

  /// Until there were enough points, or an image was not legal.
  void run();

  const Recorder& recorder() const { return *recorder_; }
  /// What went wrong outside of an image: a request refused, a write lost without any crash.
  const std::string& trouble() const { return trouble_; }
  uint64_t segments_reclaimed() const { return reclaimed_; }
  uint64_t overflow_used_max() const { return overflow_max_; }
  uint64_t index_buckets_max() const { return buckets_max_; }
  uint64_t compacted_entries() const { return compacted_; }
  uint64_t expired_items() const { return expired_; }
  uint64_t shrinks() const { return shrinks_; }
  uint64_t restarts() const { return restarts_; }
  uint64_t deaths() const { return deaths_; }

 private:
  bool finished() const;
  void step();
  void batch(uint32_t log);
  bool append(uint32_t log);
  void acknowledge(uint32_t log);
  void rejoin(uint32_t log, bool orderly);
  void restart(bool orderly);
  void note();
  bool ebb() const;
  void fail(const std::string& what);

  RunOptions options_;
  std::mt19937_64 random_;
  ImageSpace space_;
  Oracle oracle_;
  std::unique_ptr<Recorder> recorder_;
  Node node_;
  std::array<std::vector<std::byte>, kLogs> staging_;
  std::vector<MiniKn> kns_;
  std::array<std::array<uint64_t, kSessionsPerLog>, kLogs> sequences_{};
  uint64_t next_value_ = 0;
  uint64_t reclaimed_ = 0;
  uint64_t overflow_max_ = 0;
  uint64_t buckets_max_ = 0;
  uint64_t compacted_ = 0;
  uint64_t expired_ = 0;
  uint64_t shrinks_ = 0;
  uint64_t buckets_ = 0;  // at the last step
  uint64_t steps_ = 0;
  uint64_t restarts_ = 0;
  uint64_t deaths_ = 0;
  std::string trouble_;
};

}  // namespace dinomo::test
