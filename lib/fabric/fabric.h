// SPDX-License-Identifier: BSD-3-Clause
// The Fabric seam, user side: one-sided access of a KN lcore to one DPM node's pool.
//
//   Fabric (per DPM node, control thread)  --open_queue-->  Queue (per lcore, owner lcore only)
//
// Protocol, after UCX: posting answers
//   kInProgress   the Completion will be called later, from poll() on this lcore, never from inside
//                 the post itself; buffers and Completion stay valid and untouched until then;
//   kNoResource   the queue is full, nothing was posted: poll and try again;
//   any other     an error that was known at once; nothing was posted, no completion comes.
// A completion's status: kOk; kOutOfRange (this operation); kUnreachable (the connection is gone:
// close, connect again); kFenced (access was revoked: register again); kNodeDown.
//
// Order: operations of a queue may take effect in any order, except that a write posted with
// `after_previous` takes effect after the write posted before it. Completions of one queue are
// delivered in the order of posting.
//
// Cost: read, write, compare_swap, fetch_add are one round trip each; a chained write is none of
// its own. A queue counts verbs, bytes and round trips by purpose (design: RT accounting).
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "common/bytes.h"
#include "common/status.h"
#include "pool/format.h"

namespace dinomo::fabric {

/// Posted operation; owned by the caller, untouched by it until called back.
struct Completion {
  using Callback = void (*)(Completion*, Status) noexcept;
  Callback callback = nullptr;
};

/// What an operation is for, so that round trips can be accounted for. The names are metric labels.
enum class Purpose : uint8_t {
  kIndex,    // buckets and index root
  kValue,    // entries read through a shortcut or a slot
  kLog,      // group commit
  kMailbox,  // requests to the DPM and polling for their replies
  kControl,  // heartbeat, directory, merge progress
  kCell,     // indirection cells of replicated keys
};
inline constexpr size_t kPurposes = 6;
const char* purpose_name(Purpose p) noexcept;

struct PurposeCounters {
  uint64_t round_trips = 0;
  uint64_t verbs = 0;
  uint64_t bytes = 0;
};

struct QueueCounters {
  std::array<PurposeCounters, kPurposes> by_purpose;
  uint64_t no_resource = 0;
  uint64_t errors = 0;
};

struct WriteOptions {
  bool persistent = false;      // complete only when the bytes are in the pool's durability domain
  bool after_previous = false;  // take effect after the previous write of this queue
};

/// One lcore's way to one DPM node. Made by Fabric::open_queue; used and destroyed by one thread.
class Queue {
 public:
  virtual ~Queue() = default;

  /// Reads `to.size()` bytes at pool offset `offset`. Atomic per aligned 8 bytes.
  virtual Status post_read(uint64_t offset, MutableBytes to, Purpose purpose,
                           Completion* completion) noexcept = 0;

  /// Writes `from` at `offset`. Without a completion the write is unsignalled: it has no status of
  /// its own and must be followed by a signalled operation with `after_previous`-order knowledge.
  virtual Status post_write(uint64_t offset, Bytes from, WriteOptions options, Purpose purpose,
                            Completion* completion) noexcept = 0;

  /// Atomic on the 8 aligned bytes at `offset`; the old value is in *old when the completion is
  /// called.
  virtual Status post_compare_swap(uint64_t offset, uint64_t expected, uint64_t desired,
                                   uint64_t* old, Purpose purpose,
                                   Completion* completion) noexcept = 0;
  virtual Status post_fetch_add(uint64_t offset, uint64_t addend, uint64_t* old, Purpose purpose,
                                Completion* completion) noexcept = 0;

  /// Hands everything posted so far to the device (rings the doorbell). Once per loop turn.
  virtual void flush() noexcept = 0;

  /// Delivers at most `max` completions; returns how many.
  virtual uint32_t poll(uint32_t max) noexcept = 0;

  /// Posted and not yet completed.
  virtual uint32_t in_flight() const noexcept = 0;

  const QueueCounters& counters() const noexcept { return counters_; }

 protected:
  QueueCounters counters_;
};

/// What a KN learns when it connects.
struct RemotePool {
  uint64_t pool_bytes = 0;
  uint64_t superblock_offset = 0;
  std::array<uint8_t, 16> uuid{};
  uint16_t node_id = 0;
  uint16_t kn_slot = 0;  // the slot that the DPM gave this KN
  pool::Persistence persistence = pool::Persistence::kPageCache;
  std::string access{};  // through which device, and how it is connected; for the log
};

struct QueueConfig {
  uint32_t depth = 128;  // operations in flight; at least 64
};

/// Connection of one KN to one DPM node. Control thread only.
class Fabric {
 public:
  virtual ~Fabric() = default;

  virtual const RemotePool& remote() const noexcept = 0;

  /// Local memory that reads and writes will use; must be called before. Cheap where the driver
  /// needs no registration.
  virtual Status register_memory(MutableBytes memory) noexcept = 0;

  virtual Result<std::unique_ptr<Queue>> open_queue(const QueueConfig& config) noexcept = 0;

  /// False when the peer is known to be gone. Never blocks; a hint for the control lcore.
  virtual bool alive() noexcept = 0;
};

/// How the RDMA drivers connect their queue pairs.
enum class PairSetup : uint8_t {
  kAuto,      // by librdmacm where both ends have it and the DPM's address leads to the device
  kRdmacm,    // by librdmacm, or not at all
  kExchange,  // over TCP
};

struct ConnectConfig {
  std::string target;    // shm: path of the rendezvous socket; verbs: host:port
  std::string device{};  // RDMA device, as in ibv_devices; empty: the first that fits
  int kn_slot = -1;      // slot wanted, -1 any free one
  uint32_t timeout_ms = 3000;
  PairSetup pair_setup = PairSetup::kAuto;
};

}  // namespace dinomo::fabric
