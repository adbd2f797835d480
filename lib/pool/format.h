// SPDX-License-Identifier: BSD-3-Clause
// Records at fixed places of a pool: superblock, pool state, directory, leader lease, ring, session
// table, mailboxes, segment headers, indirection cells. Byte tables: doc/formats.md. All integers
// are little-endian; offsets are bytes from the start of the pool; reserved bytes are zero.
//
// Every record names its writer. Where writer and readers are different nodes, each writer has
// cache lines of its own.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace dinomo::pool {

static_assert(std::endian::native == std::endian::little, "the formats are little-endian");

inline constexpr uint64_t kSuperblockMagic = 0x4b4c'4253'4d4e'4944;  // "DINMSBLK"
inline constexpr uint32_t kFormatVersion = 2;
inline constexpr const char* kLayoutName = "dinomo-1";  // libpmemobj layout, shown by pmempool info

inline constexpr uint32_t kKeyBytesMax = 250;
inline constexpr uint32_t kValueBytesMax = 60 * 1024;

/// libpmemobj type numbers; recovery enumerates objects by them.
enum class ObjectType : uint64_t {
  kRoot = 0,
  kSegment = 1,
  kIndexTable = 2,
  kOverflow = 3,
  kCells = 4,
  kPins = 5
};

/// Written once, when the pool is made; any change means corruption.
struct alignas(64) Superblock {
  uint64_t magic;
  uint32_t format_version;
  uint32_t superblock_bytes;  // 4096
  std::array<uint8_t, 16> uuid;
  uint16_t node_id;         // of this DPM node, as in global addresses
  uint16_t kn_slots;        // directory slots
  uint16_t workers_per_kn;  // logs per slot
  uint16_t mailbox_cells;   // per worker
  uint64_t pool_bytes;
  uint64_t segment_bytes;
  uint64_t hash_seed;  // secret seed of key hashes
  uint64_t created_unix_ms;
  uint64_t state_offset;       // PoolState
  uint64_t index_root_offset;  // IndexRoot
  uint64_t leader_offset;      // LeaderLease
  uint64_t directory_offset;   // KnSlot[kn_slots]
  uint64_t logs_offset;        // LogRecord[kn_slots * workers_per_kn], by log id
  uint64_t mailboxes_offset;   // MailboxCell[kn_slots * (workers_per_kn + 1) * mailbox_cells]
  uint64_t ring_offset;        // RingRecord[2]
  uint64_t sessions_offset;    // session_count records of session_bytes(session_window)
  uint32_t session_count;
  uint32_t session_window;
  uint32_t key_bytes_max;
  uint32_t value_bytes_max;
  std::array<uint8_t, 3936> reserved;
  uint64_t checksum;  // checksum64 of bytes 0..4087
};
static_assert(sizeof(Superblock) == 4096 && std::is_trivially_copyable_v<Superblock>);
static_assert(offsetof(Superblock, uuid) == 16 && offsetof(Superblock, pool_bytes) == 40);
static_assert(offsetof(Superblock, state_offset) == 72);
static_assert(offsetof(Superblock, session_count) == 136);
static_assert(offsetof(Superblock, checksum) == 4088);

/// Written by the DPM.
struct alignas(64) PoolState {
  uint64_t boot_count;      // +1 at every start of the DPM
  uint64_t clean_shutdown;  // kCleanShutdown after an orderly stop, else 0
  uint64_t heartbeat;       // +1 while the DPM serves; KNs watch it
  uint64_t persistence;     // Persistence: durability domain in force
  uint64_t cells_offset;    // IndirectionCell[kCellCount], 0: none was ever wanted
  uint64_t cells_version;   // changes after every change of which keys have a cell
  uint64_t pins_offset;     // PinTable, 0: none was ever wanted
  uint64_t pins_version;    // changes after every change of what is pinned
};
static_assert(sizeof(PoolState) == 64 && offsetof(PoolState, pins_version) == 56);
inline constexpr uint64_t kCleanShutdown = 0x4e41'454c'4344'4e45;

enum class Persistence : uint64_t {
  kDax = 1,        // flushed to the persistence domain: survives power failure
  kPageCache = 2,  // survives a crash of any process, not a power failure
  kMsync = 3,      // ordinary file, msync before each acknowledgement: survives power failure
};

