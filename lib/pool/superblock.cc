// SPDX-License-Identifier: BSD-3-Clause
#include "pool/superblock.h"

#include "common/align.h"
#include "common/hash.h"

namespace dinomo::pool {

namespace {

/// Places the records of the root object one after another.
struct Placement {
  uint64_t at;
  uint64_t take(uint64_t bytes) noexcept {
    const uint64_t here = at;
    at = align_up<uint64_t>(at + bytes, kCacheLineBytes);
    return here;
  }
};

Superblock place(const PoolGeometry& g, uint64_t root_offset) noexcept {
  Superblock s{};
  Placement p{root_offset};
  p.take(sizeof(Superblock));
  s.state_offset = p.take(sizeof(PoolState));
  s.index_root_offset = p.take(sizeof(IndexRoot));
  s.leader_offset = p.take(sizeof(LeaderLease));
  s.directory_offset = p.take(uint64_t{g.kn_slots} * sizeof(KnSlot));
  s.logs_offset = p.take(uint64_t{g.kn_slots} * g.workers_per_kn * sizeof(LogRecord));
  s.mailboxes_offset = p.take(uint64_t{g.kn_slots} * (g.workers_per_kn + 1u) * g.mailbox_cells *
                              sizeof(MailboxCell));
  s.ring_offset = p.take(2 * sizeof(RingRecord));
  s.sessions_offset = p.take(g.session_count * session_bytes(g.session_window));
  s.pool_bytes = p.at - root_offset;  // borrowed by root_bytes(); overwritten by make_superblock()
  return s;
}

Status fail(Status status, std::string* why, std::string text) noexcept {
  if (why != nullptr) *why = std::move(text);
  return status;
}

uint64_t superblock_checksum(const Superblock& s) noexcept {
  return checksum64(object_bytes(s).first(offsetof(Superblock, checksum)));
}

bool inside(uint64_t offset, uint64_t bytes, uint64_t pool_bytes) noexcept {
  return offset % kCacheLineBytes == 0 && offset != 0 && offset < pool_bytes &&
         bytes <= pool_bytes - offset;
}

bool records_inside(const Superblock& s) noexcept {
  return inside(s.state_offset, sizeof(PoolState), s.pool_bytes) &&
         inside(s.index_root_offset, sizeof(IndexRoot), s.pool_bytes) &&
         inside(s.leader_offset, sizeof(LeaderLease), s.pool_bytes) &&
         inside(s.directory_offset, uint64_t{s.kn_slots} * sizeof(KnSlot), s.pool_bytes) &&
         inside(s.logs_offset, uint64_t{log_count(s)} * sizeof(LogRecord), s.pool_bytes) &&
         inside(
             s.mailboxes_offset,
             uint64_t{s.kn_slots} * (s.workers_per_kn + 1u) * s.mailbox_cells * sizeof(MailboxCell),
             s.pool_bytes) &&
         inside(s.ring_offset, 2 * sizeof(RingRecord), s.pool_bytes) && s.session_count != 0 &&
         s.session_window != 0 && s.session_window <= kSessionWindowMax &&
         inside(s.sessions_offset, s.session_count * session_bytes(s.session_window), s.pool_bytes);
}

}  // namespace

uint64_t root_bytes(const PoolGeometry& geometry) noexcept { return place(geometry, 0).pool_bytes; }

Superblock make_superblock(const PoolGeometry& geometry, uint64_t root_offset, uint64_t pool_bytes,
                           const std::array<uint8_t, 16>& uuid, uint64_t hash_seed,
                           uint64_t unix_ms) noexcept {
  Superblock s = place(geometry, root_offset);
  s.magic = kSuperblockMagic;
  s.format_version = kFormatVersion;
  s.superblock_bytes = sizeof(Superblock);
  s.uuid = uuid;
  s.node_id = geometry.node_id;
  s.kn_slots = geometry.kn_slots;
  s.workers_per_kn = geometry.workers_per_kn;
  s.mailbox_cells = geometry.mailbox_cells;
  s.pool_bytes = pool_bytes;
  s.segment_bytes = geometry.segment_bytes;
  s.hash_seed = hash_seed;
  s.created_unix_ms = unix_ms;
  s.session_count = geometry.session_count;
  s.session_window = geometry.session_window;
  s.key_bytes_max = kKeyBytesMax;
  s.value_bytes_max = kValueBytesMax;
  s.checksum = superblock_checksum(s);
  return s;
}

Status check_superblock(const Superblock& s, uint64_t pool_bytes, std::string* why) noexcept {
  if (s.magic != kSuperblockMagic) {
    return fail(Status::kInvalid, why,
                "no Dinomo superblock: this is not a Dinomo pool, or its start was overwritten; "
                "check the path, or restore the pool from a backup");
  }
  if (s.format_version != kFormatVersion) {
    return fail(Status::kVersion, why,
                "pool format version " + std::to_string(s.format_version) +
                    ", this build knows only version " + std::to_string(kFormatVersion) +
                    "; use the dinomo-dpm release that wrote it");
  }
  if (s.superblock_bytes != sizeof(Superblock) || superblock_checksum(s) != s.checksum) {
    return fail(Status::kCorrupt, why,
                "the superblock's checksum does not fit: it was damaged; restore the pool from a "
                "backup");
  }
  if (s.pool_bytes != pool_bytes) {
    return fail(Status::kCorrupt, why,
                "the superblock says " + std::to_string(s.pool_bytes) + " bytes, the pool has " +
                    std::to_string(pool_bytes) + ": it was truncated or grown by hand");
  }
  if (!records_inside(s)) {
    return fail(Status::kCorrupt, why, "the superblock points outside of the pool");
  }
  return Status::kOk;
}

}  // namespace dinomo::pool
