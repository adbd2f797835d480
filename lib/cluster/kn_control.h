// SPDX-License-Identifier: BSD-3-Clause
// The control lcore's part of one KN: connects to the DPM, registers, hands the workers their logs,
// keeps heartbeat and lease, follows the ring and tells what it has settled, takes part in the
// election of the leader (leader.h), and starts over when the DPM is lost.
//
//   kDisconnected -> kRegistering -> kServing -> kDetaching -> kDisconnected ...
//
// Lease: a worker serves only before Shared::lease_deadline_ns, which every completed heartbeat
// moves to the time at which it was *posted* plus lease_us. So a KN that cannot reach its DPM stops
// by itself.
//
// Ring: this KN looks for a newer one every ring_poll_us (16 bytes), and reads it and the directory
// when there is one. It serves what the ring gives to its incarnation; a KN that has registered
// again waits for the leader to name the new one. Thread rule: poll() on the control lcore. Nothing
// here blocks but the connect function.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cache/tuner.h"
#include "cluster/lane.h"
#include "cluster/leader.h"
#include "common/clock.h"
#include "fabric/fabric.h"
#include "kn/delay.h"
#include "kn/task.h"
#include "kn/worker.h"
#include "pool/mailbox.h"

struct rte_rcu_qsbr;

namespace dinomo::cluster {

struct KnControlConfig {
  std::array<uint8_t, 16> address{};  // for clients: IPv6, or IPv4 mapped
  uint16_t udp_port_base = wire::kDefaultPort;
  uint16_t workers = 1;
  std::string name;
  // KNs of a ring that somebody wrote into the pool and that does not change, this one among them.
  // Empty: there is a leader, and the ring is what it makes of those that have registered.
  std::vector<wire::KnRecord> members{};
  uint32_t lease_us = 1'000'000;
  uint32_t heartbeat_us = 100'000;
  uint32_t reconnect_us = 100'000;
  uint32_t ring_poll_us = 2000;
  uint32_t weight = 1;                     // its share of the partitions against that of others
  uint32_t leave_patience_us = 3'000'000;  // for others to take its partitions, when it stops
  // What every worker's cache begins with, if they divide their memory (cache::make_page_pool());
  // 0: each keeps its own, nothing is tuned.
  uint64_t cache_share_bytes = 0;
  cache::TunerConfig tuner;
  uint32_t register_patience_us = 60'000'000;  // the DPM merges this KN's old logs first
};

enum class KnPhase : uint8_t { kDisconnected, kRegistering, kServing, kDetaching };
const char* phase_name(KnPhase phase) noexcept;

/// Told by the control lcore, for logs: what happened and, on trouble, what to do.
struct KnEvents {
  std::function<void(const std::string&)> info;
  std::function<void(const std::string&)> warn;
};

class KnControl {
 public:
  using Connect = std::function<Result<std::unique_ptr<fabric::Fabric>>(std::string* why)>;

  KnControl(const KnControlConfig& config, Connect connect, Clock* clock, kn::Shared* shared,
            std::vector<kn::Worker*> workers, KnEvents events);
  ~KnControl();

  /// One bounded turn; returns work done.
  uint32_t poll() noexcept;

  KnPhase phase() const noexcept { return phase_; }
  uint16_t kn_slot() const noexcept { return lane_.kn_slot; }
  /// Why the last registration failed if trying again cannot help (wrong pool version, ...).
  Status fatal() const noexcept { return fatal_; }

  /// Orderly leave: others take its partitions, workers stop, the DPM merges this KN's logs. Poll
  /// until stopped().
  void stop() noexcept { stopping_ = true; }
  /// Asks the leader to give its partitions to others, or some back to it.
  void set_leaving(bool leaving) noexcept;
  bool leaving() const noexcept { return leaving_; }
  bool leading() const noexcept { return phase_ == KnPhase::kServing && leader_.leading(); }
  /// Serves what the ring gives to it, be it nothing; false while it waits for its part.
  bool ready() const noexcept { return phase_ == KnPhase::kServing && ring_ && !waits_; }
  /// Partitions that it serves now.
  uint32_t partitions() const noexcept { return partitions_; }
  bool stopped() const noexcept { return stopped_; }

  kn::FramePool& frames() noexcept { return lane_.frames; }

 private:
  struct RetiredRing {
    std::unique_ptr<const ring::Ring> ring;
    uint64_t token;
  };

  void try_connect() noexcept;
  void lose(const std::string& why) noexcept;
  void detach_step() noexcept;
  void watch() noexcept;
  void tune_caches() noexcept;
  kn::Task run_registration() noexcept;
  kn::Task run_heartbeat() noexcept;
  void obey(pool::KnWanted wanted) noexcept;
  kn::Task run_deregistration() noexcept;
  std::string check_pool() noexcept;
  void fill_slot_line(const pool::KnSlot& found) noexcept;
  // kn_ring.cc
  kn::Task run_ring_watch() noexcept;
  void adopt_ring(std::unique_ptr<ring::Ring> taken) noexcept;
  void withdraw_ring() noexcept;
  uint64_t settled_ring() const noexcept;
  void follow_ring() noexcept;
  bool elastic() const noexcept { return config_.members.empty(); }
  bool has_left() noexcept;
  void publish_ring(std::unique_ptr<const ring::Ring> ring) noexcept;
  void free_retired_rings() noexcept;
  void make_attachments() noexcept;
  MutableBytes scratch(size_t offset, size_t bytes) noexcept;

  KnControlConfig config_;
  Connect connect_;
  Clock* clock_;
  kn::Shared* shared_;
  std::vector<kn::Worker*> workers_;
  KnEvents events_;

  KnPhase phase_ = KnPhase::kDisconnected;
  Status fatal_ = Status::kOk;
  bool stopping_ = false;
  bool stopped_ = false;
  uint64_t retry_ns_ = 0;
  std::string last_warning_;

  std::unique_ptr<fabric::Fabric> fabric_;
  std::unique_ptr<fabric::Queue> queue_;
  Lane lane_;
  Leader leader_;

  std::vector<std::byte> scratch_;  // registered
  uint64_t mailbox_sequence_ = 0;
  pool::TableRef table_;
  std::vector<kn::Attachment> attachments_;

  bool heartbeat_running_ = false;
  uint64_t heartbeats_ = 0;
  uint64_t heartbeat_ns_ = 0;

  std::optional<cache::Tuner> tuner_;
  uint64_t tune_ns_ = 0;
  std::vector<cache::TunerView> tuner_views_;
  std::vector<uint64_t> gets_before_;

  std::unique_ptr<const ring::Ring> ring_;
  std::vector<std::byte> directory_;  // registered
  bool ring_watch_running_ = false;
  uint64_t ring_watch_ns_ = 0;
  uint64_t told_ring_ = 0;  // settled version of the last heartbeat
  bool leaving_ = false;
  uint64_t leave_deadline_ns_ = 0;  // 0: not stopping yet
  uint32_t partitions_ = 0;
  bool waits_ = false;  // the ring names an earlier incarnation of this KN
  std::vector<RetiredRing> retired_rings_;
};

}  // namespace dinomo::cluster
