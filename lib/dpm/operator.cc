// SPDX-License-Identifier: BSD-3-Clause
#include "dpm/operator.h"

#include <atomic>
#include <cstring>
#include <map>

#include "common/align.h"
#include "pool/superblock.h"

namespace dinomo::dpm {

using pool::KnState;
using pool::KnWanted;

namespace {

pool::KnSlot& line_of(pool::Space& space, uint64_t slot) noexcept {
  return *space.record<pool::KnSlot>(
      pool::kn_slot_offset(space.superblock(), static_cast<uint32_t>(slot)));
}

bool is_slot(pool::Space& space, uint64_t kn_slot) noexcept {
  return kn_slot < space.superblock().kn_slots && kn_slot < pool::kRingSlotsMax;
}

std::string no_slot(uint64_t kn_slot, uint32_t slots) {
  return "there is no KN slot " + std::to_string(kn_slot) + ": this pool has " +
         std::to_string(slots) + ", from 0 on";
}

std::string told(Status pinned) {
  switch (pinned) {
    case Status::kOk: return "";
    case Status::kInvalid: return "partitions go from 0 to " + std::to_string(kPartitions - 1);
    case Status::kNoSpace: return "the pool has no room for the table of pins";
    default: return status_name(pinned);
  }
}

bool takes_partitions(const pool::KnSlot& line) noexcept {
  return line.state == static_cast<uint32_t>(KnState::kActive) &&
         line.wanted == static_cast<uint32_t>(KnWanted::kServing);
}

}  // namespace

ClusterReport report_cluster(pool::Space& space) {
  const pool::Superblock& s = space.superblock();
  ClusterReport report;
  // A copy: the leader may be writing, and then the checksum has to tell.
  std::vector<std::byte> records(2 * sizeof(pool::RingRecord));
  std::memcpy(records.data(), space.at(s.ring_offset), records.size());
  report.ring = ring::newest_of(records);
  const auto leader = load<uint64_t>(space.at(s.leader_offset));
  std::vector<KnReport> all(s.kn_slots);
  for (uint32_t p = 0; p < kPartitions; ++p) {
    const uint16_t owner = report.ring.owner[p];
    if (owner >= all.size()) {
      ++report.orphans;
      continue;
    }
    ++all[owner].partitions;
    if (report.ring.moving[p]) ++all[owner].moving;
  }
  for (uint16_t slot = 0; slot < s.kn_slots; ++slot) {
    KnReport& kn = all[slot];
    kn.kn_slot = slot;
    std::memcpy(&kn.line, &line_of(space, slot), sizeof kn.line);
    kn.leads = (leader & 0xffff) == slot + 1u;
    if (kn.line.incarnation != 0 || kn.line.wanted != 0) report.kns.push_back(kn);
  }
  return report;
}

std::vector<ReplicatedReport> report_replicated(pool::Space& space, CellTable& cells) {
  std::map<uint64_t, ReplicatedReport> keys;
  for (const pool::IndirectionCell& cell : cells.given()) {
    keys[cell.routing_hash] = {cell.routing_hash, true, cell.kns_wanted, {}};
  }
  const ring::Ring ring = report_cluster(space).ring;
  for (const pool::ReplicatedKey& key : ring.replicated) {
    ReplicatedReport& report = keys[key.routing_hash];
    report.routing_hash = key.routing_hash;
    report.kns.assign(key.owners.begin(), key.owners.begin() + key.owner_count);
  }
  std::vector<ReplicatedReport> all;
  all.reserve(keys.size());
  for (auto& [routing_hash, report] : keys) all.push_back(std::move(report));
  return all;
}

std::string replicate(pool::Space& space, CellTable& cells, Bytes key, uint64_t kns_wanted) {
  const uint64_t hash = key_hash(key, space.superblock().hash_seed);
  const auto cell = cells.install(hash, routing_hash(key), kns_wanted);
  if (cell) return "";
  switch (cell.error()) {
    case Status::kNoResource:
      return std::to_string(pool::kReplicatedKeysMax) +
             " keys are replicated, which is all there can be: dereplicate one first";
    case Status::kNoSpace: return "the pool has no room for the cells of replicated keys";
    case Status::kInvalid: return "another replicated key has the same routing hash";
    default: return status_name(cell.error());
  }
}

std::string dereplicate(pool::Space& space, CellTable& cells, Bytes key) {
  const Status status = cells.remove(key_hash(key, space.superblock().hash_seed), {});
  return ok(status) ? "" : status_name(status);
}

std::string pin(pool::Space& space, PinTable& pins, const Pin& wanted) {
  const uint32_t slots = space.superblock().kn_slots;
  if (!is_slot(space, wanted.kn_slot)) return no_slot(wanted.kn_slot, slots);
  return told(pins.pin(wanted.first, wanted.count, wanted.kn_slot + uint64_t{1}));
}

std::string unpin(PinTable& pins, uint64_t first, uint64_t count) {
  return told(pins.pin(first, count, 0));
}

std::string want(pool::Space& space, uint64_t kn_slot, KnWanted wanted, bool force) {
  const uint32_t slots = space.superblock().kn_slots;
  if (!is_slot(space, kn_slot)) return no_slot(kn_slot, slots);
  pool::KnSlot& line = line_of(space, kn_slot);
  if (wanted != KnWanted::kServing && takes_partitions(line) && !force) {
    uint32_t others = 0;
    for (uint32_t slot = 0; slot < slots; ++slot) {
      if (slot != kn_slot && takes_partitions(line_of(space, slot))) ++others;
    }
    if (others == 0) {
      return "KN slot " + std::to_string(kn_slot) +
             " is the last one that takes partitions: start or add another one first; with " +
             (wanted == KnWanted::kRemoved
                  ? "--force it ends, and nobody serves until another one comes"
                  : "--force it is drained as soon as another one comes, and serves until then");
    }
  }
  std::atomic_ref<uint32_t>(line.wanted)
      .store(static_cast<uint32_t>(wanted), std::memory_order_release);
  space.persist().persist(&line.wanted, kCacheLineBytes);
  return "";
}

}  // namespace dinomo::dpm
