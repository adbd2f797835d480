// SPDX-License-Identifier: BSD-3-Clause
// When to compact, and what.
//
// A segment's gain is what it holds neither live nor as the rest at its end that the next entry did
// not fit in: copying its live entries makes so many bytes free. Compaction begins when less than a
// share of the pool's segments is free (or becomes free after a grace), and ends a little above.
// The sparsest segments go first; with some space left only those that gain a quarter or more, when
// it runs out those that gain a twentieth. It never begins unless all that could be compacted would
// make at least one segment free beyond those that the copies take: else it would copy for ever.
//
// Thread rule: service thread. Cost: choose() looks at every segment, some ns each.
#pragma once

#include <cstdint>
#include <vector>

#include "dpm/segment_table.h"

namespace dinomo::dpm {

class CompactionPlan {
 public:
  CompactionPlan(SegmentTable& segments, uint32_t below_percent);

  /// Should there be more free segments than there are?
  bool wanted() noexcept;

  /// The next victims, the sparsest one last. Empty if there is nothing to gain; the segment table
  /// is told whether there is. `room`: in the segment that copies go to now.
  void choose(uint64_t room, std::vector<uint32_t>* victims);

  /// The segment could not be emptied although its entries were gone through.
  void not_emptied(uint32_t id) noexcept;

 private:
  static constexpr uint8_t kTriesMax = 3;
  struct Tries {
    uint32_t generation = 0;
    uint8_t count = 0;
  };
  uint64_t gain(uint32_t id) noexcept;
  bool given_up(uint32_t id) noexcept;

  SegmentTable& segments_;
  const uint32_t below_percent_;
  bool running_ = false;
  bool urgent_ = false;
  std::vector<Tries> tries_;  // by segment
};

/// Where the entries of a closed segment end; its size if that is not known (crash).
uint64_t entries_end(SegmentTable& segments, uint32_t id) noexcept;

}  // namespace dinomo::dpm
