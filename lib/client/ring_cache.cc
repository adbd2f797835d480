// SPDX-License-Identifier: BSD-3-Clause
#include "client/ring_cache.h"

#include <algorithm>
#include <cstring>

#include "common/bytes.h"

namespace dinomo::client {

wire::RingExtras RingAssembler::wanted() const noexcept {
  return {static_cast<uint16_t>(view_.kns.size()), static_cast<uint16_t>(partitions_),
          static_cast<uint16_t>(view_.replicated.size()), 0};
}

const wire::ReplicatedRecord* RingView::find_replicated(uint64_t routing_hash) const noexcept {
  const auto found =
      std::ranges::lower_bound(replicated, routing_hash, {}, &wire::ReplicatedRecord::routing_hash);
  const bool there = found != replicated.end() && found->routing_hash == routing_hash;
  return there ? &*found : nullptr;
}

void RingAssembler::restart() noexcept {
  view_.version = 0;
  view_.kns.clear();
  view_.replicated.clear();
  partitions_ = 0;
}

Status RingAssembler::add_page(Bytes value) noexcept {
  if (value.size() < sizeof(wire::RingPage)) return Status::kCorrupt;
  const auto page = load<wire::RingPage>(value.data());
  const size_t kn_bytes = page.kn_count * sizeof(wire::KnRecord);
  const size_t owner_bytes = page.partition_count * sizeof(uint16_t);
  if (page.ring_version == 0 || value.size() < sizeof page + kn_bytes + owner_bytes) {
    return Status::kCorrupt;
  }
  const Bytes replicated = value.subspan(sizeof page + kn_bytes + owner_bytes);
  if (replicated.size() % sizeof(wire::ReplicatedRecord) != 0) return Status::kCorrupt;
  const bool first = view_.kns.empty() && partitions_ == 0;
  if (!first && page.ring_version != view_.version) {
    restart();
    return Status::kStale;
  }
  const wire::RingExtras asked = wanted();
  const bool more_kns = page.kn_count != 0 && page.first_kn == asked.first_kn;
  const bool more_partitions = page.partition_count != 0 &&
                               page.first_partition == asked.first_partition &&
                               partitions_ + page.partition_count <= kPartitions;
  if ((page.kn_count != 0 && !more_kns) || (page.partition_count != 0 && !more_partitions) ||
      (!more_kns && !more_partitions && replicated.empty())) {
    return Status::kCorrupt;
  }
  view_.version = page.ring_version;
  const std::byte* at = value.data() + sizeof page;
  for (uint32_t i = 0; i < page.kn_count; ++i, at += sizeof(wire::KnRecord)) {
    view_.kns.push_back(load<wire::KnRecord>(at));
  }
  if (owner_bytes != 0) std::memcpy(view_.owner.data() + partitions_, at, owner_bytes);
  partitions_ += page.partition_count;
  if (!add_replicated(replicated)) return Status::kCorrupt;
  const bool complete = view_.kns.size() >= page.kn_total && partitions_ == kPartitions &&
                        view_.replicated.size() >= page.replicated_total;
  if (!complete) return Status::kInProgress;
  std::ranges::sort(view_.replicated, {}, &wire::ReplicatedRecord::routing_hash);
  return Status::kOk;
}

/// False if they are not those that were asked for.
bool RingAssembler::add_replicated(Bytes records) noexcept {
  for (; !records.empty(); records = records.subspan(sizeof(wire::ReplicatedRecord))) {
    const auto record = load<wire::ReplicatedRecord>(records.data());
    if (record.number != view_.replicated.size() || record.owner_count > wire::kReplicasMax) {
      return false;
    }
    view_.replicated.push_back(record);
  }
  return true;
}

}  // namespace dinomo::client
