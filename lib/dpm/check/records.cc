// SPDX-License-Identifier: BSD-3-Clause
#include <bit>

#include "common/hash.h"
#include "dpm/check/audit.h"
#include "dpm/check/words.h"
#include "log/format.h"
#include "pool/superblock.h"

namespace dinomo::dpm {

namespace {

void audit_root(Audit& a) {
  const pool::Superblock& s = a.space.superblock();
  auto& root = *a.space.record<pool::IndexRoot>(s.index_root_offset);
  const uint64_t most = s.pool_bytes / 64;
  const bool fits = std::has_single_bit(root.buckets_min) && root.buckets_min <= most;
  if (root.buckets_min == 0 || fits) return;  // 0: no lower bound
  a.report.add(Problem::kIndexRoot, s.index_root_offset,
               "buckets_min is " + std::to_string(root.buckets_min) +
                   ", no power of two that fits the pool");
  if (!a.repair) return;
  root.buckets_min = pool::TableRef(root.current).buckets();
  a.space.persist().persist(&root, sizeof root);
}

void audit_log_records(Audit& a) {
  const pool::Superblock& s = a.space.superblock();
  for (uint32_t id = 0; id < pool::log_count(s); ++id) {
    const uint64_t offset = pool::log_record_offset(s, id);
    const auto& r = *a.space.record<pool::LogRecord>(offset);
    const std::string log = "log " + std::to_string(id) + ": ";
    if (r.merged_lsn >> log::kLsnBits != 0) {
      a.report.add(Problem::kLogRecord, offset,
                   log + "merged_lsn " + hex(r.merged_lsn) + " is no LSN");
    }
    if (r.merged_sequence > r.granted_sequence) {
      a.report.add(Problem::kLogRecord, offset,
                   log + "segment " + std::to_string(r.merged_sequence) + " is merged, but only " +
                       std::to_string(r.granted_sequence) + " were granted");
    }
  }
}

void audit_kn_slots(Audit& a) {
  const pool::Superblock& s = a.space.superblock();
  for (uint32_t slot = 0; slot < s.kn_slots; ++slot) {
    const uint64_t offset = pool::kn_slot_offset(s, slot);
    auto& k = *a.space.record<pool::KnSlot>(offset);
    if (k.state <= static_cast<uint32_t>(pool::KnState::kFenced)) continue;
    a.report.add(Problem::kKnSlot, offset,
                 "KN slot " + std::to_string(slot) + " has state " + std::to_string(k.state));
    if (!a.repair) continue;
    k.state = static_cast<uint32_t>(pool::KnState::kFenced);
    a.space.persist().persist(&k, kCacheLineBytes);
  }
}

bool ring_valid(const pool::RingRecord& record) {
  pool::RingRecord copy = record;
  copy.checksum = 0;
  return checksum64(object_bytes(copy)) == record.checksum;
}

void audit_ring(Audit& a) {
  const uint64_t offset = a.space.superblock().ring_offset;
  const auto* copies = a.space.record<pool::RingRecord>(offset);
  // The writer changes one copy at a time, so after a crash one may be torn; both never are.
  for (int i = 0; i < 2; ++i) {
    if (copies[i].version == 0 || ring_valid(copies[i])) return;
  }
  a.report.add(Problem::kRing, offset,
               "the checksums of both copies do not fit (versions " +
                   std::to_string(copies[0].version) + " and " + std::to_string(copies[1].version) +
                   ")");
}

}  // namespace

void audit_records(Audit& a) {
  audit_root(a);
  audit_log_records(a);
  audit_kn_slots(a);
  audit_ring(a);
}

}  // namespace dinomo::dpm
