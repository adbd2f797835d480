// SPDX-License-Identifier: BSD-3-Clause
// memcached's protocol put together: a server at every worker, the TCP listener at the control
// lcore, and the hand-over of operations between all of them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "app/dinomo-kn/kn_options.h"
#include "app/dinomo-kn/memcached_tcp.h"
#include "drivers/ingress/ethdev/wait.h"
#include "kn/worker.h"
#include "memcached/udp_server.h"

namespace dinomo::app {

class MemcachedFront {
 public:
  /// Control thread, before the workers start. Nothing is owned; `shared` and `ingress` outlive
  /// this. Null: `why` says what is wrong.
  static std::unique_ptr<MemcachedFront> create(const KnOptions& options,
                                                std::vector<std::unique_ptr<kn::Worker>>* workers,
                                                ingress::Ingress* ingress, Clock* clock,
                                                const kn::Shared* shared, std::string* why);

  /// What the worker may block on beside its port.
  ingress::WaitSource* wait_source(uint16_t worker) noexcept { return bells_[worker].get(); }
  /// A turn of the control lcore. Returns work done.
  uint32_t poll() noexcept { return control_desk_ ? control_desk_->poll() : 0; }
  /// Sleeps until the listener has something to do; at most so long.
  void wait(uint32_t timeout_us) noexcept;

 private:
  /// Wakes a worker that sleeps, for an errand.
  class ErrandBell final : public ingress::WaitSource, public kn::Waker {
   public:
    ErrandBell(const kn::HandOver* hand_over, uint16_t place) noexcept
        : hand_over_(*hand_over), place_(place) {}
    int descriptor() const noexcept override { return bell_.descriptor(); }
    bool arm() noexcept override;
    void disarm() noexcept override;
    void wake() noexcept override { bell_.ring(); }

   private:
    const kn::HandOver& hand_over_;
    uint16_t place_;
    ingress::ethdev::Bell bell_;
  };

  MemcachedFront() = default;
  size_t write_stats(char* out, size_t capacity) const noexcept;

  Clock* clock_ = nullptr;
  uint64_t began_ns_ = 0;
  const kn::Shared* shared_ = nullptr;
  std::unique_ptr<kn::HandOver> hand_over_;
  std::vector<std::unique_ptr<ErrandBell>> bells_;
  std::vector<std::unique_ptr<kn::ErrandDesk>> desks_;
  std::vector<std::unique_ptr<memcached::UdpServer>> servers_;
  std::unique_ptr<kn::ErrandDesk> control_desk_;
  std::unique_ptr<MemcachedTcp> tcp_;
  std::vector<const memcached::Counters*> counters_;
};

}  // namespace dinomo::app
