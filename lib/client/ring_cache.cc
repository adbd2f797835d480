// SPDX-License-Identifier: BSD-3-Clause
#include "client/ring_cache.h"

#include <cstring>

#include "common/bytes.h"

namespace dinomo::client {

wire::RingExtras RingAssembler::wanted() const noexcept {
  return {static_cast<uint16_t>(view_.kns.size()), static_cast<uint16_t>(partitions_), 0};
}

void RingAssembler::restart() noexcept {
  view_.version = 0;
  view_.kns.clear();
  partitions_ = 0;
}

Status RingAssembler::add_page(Bytes value) noexcept {
  if (value.size() < sizeof(wire::RingPage)) return Status::kCorrupt;
  const auto page = load<wire::RingPage>(value.data());
  const size_t kn_bytes = page.kn_count * sizeof(wire::KnRecord);
  const size_t owner_bytes = page.partition_count * sizeof(uint16_t);
  if (page.ring_version == 0 || value.size() != sizeof page + kn_bytes + owner_bytes) {
    return Status::kCorrupt;
  }
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
      (!more_kns && !more_partitions)) {
    return Status::kCorrupt;
  }
  view_.version = page.ring_version;
  const std::byte* at = value.data() + sizeof page;
  for (uint32_t i = 0; i < page.kn_count; ++i, at += sizeof(wire::KnRecord)) {
    view_.kns.push_back(load<wire::KnRecord>(at));
  }
  if (owner_bytes != 0) std::memcpy(view_.owner.data() + partitions_, at, owner_bytes);
  partitions_ += page.partition_count;
  const bool complete = view_.kns.size() >= page.kn_total && partitions_ == kPartitions;
  return complete ? Status::kOk : Status::kInProgress;
}

}  // namespace dinomo::client
