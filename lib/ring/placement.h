// SPDX-License-Identifier: BSD-3-Clause
// Which KN is to own which partition: consistent hashing with virtual nodes and bounded loads. Each
// KN has tokens on a circle of 64 bits, in proportion to its weight; a partition goes to the first
// token after its own place whose KN has room. No KN gets more than its share and an eighth, unless
// pins give it more. The answer depends on members and pins alone, so every leader comes to the
// same.
//
// Pure functions; control lcore.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "common/hash.h"
#include "pool/format.h"

namespace dinomo::ring {

struct Member {
  uint16_t kn_slot = 0;
  uint32_t weight = 1;  // 1..kWeightMax

  bool operator==(const Member&) const noexcept = default;
};
inline constexpr uint32_t kWeightMax = 1024;
inline constexpr uint32_t kTokensPerKn = 128;  // on average over the members

using Owners = std::array<uint16_t, kPartitions>;

/// Owners of all partitions. One that is pinned is with the KN that `pins` names if that is a
/// member; kNoOwner there, or a KN that is none: it is placed as any other. Without members nobody
/// owns any. Takes some 200 us for 16 members.
Owners place(std::span<const Member> members, const Owners& pins);

}  // namespace dinomo::ring
