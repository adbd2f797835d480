// SPDX-License-Identifier: BSD-3-Clause
// Datagrams larger than a frame: what is needed to send one as IP fragments and to put the
// fragments of one together again. Pure functions and owner-thread objects: no device, no clock, no
// allocation after construction, safe on any input.
//
// Not DPDK's rte_ip_frag: as Debian builds it a datagram has at most 8 fragments (11 KiB on a
// 1500-byte path), and while it waits its packet buffers are taken from those that receive. Here a
// fragment is copied to its place as it comes, one copy of the value in all, and its packet buffer
// is free at once; the datagram is then one stretch of memory, as every reader of it needs.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "common/align.h"
#include "ingress/responder.h"

namespace dinomo::ingress {

/// UDP header and payload; more does not fit an IPv4 packet.
inline constexpr size_t kSegmentBytesMax = 65'515;
static_assert(kSegmentBytesMax == kDatagramBytesMax + sizeof(UdpHeader));
/// All fragments but the last carry at least so much: every path takes packets of 576 bytes, and
/// the number of fragments of a datagram is bounded.
inline constexpr size_t kFragmentBytesMin = 512;

// Sending -----------------------------------------------------------------------------------------

/// What a frame carries of a datagram that is sent in fragments; a multiple of 8.
size_t fragment_data_bytes(const Peer& peer, uint16_t mtu) noexcept;
/// Ethernet, IP and fragment header.
size_t fragment_header_bytes(const Peer& peer) noexcept;
inline constexpr size_t kFragmentsMax = 128;  // of a datagram, at the smallest MTU

/// Writes the headers at `frame`; `data_bytes` of the segment, from its byte `offset` on, follow at
/// frame + fragment_header_bytes(peer). `id` tells this datagram's fragments from those of others
/// between the same two addresses.
void write_fragment_headers(std::byte* frame, const Peer& peer, const MacAddress& own, uint32_t id,
                            size_t offset, size_t data_bytes, bool more) noexcept;

/// The UDP header of the whole, its checksum 0.
UdpHeader large_udp_header(const Peer& peer, size_t payload_bytes) noexcept;
/// The checksum that belongs into it. `sum` is sum_words() over header and payload.
uint16_t large_udp_checksum(const Peer& peer, size_t payload_bytes, uint64_t sum) noexcept;

// Receiving ---------------------------------------------------------------------------------------

/// A datagram put together from fragments.
struct LargeDatagram {
  static constexpr size_t kHeadBytes = kCacheLineBytes;  // room for headers before the segment

  Peer peer;
  size_t segment_bytes = 0;
  alignas(kCacheLineBytes) std::array<std::byte, kHeadBytes + 65'536> memory;

  MutableBytes segment() noexcept { return MutableBytes(memory).subspan(kHeadBytes); }
  Bytes payload() const noexcept {
    return Bytes(memory).subspan(kHeadBytes + sizeof(UdpHeader), segment_bytes - sizeof(UdpHeader));
  }
};

/// Where the memory for large datagrams comes from: bounded, made at the start, shared by the
/// queues of a port. Both operations may be called by any of its lcores.
class LargeDatagrams {
 public:
  virtual ~LargeDatagrams() = default;
  virtual LargeDatagram* take() noexcept = 0;  // nullptr: none left
  virtual void give(LargeDatagram* datagram) noexcept = 0;
};

struct ReassemblyConfig {
  uint16_t slots = 64;             // datagrams being put together
  uint16_t slots_per_source = 16;  // of them from one address
  uint64_t timeout_us = 500'000;   // from a datagram's first fragment
};

struct ReassemblyCounters {
  uint64_t fragments = 0;
  uint64_t datagrams = 0;  // completed
  uint64_t refused = 0;    // fragments with impossible lengths, overlaps, foreign ports
  uint64_t checksum = 0;   // datagrams complete and wrong
  uint64_t timeouts = 0;   // datagrams given up
  uint64_t evicted = 0;    // datagrams given up for newer ones
  uint64_t no_buffer = 0;
};

/// Puts datagrams together. What an attacker can reach: he fills the slots, and then loses first
/// what was touched longest ago, so that a datagram whose fragments follow each other closely gets
/// through however many never-completed ones arrive; he cannot fill more than slots_per_source from
/// one address. Overlapping fragments end their datagram (RFC 5722), exact repetitions do not. A
/// UDP checksum is demanded and checked always: it is all that tells fragments of two datagrams
/// apart when an id comes again too soon.
///
/// Thread rule: the lcore that polls the receive queue.
class Reassembler {
 public:
  Reassembler(const ReassemblyConfig& config, LargeDatagrams* memory);
  ~Reassembler();
  Reassembler(const Reassembler&) = delete;
  Reassembler& operator=(const Reassembler&) = delete;

  /// Takes a fragment in; its data is copied. Returns the datagram that it completed, which is the
  /// caller's to give back to the memory, or nullptr. Cost: a scan over the slots' tags.
  LargeDatagram* add(const Fragment& fragment, const Endpoint& us, uint64_t now_us) noexcept;
  /// Gives up what waits.
  void clear() noexcept;

  const ReassemblyCounters& counters() const noexcept { return counters_; }

 private:
  static constexpr size_t kUnits = (kSegmentBytesMax + 7) / 8;  // of 8 bytes

  enum class State : uint8_t { kFree, kOpen, kDead };  // dead: refuses the rest of its datagram

  struct Slot {
    State state = State::kFree;
    IpAddress source{};
    IpAddress destination{};
    uint32_t id = 0;
    uint64_t first_us = 0;
    uint64_t touched = 0;  // counts fragments: in a microsecond there may be several
    size_t total = 0;      // 0: not known yet
    size_t end = 0;        // of what has come
    size_t received = 0;
    LargeDatagram* datagram = nullptr;
    std::array<uint64_t, (kUnits + 63) / 64> have{};  // a bit a unit
  };

  enum class Range : uint8_t { kNew, kKnown, kOverlap };

  Slot* find(const Fragment& f) noexcept;
  Slot* open(const Fragment& f, uint64_t now_us) noexcept;
  Slot* choose(const Fragment& f, uint64_t now_us) noexcept;
  bool fits(Slot* slot, const Fragment& f) noexcept;
  static Range look_up(const Slot& slot, const Fragment& f) noexcept;
  static void mark(Slot* slot, const Fragment& f) noexcept;
  LargeDatagram* finish(Slot* slot, const Endpoint& us) noexcept;
  void kill(Slot* slot) noexcept;
  void release(Slot* slot) noexcept;

  ReassemblyConfig config_;
  LargeDatagrams* memory_;
  std::vector<Slot> slots_;
  std::vector<uint32_t> tags_;  // by slot, 0: free; what a search looks at
  ReassemblyCounters counters_;
};

}  // namespace dinomo::ingress
