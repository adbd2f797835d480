// SPDX-License-Identifier: BSD-3-Clause
// Constants shared by the client's source files. Not for users.
#pragma once

#include <cstddef>
#include <cstdint>

namespace dinomo::client {

inline constexpr uint64_t kMs = 1'000'000;
inline constexpr uint32_t kNoKn = UINT32_MAX;
inline constexpr size_t kSeedsMax = 16;
inline constexpr size_t kKnsMax = 250;
inline constexpr size_t kKeyBytesMax = 250;
inline constexpr size_t kValueBytesMax = 61'440;
inline constexpr uint32_t kWindowMax = 65'536;
inline constexpr uint32_t kReceiveRoundsMax = 4;

// Sequence of everything that is not a mutation: bit 55, a generation that makes it unique, and the
// slot that it pairs with. Mutations count from 1 and never get near bit 55.
inline constexpr uint64_t kOtherSequence = uint64_t{1} << 55;
inline constexpr uint32_t kSlotBits = 16;
inline constexpr uint64_t kGenerationMask = (uint64_t{1} << (55 - kSlotBits)) - 1;
inline constexpr uint32_t kRingSlot = 0xfeff;
inline constexpr uint32_t kHelloSlot = 0xff00;  // + index of the KN
static_assert(kHelloSlot + kKnsMax < (1u << kSlotBits));

}  // namespace dinomo::client
