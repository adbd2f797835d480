// SPDX-License-Identifier: BSD-3-Clause
// Phases, heartbeat, lease.
#include "cluster/kn_control.h"

#include <rte_rcu_qsbr.h>

#include <cstring>

#include "common/align.h"
#include "common/planted.h"
#include "pool/superblock.h"

namespace dinomo::cluster {

namespace {

constexpr size_t kWantedAt = 192;  // of the scratch memory; the registration is over

}  // namespace

const char* phase_name(KnPhase phase) noexcept {
  switch (phase) {
    case KnPhase::kDisconnected: return "disconnected";
    case KnPhase::kRegistering: return "registering";
    case KnPhase::kServing: return "serving";
    case KnPhase::kDetaching: return "detaching";
  }
  return "unknown";
}

KnControl::~KnControl() = default;

MutableBytes KnControl::scratch(size_t offset, size_t bytes) noexcept {
  return MutableBytes(scratch_).subspan(offset, bytes);
}

uint32_t KnControl::poll() noexcept {
  lane_.now_ns = clock_->now_ns();
  uint32_t work = 0;
  if (queue_) {
    queue_->flush();
    work += queue_->poll(64);
  }
  work += lane_.delays.resume(lane_.now_ns, lane_.losing);
  switch (phase_) {
    case KnPhase::kDisconnected:
      if (stopping_) {
        stopped_ = true;
      } else if (ok(fatal_) && lane_.now_ns >= retry_ns_) {
        try_connect();
        ++work;
      }
      break;
    case KnPhase::kRegistering: break;
    case KnPhase::kServing:
      watch();
      if (tuner_ && lane_.now_ns >= tune_ns_) tune_caches();
      break;
    case KnPhase::kDetaching: detach_step(); break;
  }
  if (!retired_rings_.empty()) free_retired_rings();
  return work;
}

void KnControl::try_connect() noexcept {
  std::string why;
  auto connected = connect_(&why);
  if (connected) {
    fabric_ = std::move(*connected);
    auto queue = fabric_->open_queue({.depth = 128});
    if (queue && ok(fabric_->register_memory(scratch_))) {
      queue_ = std::move(*queue);
      lane_.fabric = fabric_.get();
      lane_.queue = queue_.get();
      lane_.kn_slot = fabric_->remote().kn_slot;
      lane_.losing = false;
      phase_ = KnPhase::kRegistering;
      const kn::Task task = run_registration();
      if (!task.started) lose("no frame for the registration");
      return;
    }
    why = "the fabric driver has no queue for the control lcore";
  }
  fabric_.reset();
  retry_ns_ = lane_.now_ns + uint64_t{config_.reconnect_us} * 1000;
  if (why == last_warning_) return;  // said once
  last_warning_ = why;
  events_.warn(why + " (trying again every " + std::to_string(config_.reconnect_us / 1000) +
               " ms)");
}

/// The DPM is gone, or it refuses us: workers stop, then everything starts over.
void KnControl::lose(const std::string& why) noexcept {
  shared_->lease_deadline_ns.store(0, std::memory_order_relaxed);
  for (kn::Worker* w : workers_) w->attach_for_control(nullptr);
  if (elastic()) withdraw_ring();
  lane_.losing = true;
  phase_ = KnPhase::kDetaching;
  if (why != last_warning_ && !why.empty()) events_.warn(why);
  last_warning_ = why;
}

void KnControl::detach_step() noexcept {
  for (const kn::Worker* w : workers_) {
    if (w->attached_for_control() != nullptr) return;
  }
  if (lane_.tasks != 0 || (queue_ && queue_->in_flight() != 0)) return;
  queue_.reset();
  fabric_.reset();
  lane_.queue = nullptr;
  lane_.fabric = nullptr;
  phase_ = KnPhase::kDisconnected;
  retry_ns_ = lane_.now_ns + uint64_t{config_.reconnect_us} * 1000;
}

void KnControl::watch() noexcept {
  if (!fabric_->alive()) {
    lose("dinomo-dpm is gone, or the device to it: serving nothing until it is back");
    return;
  }
  for (const kn::Worker* w : workers_) {
    const Status log = w->log_status_for_control();
    if (ok(log)) continue;
    lose(std::string("a worker's log cannot be written (") + status_name(log) +
         "): registering again");
    return;
  }
  if (stopping_ && has_left()) {
    if (lane_.tasks != 0) return;  // they end, and no more begin
    const kn::Task task = run_deregistration();
    if (!task.started) lose("");
    return;
  }
  if (elastic()) follow_ring();
  if (heartbeat_running_ || lane_.now_ns < heartbeat_ns_) return;
  heartbeat_running_ = true;
  heartbeat_ns_ = lane_.now_ns + uint64_t{config_.heartbeat_us} * 1000;
  const kn::Task task = run_heartbeat();
  if (!task.started) heartbeat_running_ = false;
}

kn::Task KnControl::run_heartbeat() noexcept {
  ++lane_.tasks;
  const uint64_t posted_ns = lane_.now_ns;
  pool::KnSlot beat{};
  beat.heartbeat = ++heartbeats_;
  beat.heartbeat_incarnation = lane_.incarnation;
  beat.heartbeat_flags = leaving_ ? pool::kHeartbeatLeaving : 0;
  beat.ring_version_seen = told_ring_ = settled_ring();
  beat.lease_us = config_.lease_us;
  beat.weight = config_.weight;
  const MutableBytes line = scratch(0, kCacheLineBytes);
  std::memcpy(line.data(), object_bytes(beat).data() + offsetof(pool::KnSlot, heartbeat),
              line.size());
  const uint64_t at =
      pool::kn_slot_offset(lane_.superblock, lane_.kn_slot) + offsetof(pool::KnSlot, heartbeat);
  // It survives a power failure of the memory node: who leads afterwards has to know of every
  // lease.
  const fabric::WriteOptions options{.persistent = !planted("lease-not-durable")};
  Status status = co_await kn::write(*queue_, at, line, options, fabric::Purpose::kControl);
  const MutableBytes root = MutableBytes(scratch_).last(sizeof(pool::IndexRoot));
  if (ok(status)) {
    status = co_await kn::read(*queue_, lane_.superblock.index_root_offset, root,
                               fabric::Purpose::kControl);
  }
  const MutableBytes wanted = scratch(kWantedAt, 4);
  if (ok(status)) {
    const uint64_t wanted_at =
        pool::kn_slot_offset(lane_.superblock, lane_.kn_slot) + offsetof(pool::KnSlot, wanted);
    status = co_await kn::read(*queue_, wanted_at, wanted, fabric::Purpose::kControl);
  }
  --lane_.tasks;
  heartbeat_running_ = false;
  if (ok(status)) obey(static_cast<pool::KnWanted>(load<uint32_t>(wanted.data())));
  if (ok(status) && phase_ == KnPhase::kServing) {
    shared_->index_table.store(load<pool::IndexRoot>(root.data()).current,
                               std::memory_order_relaxed);
    const uint64_t from_ns = planted("lease-from-completion") ? lane_.now_ns : posted_ns;
    shared_->lease_deadline_ns.store(from_ns + uint64_t{config_.lease_us} * 1000,
                                     std::memory_order_release);
  } else if (phase_ == KnPhase::kServing) {
    lose(std::string("heartbeat failed: ") + status_name(status));
  }
}

/// What an operator wants of this slot. That it is drained is for the leader to see.
void KnControl::obey(pool::KnWanted wanted) noexcept {
  if (wanted != pool::KnWanted::kRemoved || stopping_ || !elastic()) return;
  events_.info(
      "removed by an operator: it ends when others have its partitions; `dinomo-cli "
      "cluster add " +
      std::to_string(lane_.kn_slot) + "` lets the slot in again");
  stop();
}

/// nullptr: none until another one comes.
void KnControl::publish_ring(std::unique_ptr<const ring::Ring> ring) noexcept {
  shared_->ring.store(ring.get(), std::memory_order_release);
  if (ring_) retired_rings_.push_back({std::move(ring_), rte_rcu_qsbr_start(shared_->rcu)});
  ring_ = std::move(ring);
}

void KnControl::free_retired_rings() noexcept {
  std::erase_if(retired_rings_, [this](const RetiredRing& r) {
    return rte_rcu_qsbr_check(shared_->rcu, r.token, false) == 1;
  });
}

}  // namespace dinomo::cluster
