// SPDX-License-Identifier: BSD-3-Clause
// The client's copy of the ownership ring: which KN slot owns each of the 4096 partitions, and
// where the KNs are. Filled page by page from RING replies; the copy in use changes only when a
// whole new one has arrived, all of one version.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "common/hash.h"
#include "common/status.h"
#include "wire/format.h"

namespace dinomo::client {

struct RingView {
  uint32_t version = 0;  // 0: none yet
  std::vector<wire::KnRecord> kns;
  std::array<uint16_t, kPartitions> owner{};       // KN slot; 0xffff: nobody
  std::vector<wire::ReplicatedRecord> replicated;  // by routing_hash

  /// nullptr if only the owner of its partition serves the key.
  const wire::ReplicatedRecord* find_replicated(uint64_t routing_hash) const noexcept;
};

class RingAssembler {
 public:
  /// What to ask for next.
  wire::RingExtras wanted() const noexcept;
  void restart() noexcept;

  /// Takes the value of a RING reply. kOk: view() is complete. kInProgress: ask on with wanted().
  /// kStale: the ring changed between two pages; restarted. kCorrupt: not a page, or one that
  /// makes no progress.
  Status add_page(Bytes value) noexcept;

  const RingView& view() const noexcept { return view_; }

 private:
  bool add_replicated(Bytes records) noexcept;

  RingView view_;
  uint32_t partitions_ = 0;
};

}  // namespace dinomo::client
