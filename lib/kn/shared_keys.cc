// SPDX-License-Identifier: BSD-3-Clause
#include "kn/shared_keys.h"

#include <algorithm>

namespace dinomo::kn {

SharedKeys::SharedKeys() : keys_(pool::kReplicatedKeysMax), before_(pool::kReplicatedKeysMax) {
  clear();
}

void SharedKeys::clear() noexcept {
  size_ = 0;
  places_.fill(kNone);
}

void SharedKeys::insert(uint64_t routing_hash, uint16_t index) noexcept {
  size_t place = routing_hash % kPlaces;
  while (places_[place] != kNone) place = (place + 1) % kPlaces;
  places_[place] = index;
}

SharedKey* SharedKeys::find(uint64_t routing_hash) noexcept {
  for (size_t place = routing_hash % kPlaces; places_[place] != kNone;
       place = (place + 1) % kPlaces) {
    SharedKey& key = keys_[places_[place]];
    if (key.routing_hash == routing_hash) return &key;
  }
  return nullptr;
}

void SharedKeys::follow(const ring::Ring& ring, uint16_t kn_slot, uint16_t worker, uint16_t workers,
                        uint64_t pool_bytes) {
  const size_t before = size_;
  std::swap(keys_, before_);
  clear();
  for (const pool::ReplicatedKey& listed : ring.replicated) {
    const pool::GlobalAddress cell(listed.cell);
    const bool sound = cell.is_indirect() && cell.offset_bytes() + pool::kUnitBytes <= pool_bytes;
    if (!sound || worker_of(listed.routing_hash, workers) != worker ||
        find(listed.routing_hash) != nullptr) {
      continue;
    }
    const std::span owners = std::span(listed.owners).first(listed.owner_count);
    SharedKey key;
    key.routing_hash = listed.routing_hash;
    key.cell = cell;
    key.is_writer = ring.owner_of(listed.routing_hash) == kn_slot;
    key.reads = std::ranges::find(owners, kn_slot) != owners.end();
    const auto old = std::find_if(
        before_.begin(), before_.begin() + static_cast<ptrdiff_t>(before),
        [&](const SharedKey& k) { return k.routing_hash == key.routing_hash && k.cell == cell; });
    if (old != before_.begin() + static_cast<ptrdiff_t>(before)) {
      key.writing = old->writing;
      key.unshown_lsn = old->unshown_lsn;
      key.cell_lsn = old->cell_lsn;
      key.target = old->target;
    }
    insert(key.routing_hash, static_cast<uint16_t>(size_));
    keys_[size_++] = key;
    if (size_ == keys_.size()) return;
  }
}

}  // namespace dinomo::kn
