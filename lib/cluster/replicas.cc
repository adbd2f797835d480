// SPDX-License-Identifier: BSD-3-Clause
#include "cluster/replicas.h"

#include <algorithm>

#include "pool/cells.h"

namespace dinomo::cluster {

using pool::GlobalAddress;
using pool::IndirectionCell;

std::optional<std::vector<WantedKey>> wanted_keys(Bytes cells, uint64_t offset, uint8_t node_id) {
  std::vector<WantedKey> keys;
  for (size_t at = 0; at + sizeof(IndirectionCell) <= cells.size(); at += sizeof(IndirectionCell)) {
    const auto cell = load<IndirectionCell>(cells.data() + at);
    const bool never_used = cell.key_hash == 0 && cell.generation == 0 && cell.checksum == 0;
    if (never_used) continue;
    if (cell.checksum != pool::cell_checksum(cell)) return std::nullopt;
    if (cell.key_hash == 0) continue;
    const GlobalAddress address =
        GlobalAddress::indirect(node_id, offset + at, static_cast<uint32_t>(cell.generation));
    keys.push_back({cell.routing_hash, address.word(), cell.kns_wanted});
  }
  std::ranges::sort(keys, {}, &WantedKey::routing_hash);
  return keys;
}

std::vector<pool::ReplicatedKey> list_replicated(std::span<const WantedKey> keys,
                                                 const ring::Ring& ring,
                                                 std::span<const ring::Member> members) {
  std::vector<pool::ReplicatedKey> list;
  for (const WantedKey& key : keys) {
    const size_t wanted = key.kns_wanted == 0 ? members.size() : key.kns_wanted;
    const size_t count = std::min({wanted, members.size(), size_t{pool::kReplicasMax}});
    const uint16_t owner = ring.owner_of(key.routing_hash);
    auto first = std::ranges::find(members, owner, &ring::Member::kn_slot);
    if (first == members.end()) first = members.begin();
    std::vector<uint16_t> kns;
    for (auto m = first; kns.size() < count;) {
      kns.push_back(m->kn_slot);
      if (++m == members.end()) m = members.begin();
    }
    list.push_back(ring::make_replicated(key.routing_hash, key.cell, kns));
  }
  return list;
}

}  // namespace dinomo::cluster
