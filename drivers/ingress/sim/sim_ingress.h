// SPDX-License-Identifier: BSD-3-Clause
// Ingress over the simulated network: bare datagrams, one receive queue a worker. What does not fit
// a frame is lost or kept as a whole: there are no fragments.
// One network a thread: the driver's open() finds it through use().
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "ingress/driver.h"
#include "sim/network.h"
#include "sim/waker.h"

namespace dinomo::ingress::sim {

class SimIngressQueue final : public Queue {
 public:
  SimIngressQueue(dinomo::sim::Network* network, const Config& config);

  uint32_t receive(std::span<Datagram> out) noexcept override;
  void release(std::span<Datagram> datagrams) noexcept override;
  TransmitBuffer allocate(const Peer& peer) noexcept override;
  void send(const TransmitBuffer& buffer, size_t bytes) noexcept override;
  void drop(const TransmitBuffer& buffer) noexcept override;
  bool send_pieces(const Peer& peer, std::span<const Bytes> pieces) noexcept override;
  void flush() noexcept override;

  void arrive(const dinomo::sim::NetworkAddress& from, const dinomo::sim::NetworkAddress& to,
              Bytes payload, bool corrupted);
  void set_waker(dinomo::sim::Waker* waker) noexcept { waker_ = waker; }

 private:
  struct Buffer {
    Peer peer;
    size_t bytes = 0;
    std::vector<std::byte> memory;
  };
  Buffer* take() noexcept;

  dinomo::sim::Network* network_;
  dinomo::sim::Waker* waker_ = nullptr;
  const size_t payload_bytes_max_;
  const size_t waiting_max_;
  uint32_t large_held_ = 0;
  std::vector<Buffer> buffers_;
  std::vector<Buffer*> free_;
  std::deque<Buffer*> arrived_;
  std::vector<Buffer*> leaving_;
};

class SimIngress final : public Ingress, private dinomo::sim::Network::Port {
 public:
  static Result<std::unique_ptr<Ingress>> open(const Config& config, std::string* why);
  ~SimIngress() override;

  static void use(dinomo::sim::Network* network) noexcept;

  Status start(std::string* why) override;
  void stop() override;
  Queue& queue(uint16_t worker) noexcept override { return *queues_[worker]; }
  WaitSource& wait_source(uint16_t) noexcept override { return never_; }
  const Capabilities& capabilities() const noexcept override { return capabilities_; }
  const Endpoint& endpoint() const noexcept override { return endpoint_; }
  PortCounters port_counters() const noexcept override { return {}; }
  bool link_up() noexcept override { return started_; }

  void set_waker(uint16_t worker, dinomo::sim::Waker* waker) noexcept {
    queues_[worker]->set_waker(waker);
  }

 private:
  /// Virtual lcores are woken by the event loop.
  class Never final : public WaitSource {
   public:
    int descriptor() const noexcept override { return -1; }
    bool arm() noexcept override { return false; }
    void disarm() noexcept override {}
  };

  void deliver(const dinomo::sim::NetworkAddress& from, const dinomo::sim::NetworkAddress& to,
               Bytes payload, bool corrupted) override;
  std::vector<dinomo::sim::NetworkAddress> addresses() const;

  dinomo::sim::Network* network_ = nullptr;
  Config config_;
  Capabilities capabilities_;
  Endpoint endpoint_;
  Never never_;
  bool started_ = false;
  std::vector<std::unique_ptr<SimIngressQueue>> queues_;
};

}  // namespace dinomo::ingress::sim
