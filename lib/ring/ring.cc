// SPDX-License-Identifier: BSD-3-Clause
#include "ring/ring.h"

#include <algorithm>
#include <cstring>

#include "common/bytes.h"

namespace dinomo::ring {

namespace {

uint64_t record_checksum(pool::RingRecord record) noexcept {
  record.checksum = 0;
  return checksum64(object_bytes(record));
}

}  // namespace

pool::RingRecord to_record(const Ring& ring) noexcept {
  pool::RingRecord record{};
  record.version = ring.version;
  record.state = ring.moving.any() ? 1 : 0;
  record.leader = ring.leader;
  record.owner = ring.owner;
  for (uint32_t p = 0; p < kPartitions; ++p) {
    record.partition_flags[p] = static_cast<uint8_t>((ring.pinned[p] ? pool::kPartitionPinned : 0) |
                                                     (ring.moving[p] ? pool::kPartitionMoving : 0));
  }
  record.incarnation = ring.incarnation;
  record.checksum = record_checksum(record);
  return record;
}

bool from_record(const pool::RingRecord& record, Ring* ring) noexcept {
  if (record.version == 0 || record_checksum(record) != record.checksum) return false;
  ring->version = record.version;
  ring->leader = record.leader;
  ring->owner = record.owner;
  for (uint32_t p = 0; p < kPartitions; ++p) {
    ring->pinned[p] = (record.partition_flags[p] & pool::kPartitionPinned) != 0;
    ring->moving[p] = (record.partition_flags[p] & pool::kPartitionMoving) != 0;
  }
  ring->incarnation = record.incarnation;
  return true;
}

Ring newest_of(Bytes records) noexcept {
  Ring newest;
  for (size_t at = 0; at + sizeof(pool::RingRecord) <= records.size();
       at += sizeof(pool::RingRecord)) {
    Ring candidate;
    const auto record = load<pool::RingRecord>(records.data() + at);
    if (from_record(record, &candidate) && candidate.version > newest.version) newest = candidate;
  }
  return newest;
}

std::unique_ptr<Ring> newest_on_heap(Bytes records) {
  return std::make_unique<Ring>(newest_of(records));
}

size_t encode_page(const Ring& ring, const wire::RingExtras& wanted, std::byte* out,
                   size_t capacity) noexcept {
  wire::RingPage page{};
  page.ring_version = static_cast<uint32_t>(ring.version);
  page.kn_total = static_cast<uint16_t>(ring.kns.size());
  page.first_kn = std::min(wanted.first_kn, page.kn_total);
  size_t room = capacity - sizeof page;
  page.kn_count = static_cast<uint16_t>(
      std::min<size_t>(page.kn_total - page.first_kn, room / sizeof(wire::KnRecord)));
  room -= page.kn_count * sizeof(wire::KnRecord);
  page.first_partition = std::min<uint16_t>(wanted.first_partition, kPartitions);
  page.partition_count = static_cast<uint16_t>(
      std::min<size_t>(kPartitions - page.first_partition, room / sizeof(uint16_t)));
  std::byte* at = out;
  store(at, page);
  at += sizeof page;
  const size_t kn_bytes = page.kn_count * sizeof(wire::KnRecord);
  if (kn_bytes != 0) std::memcpy(at, ring.kns.data() + page.first_kn, kn_bytes);
  at += kn_bytes;
  const size_t owner_bytes = page.partition_count * sizeof(uint16_t);
  std::memcpy(at, ring.owner.data() + page.first_partition, owner_bytes);
  return static_cast<size_t>(at + owner_bytes - out);
}

}  // namespace dinomo::ring