/// Written by the DPM, each word by one atomic store; read by KNs with one read.
/// A table reference is offset in 64-byte units (bits 0..35), log2 of the bucket count (36..41),
/// table version (42..57).
struct alignas(64) IndexRoot {
  uint64_t current;      // table reference
  uint64_t next;         // table being filled by a resize, 0 none
  uint64_t buckets_min;  // of the pool's making: the index never shrinks below
  std::array<uint64_t, 5> reserved;
};
static_assert(sizeof(IndexRoot) == 64);

class TableRef {
 public:
  constexpr TableRef() noexcept = default;
  constexpr explicit TableRef(uint64_t word) noexcept : word_(word) {}
  constexpr TableRef(uint64_t offset_bytes, uint32_t buckets_log2, uint16_t version) noexcept
      : word_(offset_bytes / 64 | static_cast<uint64_t>(buckets_log2) << 36 |
              static_cast<uint64_t>(version) << 42) {}
  constexpr uint64_t word() const noexcept { return word_; }
  constexpr explicit operator bool() const noexcept { return word_ != 0; }
  constexpr uint64_t offset_bytes() const noexcept {
    return (word_ & ((uint64_t{1} << 36) - 1)) * 64;
  }
  constexpr uint32_t buckets_log2() const noexcept {
    return static_cast<uint32_t>(word_ >> 36 & 0x3f);
  }
  constexpr uint64_t buckets() const noexcept { return uint64_t{1} << buckets_log2(); }
  constexpr uint16_t version() const noexcept { return static_cast<uint16_t>(word_ >> 42); }
  constexpr bool operator==(const TableRef&) const noexcept = default;

 private:
  uint64_t word_ = 0;
};

/// The KN that holds this word acts as leader. Changed by CAS only.
struct alignas(64) LeaderLease {
  uint64_t holder;  // KN slot + 1 (bits 0..15), incarnation (16..47), term (48..63); 0 none
  uint64_t renewals;
  std::array<uint64_t, 6> reserved;
};
static_assert(sizeof(LeaderLease) == 64);

enum class KnState : uint32_t { kFree = 0, kActive = 1, kStandby = 2, kDraining = 3, kFenced = 4 };

/// What an operator wants of a KN slot, whoever registers there.
enum class KnWanted : uint32_t {
  kServing = 0,
  kDrained = 1,  // it owns nothing, but stays
  kRemoved = 2,  // it owns nothing, and its process ends
};

/// Directory slot of one KN.
struct alignas(64) KnSlot {
  // line 0: written by the DPM
  uint32_t state;        // KnState
  uint32_t incarnation;  // +1 at every registration
  uint64_t registered_unix_ms;
  std::array<uint64_t, 6> reserved0;
  // line 1: written by the KN's control lcore
  uint64_t heartbeat;
  uint32_t heartbeat_incarnation;
  uint32_t heartbeat_flags;
  uint64_t ring_version_seen;  // of the heartbeat's incarnation: it serves nothing beyond that ring
  uint32_t lease_us;           // it may serve for so long after this line was sent
  uint32_t weight;             // of this KN against others: how many partitions it is to have
  std::array<uint64_t, 4> reserved1;
  // line 2: written by the KN when it registers
  std::array<uint8_t, 16> address;  // IPv6, or IPv4 mapped (::ffff:a.b.c.d)
  uint16_t udp_port_base;           // worker w listens on base + w
  uint16_t workers;
  uint32_t ended_incarnation;  // one whose process is known to serve nothing any more, 0 none
  std::array<char, 40> name;   // zero-terminated, for people
  // line 3: written by the DPM, as an operator wants it; the KN's own registration leaves it alone
  uint32_t wanted;  // KnWanted
  std::array<uint32_t, 15> reserved3;
};
static_assert(sizeof(KnSlot) == 256);
static_assert(offsetof(KnSlot, heartbeat) == 64 && offsetof(KnSlot, address) == 128);
static_assert(offsetof(KnSlot, wanted) == 192);

/// KnSlot::heartbeat_flags: the KN asks the leader to take its partitions away.
inline constexpr uint32_t kHeartbeatLeaving = 1;

