// SPDX-License-Identifier: BSD-3-Clause
#include "ring/placement.h"

#include <algorithm>
#include <compare>
#include <map>
#include <vector>

#include "common/bytes.h"

namespace dinomo::ring {

namespace {

struct Token {
  uint64_t at;
  uint16_t kn_slot;

  auto operator<=>(const Token&) const noexcept = default;
};

uint64_t spread(uint64_t kind, uint64_t a, uint64_t b) noexcept {
  const std::array<uint64_t, 3> words{kind, a, b};
  return checksum64(object_bytes(words));
}

/// A member's tokens do not depend on who else is there, or everything would move.
std::vector<Token> tokens_of(std::span<const Member> members, uint32_t weight_unit) {
  std::vector<Token> tokens;
  for (const Member& m : members) {
    const uint32_t count = std::max(1u, kTokensPerKn * m.weight / weight_unit);
    for (uint32_t i = 0; i < count; ++i) tokens.push_back({spread(1, m.kn_slot, i), m.kn_slot});
  }
  std::ranges::sort(tokens);
  return tokens;
}

}  // namespace

Owners place(std::span<const Member> members, const Owners& pins) {
  Owners owners;
  owners.fill(pool::kNoOwner);
  if (members.empty()) return owners;
  uint64_t weights = 0;
  uint32_t heaviest = 1;
  for (const Member& m : members) {
    weights += m.weight;
    heaviest = std::max(heaviest, m.weight);
  }
  if (weights == 0) return owners;  // nobody is to have any
  std::map<uint16_t, uint64_t> room;
  for (const Member& m : members) {
    room[m.kn_slot] = (uint64_t{kPartitions} * m.weight * 9 + weights * 8 - 1) / (weights * 8);
  }
  for (uint32_t p = 0; p < kPartitions; ++p) {
    const auto found = room.find(pins[p]);
    if (found == room.end()) continue;
    owners[p] = pins[p];
    found->second -= found->second != 0;
  }
  const std::vector<Token> tokens = tokens_of(members, heaviest);
  for (uint32_t p = 0; p < kPartitions; ++p) {
    if (owners[p] != pool::kNoOwner) continue;
    auto t = std::ranges::lower_bound(tokens, Token{spread(2, p, 0), 0});
    // All rooms together hold more than all partitions, unless pins have taken too much of one.
    for (size_t step = 0; step < tokens.size(); ++step, ++t) {
      if (t == tokens.end()) t = tokens.begin();
      if (room[t->kn_slot] != 0) break;
    }
    if (t == tokens.end()) t = tokens.begin();
    owners[p] = t->kn_slot;
    uint64_t& left = room[t->kn_slot];
    left -= left != 0;
  }
  return owners;
}

}  // namespace dinomo::ring
