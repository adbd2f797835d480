// SPDX-License-Identifier: BSD-3-Clause
// How a worker of an ethdev port sleeps and is woken.
//
// One epoll descriptor per worker gathers what may end its sleep:
//  * its bell, an eventfd that other workers ring after they put something into one of its rings,
//    and only if it said that it sleeps;
//  * the receive queue's interrupt, where the port has one, or else
//  * the poll mode driver's own socket (af_packet, af_xdp), found among the process's descriptors.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "common/align.h"
#include "ingress/driver.h"

namespace dinomo::ingress::ethdev {

/// Dekker-style: the sleeper sets the flag, fences and looks into its rings once more; a producer
/// puts, fences and looks at the flag. One of them sees the other.
class Bell {
 public:
  Bell() noexcept;
  ~Bell();
  Bell(const Bell&) = delete;
  Bell& operator=(const Bell&) = delete;

  int descriptor() const noexcept { return eventfd_; }
  void arm() noexcept;     // owner
  void disarm() noexcept;  // owner
  void ring() noexcept;    // any lcore, after its enqueue

 private:
  alignas(kCacheLineBytes) std::atomic<uint32_t> asleep_{0};
  int eventfd_ = -1;
};

/// Descriptors of this process whose sockets belong to `domain` (AF_PACKET, AF_XDP), ascending.
/// With if_index above 0 only packet sockets bound to that interface.
std::vector<int> sockets_of(int domain, int if_index = 0);

class EthQueue;

/// What a receive queue's interrupt descriptor is like.
enum class Interrupt : uint8_t {
  kNone,
  kArmed,  // must be enabled before each sleep; signals edges
  kLevel,  // readable as long as frames wait (tap: its own descriptor)
};

class EthWait final : public WaitSource {
 public:
  EthWait() noexcept;
  ~EthWait() override;
  EthWait(const EthWait&) = delete;
  EthWait& operator=(const EthWait&) = delete;

  /// `socket` is -1, or the poll mode driver's. `blind`: the port announces nothing.
  void attach(EthQueue* queue, uint16_t port_id, int rx_queue, int socket, Interrupt interrupt,
              bool blind) noexcept;

  int descriptor() const noexcept override { return blind_ ? -1 : epoll_; }
  bool arm() noexcept override;
  void disarm() noexcept override;

 private:
  void drain() noexcept;
  bool watch_interrupt() noexcept;

  EthQueue* queue_ = nullptr;
  int epoll_ = -1;
  int socket_ = -1;
  int rx_queue_ = -1;
  uint16_t port_id_ = 0;
  uint16_t refusals_ = 0;
  Interrupt interrupt_ = Interrupt::kNone;
  bool blind_ = true;
};

}  // namespace dinomo::ingress::ethdev
