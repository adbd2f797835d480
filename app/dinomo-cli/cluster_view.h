// SPDX-License-Identifier: BSD-3-Clause
// What the DPM tells of the cluster, put together from its answers.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "control_socket.h"
#include "text.h"

namespace dinomo::cli {

inline constexpr uint32_t kPartitionsInRing = 4096;
inline constexpr uint16_t kNobody = 0xffff;

struct Kn {
  uint32_t kn_slot = 0;
  std::string name;
  std::string address;  // of worker 0
  uint32_t workers = 0;
  bool active = false;  // registered, neither left nor fenced
  bool silent = false;  // as long as look_for_beats() looked
  bool leaves = false;
  std::string registered = "free";  // state in the directory
  std::string wanted = "serving";
  uint32_t incarnation = 0;
  uint32_t weight = 0;
  uint64_t heartbeat = 0;
  uint32_t lease_us = 0;
  uint32_t partitions = 0;
  uint32_t moving = 0;
  bool leads = false;

  const char* state() const;
};

struct Cluster {
  uint64_t ring_version = 0;
  bool led = false;
  uint32_t leader = 0;  // KN slot
  uint32_t orphans = 0;
  std::vector<Kn> kns;

  /// One that was never there is free.
  Kn kn(uint32_t kn_slot) const;
};

struct RingTable {
  uint64_t version = 0;
  std::vector<uint16_t> owner;
  std::vector<uint32_t> moving;  // in order, as `pinned`
  std::vector<uint32_t> pinned;
};

/// A key that several KNs are to serve reads of.
struct ReplicatedKey {
  std::string routing_hash;  // hexadecimal: the pool does not keep the keys themselves
  bool wanted = false;
  uint64_t kns_wanted = 0;    // 0: all
  std::vector<uint16_t> kns;  // that the ring lists
};

/// A run of partitions that are wanted at one KN.
struct Pin {
  uint32_t first = 0;
  uint32_t count = 0;
  uint32_t kn_slot = 0;
};

/// nullopt: no answer.
std::optional<std::vector<Pin>> look_at_pins(ControlSocket& dpm);
std::optional<std::vector<ReplicatedKey>> look_at_replicated(ControlSocket& dpm);

/// One look; nullopt: no answer.
std::optional<Cluster> look(ControlSocket& dpm);
/// Goes on looking until every active KN was seen to beat, for its lease or `patience_s` at most.
std::optional<Cluster> look_for_beats(ControlSocket& dpm, uint32_t patience_s);
/// All partitions of one version.
std::optional<RingTable> look_at_ring(ControlSocket& dpm);

}  // namespace dinomo::cli
