// SPDX-License-Identifier: BSD-3-Clause
// Both ends of the simulated fabric.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>

#include "drivers/fabric/sim/sim_network.h"

namespace dinomo::fabric::sim {

class SimTarget final : public Target {
 public:
  static Result<std::unique_ptr<Target>> listen(const std::string& address, const PoolExport& pool,
                                                std::string* why);
  ~SimTarget() override;

  uint32_t poll() noexcept override { return 0; }
  Status revoke(uint16_t kn_slot) noexcept override;
  Status fence(uint16_t kn_slot) noexcept override;
  bool connected(uint16_t kn_slot) noexcept override;

  const PoolExport& pool() const noexcept { return pool_; }
  /// Called when a write or an atomic has landed, with its place; again, with `persistent`, when it
  /// has to be made durable, if it is to be. Set by the node.
  std::function<void(uint64_t offset, uint64_t bytes, bool persistent)> landed;

  /// When the node's card, which all KNs share, has taken an operation that arrives at `at_ns`.
  uint64_t card_takes(uint64_t at_ns, const SimOperation& operation,
                      const FabricFaults& faults) noexcept;

 private:
  SimNetwork* network_ = nullptr;
  PoolExport pool_;
  uint64_t card_free_ns_ = 0;
  uint64_t reads_free_ns_ = 0;    // of a card that is full duplex
  uint64_t atomics_free_ns_ = 0;  // of a card that has a unit for them
};

class SimFabric final : public Fabric {
 public:
  static Result<std::unique_ptr<Fabric>> connect(const ConnectConfig& config, std::string* why);
  ~SimFabric() override;

  const RemotePool& remote() const noexcept override { return remote_; }
  Status register_memory(MutableBytes) noexcept override { return Status::kOk; }
  Result<std::unique_ptr<Queue>> open_queue(const QueueConfig& config) noexcept override;
  bool alive() noexcept override;

 private:
  SimNetwork* network_ = nullptr;
  std::shared_ptr<Connection> connection_;
  RemotePool remote_;
};

class SimQueue final : public Queue {
 public:
  SimQueue(SimNetwork* network, std::shared_ptr<Connection> connection, uint32_t depth);
  ~SimQueue() override;

  Status post_read(uint64_t offset, MutableBytes to, Purpose purpose,
                   Completion* completion) noexcept override;
  Status post_write(uint64_t offset, Bytes from, WriteOptions options, Purpose purpose,
                    Completion* completion) noexcept override;
  Status post_compare_swap(uint64_t offset, uint64_t expected, uint64_t desired, uint64_t* old,
                           Purpose purpose, Completion* completion) noexcept override;
  Status post_fetch_add(uint64_t offset, uint64_t addend, uint64_t* old, Purpose purpose,
                        Completion* completion) noexcept override;
  void flush() noexcept override;
  uint32_t poll(uint32_t max) noexcept override;
  uint32_t in_flight() const noexcept override { return in_flight_; }

  /// An operation of this queue has completed at its node.
  void ready(SimOperation* operation) noexcept;

 private:
  SimOperation* post(SimOperation::Kind kind, uint64_t offset, Purpose purpose, size_t bytes,
                     bool round_trip, Completion* completion) noexcept;
  uint64_t start_ns(const SimOperation& operation) noexcept;

  SimNetwork* network_;
  std::shared_ptr<Connection> connection_;
  dinomo::sim::Waker* waker_;
  const uint32_t depth_;
  std::deque<SimOperation*> posted_;      // in order; signalled and not
  std::deque<SimOperation*> unlaunched_;  // first operations of their chains
  SimOperation* chain_end_ = nullptr;     // of the last one that is not launched
  uint32_t in_flight_ = 0;                // signalled ones
  std::deque<uint64_t> reads_until_ns_;   // when the last reads_in_flight_max reads were over
};

}  // namespace dinomo::fabric::sim