/// State of one log; log id = KN slot * workers_per_kn + worker.
struct alignas(64) LogRecord {
  // line 0: written by the KN worker with every batch; a hint and a doorbell, never the truth
  uint64_t tail_lsn;       // last LSN written
  uint64_t tail_sequence;  // sequence of the segment it lies in
  uint64_t tail_bytes;     // end of that segment's entries, from the segment's start
  uint32_t tail_incarnation;
  uint32_t reserved_tail;
  std::array<uint64_t, 4> reserved0;
  // line 1: written by the DPM
  uint64_t merged_lsn;        // every entry up to here is in the index and durable
  uint64_t granted_sequence;  // sequence of the newest segment granted
  uint64_t merged_sequence;   // every segment up to here is merged and closed
  uint32_t incarnation;       // of the KN that may append
  uint32_t sealed;  // 1: nothing after merged_lsn will ever be merged for that incarnation
  std::array<uint64_t, 4> reserved1;
};
static_assert(sizeof(LogRecord) == 128 && offsetof(LogRecord, merged_lsn) == 64);

inline constexpr uint32_t kPartitionCount = 4096;
inline constexpr uint32_t kReplicatedKeysMax = 256;
inline constexpr uint32_t kReplicasMax = 16;
inline constexpr uint16_t kNoOwner = 0xffff;
inline constexpr uint32_t kRingSlotsMax = 1000;  // KN slots that a ring can name
inline constexpr uint8_t kPartitionPinned = 1;   // PinTable names a KN for it
inline constexpr uint8_t kPartitionMoving = 2;  // its owner stops serving it, nobody else serves it

struct ReplicatedKey {
  uint64_t routing_hash;
  uint64_t cell;  // global address of the indirection cell
  uint16_t owner_count;
  std::array<uint16_t, kReplicasMax> owners;  // KN slots
  std::array<uint8_t, 14> reserved;

  bool operator==(const ReplicatedKey&) const noexcept = default;
};
static_assert(sizeof(ReplicatedKey) == 64);

/// One of two copies; the valid one with the higher version is in force. Written by the leader.
/// A partition is served by its owner, and only by the incarnation named here, unless it moves.
struct alignas(64) RingRecord {
  uint64_t version;   // 0: never written
  uint64_t checksum;  // checksum64 of the record with this field 0
  uint32_t state;     // 0 active, 1 proposed (hand-over under way)
  uint32_t replicated_count;
  uint64_t leader;  // LeaderLease.holder under which it was written; 0 none
  std::array<uint64_t, 4> reserved;
  std::array<uint16_t, kPartitionCount> owner;           // KN slot or kNoOwner
  std::array<uint8_t, kPartitionCount> partition_flags;  // bit 0 pinned, bit 1 moving
  std::array<ReplicatedKey, kReplicatedKeysMax> replicated;
  std::array<uint32_t, kRingSlotsMax> incarnation;  // of the owner, by KN slot
  std::array<uint8_t, 32> reserved_tail;
};
static_assert(sizeof(RingRecord) == 32768 && offsetof(RingRecord, owner) == 64);

/// Where partitions are wanted, whoever owns them now. Written by the DPM, each word by one store.
struct alignas(64) PinTable {
  std::array<uint16_t, kPartitionCount> target;  // KN slot + 1; 0: where placement puts it
};
static_assert(sizeof(PinTable) == 8192);

/// First outcome of one mutation of a session; a retry is answered from it. Written by the DPM.
struct OutcomeCell {
  uint64_t sequence;  // 0 none
  uint64_t version;   // item version that it made, or of its tombstone; 0: it failed
  uint64_t result;    // INCR/DECR: the number
  uint8_t status;     // wire::Status
  uint8_t opcode;     // wire::Opcode
  uint16_t reserved;
  uint32_t check;  // low half of checksum64 of bytes 0..27
};
static_assert(sizeof(OutcomeCell) == 32);

