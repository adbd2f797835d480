// SPDX-License-Identifier: BSD-3-Clause
// Client protocol, version 1, over UDP. Byte tables: doc/protocol.md. Little-endian throughout.
//
// A datagram is a DatagramHeader and `messages` messages, each a MessageHeader, extras, key, value
// and zero padding to 8 bytes. Requests of one datagram may be answered in several datagrams and
// the answers to several datagrams in one; `sequence` pairs them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace dinomo::wire {

inline constexpr uint16_t kMagic = 0x4e44;  // "DN"
inline constexpr uint8_t kVersion = 1;
inline constexpr uint16_t kDefaultPort = 11300;  // worker w listens on port + w

enum class Kind : uint8_t { kRequest = 0, kReply = 1 };

struct DatagramHeader {
  uint16_t magic;
  uint8_t version;
  uint8_t kind;
  uint16_t messages;      // 1..
  uint16_t flags;         // 0
  uint64_t session;       // from HELLO, 0 before it
  uint64_t cookie;        // from HELLO, 0 before it; replies carry 0
  uint32_t ring_version;  // the sender's; 0 unknown
  uint32_t stamp;         // the client's, echoed in replies to this datagram's first message
};
static_assert(sizeof(DatagramHeader) == 32 && offsetof(DatagramHeader, session) == 8);

enum class Opcode : uint8_t {
  kHello = 1,
  kPing = 2,
  kRing = 3,
  kStats = 4,
  kGet = 16,
  kPut = 32,
  kDelete = 33,
  kAdd = 34,
  kReplace = 35,
  kCas = 36,
  kAppend = 37,
  kPrepend = 38,
  kIncr = 39,
  kDecr = 40,
  kTouch = 41,
  kGetAndTouch = 42,
};

inline constexpr bool is_mutation(Opcode op) noexcept { return static_cast<uint8_t>(op) >= 32; }

enum class Status : uint8_t {
  kOk = 0,
  kNotFound = 1,
  kExists = 2,     // ADD: the key has a value; CAS: another version
  kNotStored = 3,  // REPLACE, APPEND, PREPEND: no such key
  kNotNumber = 4,  // INCR, DECR
  kBadRequest = 32,
  kTooLarge = 33,     // key, value or reply over the limits
  kUnsupported = 34,  // opcode unknown to this version
  kBadVersion = 35,   // the reply's header carries the version that the server speaks
  kTooOld = 36,       // a mutation behind the window: whether it ran is forgotten
  kNoSession = 64,    // no or no valid cookie: say HELLO again
  kWrongOwner = 65,   // fetch the ring again; extras: HintExtras
  kMoving = 66,       // partition in hand-over, retry after the hint
  kBusy = 67,         // shed, retry after the hint
  kNoSpace = 68,      // the pool is full; reads and deletes go on
  kSessionLost = 69,  // the session is forgotten: say HELLO for a new one (session 0)
  kInternal = 96,
};

/// Request flags.
inline constexpr uint8_t kWantItem = 1;  // GET: the reply carries ItemExtras
inline constexpr uint8_t kRepeated = 2;  // mutations: this may have been sent before

/// Starts at a multiple of 8 bytes. In requests `status` is 0.
struct MessageHeader {
  uint8_t opcode;
  uint8_t status;
  uint8_t flags;
  uint8_t key_bytes;     // 0..250; replies carry no key
  uint16_t value_bytes;  // 0..61440
  uint16_t extra_bytes;  // 0, or the size of the opcode's extras (multiple of 8)
  uint64_t sequence;     // mutations: dense per session from 1; below 2^56; echoed
};
static_assert(sizeof(MessageHeader) == 16);

// Extras of requests. A request may leave them out where a default is named.
struct PutExtras {  // PUT ADD REPLACE APPEND PREPEND; default: all 0
  uint64_t ttl_ms;  // 0 never expires
  uint32_t item_flags;
  uint32_t reserved;
};
struct CasExtras {
  uint64_t version;
  PutExtras put;
};
struct CounterExtras {  // INCR DECR
  uint64_t delta;
  uint64_t initial;  // stored if there is no item and create is 1
  uint64_t ttl_ms;
  uint32_t create;
  uint32_t reserved;
};
struct TouchExtras {  // TOUCH GAT
  uint64_t ttl_ms;
};
struct RingExtras {   // default: all 0
  uint16_t first_kn;  // first KN record wanted
  uint16_t first_partition;
  uint16_t first_replicated;  // once all partitions are there
  uint16_t reserved;
};
struct HelloExtras {
  uint32_t window;  // mutations in flight that the client would like
  uint32_t reserved;
  uint64_t token;  // of the session in the datagram's header, to go on with it
};

// Extras of replies.
struct ItemExtras {  // GET with kWantItem, GAT
  uint64_t version;
  uint64_t expiry_ms;
  uint32_t item_flags;
  uint32_t reserved;
};
struct VersionExtras {  // mutations that changed an item
  uint64_t version;
};
struct HintExtras {  // WRONG_OWNER MOVING BUSY
  uint32_t retry_us;
  uint16_t kn_slot;  // the owner, if the server knows it, else 0xffff
  uint16_t worker;
};
static_assert(sizeof(PutExtras) == 16 && sizeof(CasExtras) == 24 && sizeof(CounterExtras) == 32);
static_assert(sizeof(ItemExtras) == 24 && sizeof(HintExtras) == 8 && sizeof(RingExtras) == 8);

/// Value of a HELLO reply.
struct HelloReply {
  uint64_t session;
  uint64_t cookie;
  uint64_t token;   // shown to other KNs, and later
  uint32_t window;  // mutations in flight that the server accepts
  uint32_t ring_version;
  uint16_t key_bytes_max;
  uint16_t reserved0;
  uint32_t value_bytes_max;
  uint32_t session_idle_ms;     // a session unused for longer may be forgotten
  uint16_t datagram_bytes_max;  // UDP payload that the server accepts and sends unfragmented
  uint16_t kn_slot;
  uint64_t server_unix_ms;
  uint32_t cookie_ms;  // the cookie is good for so long at least
  uint32_t reserved1;
};
static_assert(sizeof(HelloExtras) == 16 && sizeof(HelloReply) == 64);

/// Without a valid cookie no reply is larger than its request, so a HELLO is padded to this many
/// bytes of UDP payload (by a value of zeros).
inline constexpr size_t kHelloBytesMin = 128;

/// Value of a RING reply: RingPage, kn_count KnRecords, partition_count owner slots (uint16 each),
/// and in the rest ReplicatedRecords, if the page ends with the last partition or was asked for
/// from behind it. The client asks again with larger firsts until it has kn_total records, 4096
/// partitions and replicated_total replicated keys.
struct RingPage {
  uint32_t ring_version;
  uint16_t kn_total;
  uint16_t first_kn;
  uint16_t kn_count;
  uint16_t first_partition;
  uint16_t partition_count;
  uint16_t replicated_total;
};
static_assert(sizeof(RingPage) == 16);
inline constexpr size_t kReplicasMax = 16;
/// A key that several KNs serve reads of; mutations go to the owner of its partition.
struct ReplicatedRecord {
  uint64_t routing_hash;
  uint16_t number;  // from 0, in the ring's order
  uint16_t owner_count;
  std::array<uint16_t, kReplicasMax> owners;  // KN slots
  uint32_t reserved;
};
static_assert(sizeof(ReplicatedRecord) == 48);
struct KnRecord {
  std::array<uint8_t, 16> address;  // IPv6, or IPv4 mapped
  uint16_t kn_slot;
  uint16_t udp_port_base;
  uint16_t workers;
  uint16_t state;
};
static_assert(sizeof(KnRecord) == 24);

inline constexpr size_t kDatagramBytesMax = 1472;  // UDP payload on a 1500-byte path

}  // namespace dinomo::wire