/// Followed by session_window OutcomeCells; request `sequence` uses cell sequence % window.
struct alignas(64) SessionRecord {
  uint64_t session;         // 0 free
  uint64_t sequence_floor;  // every mutation below is done and forgotten
  uint64_t active_unix_ms;
  uint64_t created_unix_ms;
  uint64_t horizon_ms;  // latest birth of a session that gave way here, 0: none ever did
  uint64_t flags;
  uint64_t reserved;
  uint64_t checksum;  // checksum64 of bytes 0..55
};
static_assert(sizeof(SessionRecord) == 64);
/// SessionRecord::flags: it has had a record before, and what stood there is forgotten.
inline constexpr uint64_t kSessionForgot = 1;
inline constexpr uint32_t kSessionWindowMax = 1024;  // a record is read as a whole
inline constexpr uint64_t session_bytes(uint32_t window) noexcept {
  return sizeof(SessionRecord) + uint64_t{window} * sizeof(OutcomeCell);
}

enum class MailboxOpcode : uint16_t {
  kNone = 0,
  kRegister = 1,      // args: workers, flags. reply: incarnation
  kSegmentGrant = 2,  // reply: segment offset, sequence, generation
  kMergeNow = 3,      // args: first log id, count, LSN. reply when merged up to it
  kFenceKn = 4,       // args: KN slot, incarnation. reply when sealed and merged
  kInstallCell = 5,   // args: key hash, routing hash, KNs wanted. reply: cell address
  kRemoveCell = 6,    // args: key hash, cell address. reply when nobody believes it any more
  kDeregister = 7,    // orderly leave: seal and merge this KN's logs
};

/// Request line: written by the KN with one 64-byte write. Reply line: written by the DPM. A line
/// whose checksum does not fit is being written and is read again.
struct alignas(64) MailboxLine {
  uint64_t checksum;  // checksum64 of bytes 8..63
  uint64_t sequence;  // request: +1 each; reply: that of the request it answers
  uint32_t incarnation;
  uint16_t opcode;
  uint16_t status;  // reply: dinomo::Status
  std::array<uint64_t, 5> args;
};
static_assert(sizeof(MailboxLine) == 64 && offsetof(MailboxLine, args) == 24);
struct alignas(64) MailboxCell {
  MailboxLine request;
  MailboxLine reply;
};
static_assert(sizeof(MailboxCell) == 128);

inline constexpr uint64_t kSegmentMagic = 0x3154'4745'534d'4e44;  // "DNMSEGT1"

enum class SegmentState : uint32_t {
  kFree = 0,
  kOpen = 1,    // granted to a log; entries may appear
  kMerged = 2,  // every valid entry is in the index; nothing is appended any more
};
enum class SegmentKind : uint16_t { kLog = 1, kCompacted = 2 };

/// First 128 bytes of a segment; entries follow.
struct alignas(64) SegmentHeader {
  // line 0: written by the DPM when it grants the segment
  uint64_t magic;
  uint32_t generation;  // +1 at every grant; entries and addresses carry it
  uint16_t log_id;
  uint16_t kind;      // SegmentKind
  uint64_t sequence;  // of this segment within its log, from 1, dense
  uint32_t incarnation;
  uint32_t reserved_grant;
  uint64_t granted_unix_ms;
  std::array<uint64_t, 2> reserved0;
  uint64_t checksum;  // checksum64 of bytes 0..55
  // line 1: written by the DPM
  uint32_t state;  // SegmentState
  uint32_t reserved_state;
  uint64_t end_bytes;  // kMerged: where the valid entries end, from the segment's start
  uint64_t last_lsn;   // kMerged: LSN of the last one
  std::array<uint64_t, 5> reserved1;
};
static_assert(sizeof(SegmentHeader) == 128 && offsetof(SegmentHeader, checksum) == 56);
static_assert(offsetof(SegmentHeader, state) == 64);

/// Of a hot key that several KNs may read: beside the index (kn/shared_keys.h). That a key has one
/// is also the wish that the leader list it in the ring.
struct alignas(64) IndirectionCell {
  uint64_t address;  // of the newest entry that is shown, 0: ask the writer. Never torn
  uint64_t key_hash;
  uint64_t generation;
  uint64_t routing_hash;
  uint64_t kns_wanted;  // that may read it, with the one that writes it; 0: all there are
  std::array<uint64_t, 2> reserved;
  uint64_t checksum;  // checksum64 of key_hash, generation and routing_hash
};
static_assert(sizeof(IndirectionCell) == 64);

}  // namespace dinomo::pool
